"""An operator's endpoints, on top of a desk that holds the money."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.gsma_mm.profile import load
from adapters.gsma_mm.simulator import bodies, checks
from adapters.gsma_mm.simulator.checks import Credentials, Gate, Refused
from gateway.money import Money, MoneyError
from gateway.offramp import Corridor
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

PROFILE = load("sandbox")
FLOAT_UNITS = 10**10
ABSENT = frozenset({
    Scenario.CALLBACK_UNSIGNED, Scenario.CALLBACK_STALE, Scenario.CANCEL_TOO_LATE, Scenario.CLAIM_OF_ANOTHER_AMOUNT,
})  # fmt: skip
"""Nothing is signed, a disbursement can't be cancelled, and it pays into wallets."""
REFUSALS: Mapping[Scenario, Refused] = {
    Scenario.ERROR_BEFORE_ACCEPT: Refused("genericError", "serviceUnavailable"),
    Scenario.ERROR_AFTER_ACCEPT: Refused("genericError"),
    Scenario.RATE_LIMITED: Refused("rateLimitError"),
    Scenario.TOKEN_EXPIRED: Refused("clientAuthorisationError"),
    Scenario.QUOTE_EXPIRED: Refused("quoteHasExpired"),
    Scenario.DUPLICATE_ANSWER: Refused("duplicateRequest"),
}
UNREGISTERED = "000"
"""Numbers that end so have no account."""


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT_UNITS, each.corridor().asset) for each in PROFILE.corridors],
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="identifierError", low_float="insufficientFunds"),
    )
    return OperatorSimulator(desk).app


class OperatorSimulator(Course):
    """The protocol of one operator with one client."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="GSMA Mobile Money simulator")
        self.credentials = Credentials.of(desk)
        self.gate = Gate(desk, self.credentials)
        self._going_on: set[str] = set()
        """Payments about which the next request is part of the same question: it follows a link, or asks another way."""
        self.app.add_exception_handler(Refused, _refusal)
        base, app = PROFILE.base_path, self.app
        app.post(PROFILE.token_path)(self.gate.issue)
        app.post(base + "/transactions/type/disbursement")(self.pay)
        app.get(base + "/requeststates/{id}")(self.state)
        app.get(base + "/responses/{id}")(self.response)
        app.get(base + "/transactions/{reference}")(self.transaction)
        app.post(base + "/transactions/{reference}/reversals")(self.reverse)
        app.get(base + "/accounts/msisdn/{number}/accountname")(self.name)
        app.get(base + "/accounts/msisdn/{number}/status")(self.standing)
        app.get(base + "/accounts/accountid/{account}/balance")(self.balance)
        app.get(base + "/heartbeat")(self.heartbeat)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {"base_url": base_url, "profile": "sandbox", **self.credentials.model_dump()}

    async def pay(self, request: Request) -> Response:
        """POST /transactions/type/disbursement."""
        self.gate.check(request)
        id_ = checks.correlation(request)
        given = checks.content(request, await request.body())
        account = checks.disbursement(given, account=self.credentials.account)
        amount = self._amount(given)
        if self.desk.find(id_) is not None:
            raise REFUSALS[Scenario.DUPLICATE_ANSWER]
        payment = self._payment(id_, account, amount, given, request)
        answer = await self.take(payment, refusal=self._refuse, accepted=self._accepted)
        if payment.rail["callback"] or answer.status_code != bodies.ACCEPTED:
            return answer
        # Without an address to call, the operator pays while the client waits.
        await asyncio.sleep(self.desk.delay_s(payment.script))
        await self.settle(id_)
        return self._finished(self.desk.find(id_) or payment)

    async def response(self, id: str, request: Request) -> Response:  # noqa: A002 - the word on the wire
        """GET /responses/{clientCorrelationId}: a link to what became of a request."""
        self.gate.check(request)
        payment = self._question(id)
        self._going_on.add(id)
        moved = payment.status in (State.PAID, State.RETURNED)
        kind, name = ("transactions", "reference") if moved else ("requeststates", "server")
        return JSONResponse({"link": f"/{kind}/{payment.rail[name]}"})

    async def state(self, id: str, request: Request) -> Response:  # noqa: A002
        """GET /requeststates/{serverCorrelationId}."""
        self.gate.check(request)
        return JSONResponse(bodies.request_state(self._asked_by("server", id)))

    async def transaction(self, reference: str, request: Request) -> Response:
        """GET /transactions/{transactionReference}."""
        self.gate.check(request)
        payment = self._asked_by("reference", reference)
        if payment.status in (State.PENDING, State.FAILED):
            raise Refused("identifierError")
        return JSONResponse(
            bodies.transaction(payment, amount=self.desk.amount_of(payment), account=self.credentials.account)
        )

    async def reverse(self, reference: str, request: Request) -> Response:
        """POST /transactions/{transactionReference}/reversals: takes a paid disbursement back."""
        self.gate.check(request)
        checks.correlation(request)
        given = checks.content(request, await request.body())
        payment = self._by("reference", reference)
        if given != {"type": "reversal"}:
            raise Refused("formatError")
        if payment.status is not State.PAID:
            raise Refused("incorrectState")
        payment.script = Script(scenarios=[Scenario.PAID_THEN_RETURNED], polls=0)
        self.desk.note_question(payment)
        state = {"serverCorrelationId": str(uuid4()), "status": "pending", "notificationMethod": "polling"}
        return JSONResponse(state, status_code=bodies.ACCEPTED)

    async def name(self, number: str, request: Request) -> Response:
        """GET /accounts/msisdn/{number}/accountname."""
        self.gate.check(request)
        if number.endswith(UNREGISTERED):
            raise Refused("identifierError")
        return JSONResponse(bodies.name(other=self._plays_mismatch(number)))

    async def standing(self, number: str, request: Request) -> Response:
        """GET /accounts/msisdn/{number}/status."""
        self.gate.check(request)
        if number.endswith(UNREGISTERED):
            raise Refused("identifierError")
        return JSONResponse({"status": "available", "subStatus": "", "lei": ""})

    async def balance(self, account: str, request: Request) -> Response:
        """GET /accounts/accountid/{account}/balance, of the first currency."""
        self.gate.check(request)
        if account != self.credentials.account:
            raise Refused("identifierError")
        held = self.desk.held(PROFILE.corridors[0].currency)
        return JSONResponse(bodies.balance(held))

    async def heartbeat(self, request: Request) -> Response:
        """GET /heartbeat."""
        self.gate.check_key(request)
        return JSONResponse({"serviceStatus": "available", "delay": 0})

    def failure(self, payment: Payment) -> str | None:
        """The operator's own rules, at execution."""
        return "identifierError" if payment.account.endswith(UNREGISTERED) else None

    def callback(self, payment: Payment) -> Delivery | None:
        """PUT of the transaction, or of the error; nothing without an address."""
        if not payment.rail["callback"]:
            return None
        told = bodies.finished(payment, amount=self.desk.amount_of(payment), account=self.credentials.account)
        return bodies.delivery(payment, told)

    def forged(self, payment: Payment) -> Delivery | None:
        """A success that the operator knows nothing of: nothing is signed, so that anybody can write one."""
        paid = payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[])})
        return self.callback(paid)

    def _payment(self, id_: str, account: str, amount: Money, given: Mapping[str, Any], request: Request) -> Payment:
        return Payment(
            id=id_,
            account=account,
            amount=amount.decimal(),
            currency=amount.asset.code,
            receipt=f"R{secrets.randbelow(10**10):010}",
            at=self.desk.clock(),
            script=self.desk.script_for(id=id_, account=account, amount=amount),
            rail={
                "ours": given["requestingOrganisationTransactionReference"],
                "reference": f"REF-{secrets.randbelow(10**15):015}",
                "server": str(uuid4()),
                "callback": request.headers.get("x-callback-url", ""),
            },
        )

    def _amount(self, given: Mapping[str, Any]) -> Money:
        corridor = self._corridor(given["currency"])
        try:
            amount = Money.parse(given["amount"], corridor.asset)
        except MoneyError:
            raise Refused("formatError", text="amount") from None
        if amount < corridor.least:
            raise Refused("lessThanTransactionMinValue")
        if amount > corridor.most:
            raise Refused("greaterThanTransactionMaxValue")
        return amount

    def _corridor(self, currency: str) -> Corridor:
        found = [each.corridor() for each in PROFILE.corridors if each.currency == currency]
        if not found:
            raise Refused("currencyNotSupported")
        return found[0]

    def _refuse(self, scenario: Scenario, script: Script) -> Response | None:
        if scenario is Scenario.TOKEN_EXPIRED:
            self.gate.expire()
        refused = Refused(script.code or "requestDeclined") if scenario is Scenario.REFUSED else REFUSALS.get(scenario)
        return None if refused is None else refused.answer()

    def _accepted(self, payment: Payment) -> Response:
        fresh = payment.model_copy(update={"status": State.PENDING, "script": Script(scenarios=[])})
        return JSONResponse(bodies.request_state(fresh), status_code=bodies.ACCEPTED)

    def _finished(self, payment: Payment) -> Response:
        if payment.status is State.PENDING:
            return self._accepted(payment)
        told = bodies.finished(payment, amount=self.desk.amount_of(payment), account=self.credentials.account)
        if payment.status is State.FAILED:
            return Refused(payment.code or "genericError").answer()
        return JSONResponse(told, status_code=bodies.CREATED)

    def _question(self, id_: str) -> Payment:
        """The payment that a question is about, counted once per question. Raises `Refused`."""
        payment = self.desk.find(id_) if id_ in self._going_on else self.asked(id_)
        self._going_on.discard(id_)
        if payment is None or self.hides(payment):
            raise Refused("identifierError")
        if self.question_fails(payment):
            raise Refused(payment.script.code or "genericError")
        return payment

    def _asked_by(self, name: str, value: str) -> Payment:
        payment = self._by(name, value)
        try:
            return self._question(payment.id)
        except Refused as refused:
            if refused.category == "identification":
                self._going_on.add(payment.id)
            raise

    def _by(self, name: str, value: str) -> Payment:
        for payment in self.desk.payments():
            if payment.rail[name] == value:
                return payment
        raise Refused("identifierError")

    def _plays_mismatch(self, number: str) -> bool:
        """Whether the next script is about the name of this account; it is used up then."""
        script = next(iter(self.desk.scripts), None)
        if script is None or Scenario.NAME_MISMATCH not in script:
            return False
        return Scenario.NAME_MISMATCH in self.desk.scripts.take({"account": number})


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
