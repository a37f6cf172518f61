"""Daraja's endpoints, on top of a desk that holds the money."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from adapters.mpesa.settings import KES
from adapters.mpesa.simulator import bodies, checks
from adapters.mpesa.simulator.checks import Refused
from adapters.mpesa.simulator.credentials import Credentials
from adapters.mpesa.simulator.statement import statement_csv
from adapters.mpesa.simulator.tokens import Tokens
from gateway.money import Money
from gateway.railsim import (
    Codes,
    Course,
    Delivery,
    Desk,
    Options,
    Payment,
    RailApp,
    Scenario,
    Script,
    State,
    post_later,
    start,
)

FLOAT = Money(10_000_000_00, KES)
LEAST, MOST, DAILY = Money(10_00, KES), Money(250_000_00, KES), Money(500_000_00, KES)

DUPLICATE = (500, "500.002.1001", "Duplicate OriginatorConversationID.")
ABSENT = frozenset({
    Scenario.QUOTE_EXPIRED, Scenario.CALLBACK_UNSIGNED, Scenario.CALLBACK_STALE, Scenario.NAME_MISMATCH,
    Scenario.CANCEL_TOO_LATE, Scenario.CLAIM_OF_ANOTHER_AMOUNT,
})  # fmt: skip
"""Daraja quotes nothing, signs nothing, tells no names, cancels nothing, and pays into wallets only."""
UNAVAILABLE = (503, "500.003.1001", "Internal Server Error")
REFUSALS: Mapping[Scenario, tuple[int, str, str]] = {
    Scenario.ERROR_BEFORE_ACCEPT: UNAVAILABLE,
    Scenario.RATE_LIMITED: (500, "500.003.02", "Error Occurred: Spike Arrest Violation"),
    Scenario.TOKEN_EXPIRED: (404, "404.001.03", "Invalid Access Token"),
    Scenario.ERROR_AFTER_ACCEPT: UNAVAILABLE,
    Scenario.DUPLICATE_ANSWER: DUPLICATE,
}


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=(FLOAT,),
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="2040", low_float="1"),
    )
    return Daraja(desk).app


class Daraja(Course):
    """The protocol of one Daraja app and short code."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="M-PESA simulator")
        self.credentials = Credentials.of(desk)
        self.key = self.credentials.key()
        self.tokens = Tokens(credentials=self.credentials, clock=desk.clock)
        self.app.add_exception_handler(Refused, _refusal)
        self.app.add_exception_handler(404, _no_such_resource)
        self.app.add_exception_handler(405, _no_such_method)
        self.app.get("/oauth/v1/generate")(self.tokens.issue)
        self.app.post("/mpesa/b2c/v3/paymentrequest")(self.pay)
        self.app.post("/mpesa/transactionstatus/v1/query")(self.status)
        self.app.post("/mpesa/accountbalance/v1/query")(self.balance)
        self.app.get("/_sim/certificate")(self.certificate)
        self.app.get("/_sim/statement.csv")(self.statement)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {"base_url": base_url, **self.credentials.model_dump(exclude={"private_key"})}

    async def certificate(self) -> PlainTextResponse:
        """The certificate whose key opens a SecurityCredential, as PEM."""
        return PlainTextResponse(self.credentials.certificate)

    async def statement(self) -> PlainTextResponse:
        """The account's statement as the organisation portal gives it for downloading."""
        code = self.credentials.short_code
        content = statement_csv(self.desk.movements(), short_code=code, held=self._funds())
        return PlainTextResponse(content, media_type="text/csv")

    async def pay(self, request: Request) -> Response:
        """POST /mpesa/b2c/v3/paymentrequest."""
        self.tokens.check(request)
        given = self._fields(await request.body(), checks.PAYMENT)
        if self.desk.find(given["OriginatorConversationID"]) is not None:
            raise Refused(*DUPLICATE)
        return await self.take(self._payment(given), refusal=self._refusal, accepted=_accepted)

    async def status(self, request: Request) -> Response:
        """POST /mpesa/transactionstatus/v1/query, by our id or by receipt."""
        self.tokens.check(request)
        given = self._fields(await request.body(), checks.STATUS)
        found = self._find(given)
        payment = None if found is None else self.asked(found)
        if payment is not None and payment.script.code is None and self.question_fails(payment):
            raise Refused(*UNAVAILABLE)
        conversation, original = self._new_question()
        answer = self._status_answer(given, payment, conversation=conversation, original=original)
        delay = self.desk.options.delay_s if payment is None else self.desk.delay_s(payment.script)
        start(self.app, post_later(self.app, url=given["ResultURL"], body=answer, after_s=delay))
        return _ack(conversation=conversation, original=original)

    def _status_answer(
        self, given: Mapping[str, str], payment: Payment | None, *, conversation: str, original: str
    ) -> bytes:
        failure = None
        if not self._is_initiator(given["Initiator"], given["SecurityCredential"]):
            failure = "2001"
        elif payment is None or self.hides(payment):
            failure = bodies.NOT_FOUND
        elif self.question_fails(payment):
            failure = payment.script.code
        if payment is None or failure is not None:
            return bodies.failed_question(failure or bodies.NOT_FOUND, original=original, conversation=conversation)
        return bodies.status_result(
            payment,
            amount=self.desk.amount_of(payment),
            short_code=self.credentials.short_code,
            original=original,
            conversation=conversation,
        )

    async def balance(self, request: Request) -> Response:
        """POST /mpesa/accountbalance/v1/query."""
        self.tokens.check(request)
        given = self._fields(await request.body(), checks.BALANCE)
        conversation, original = self._new_question()
        if self._is_initiator(given["Initiator"], given["SecurityCredential"]):
            now = self.desk.clock()
            answer = bodies.balance_result(self._funds(), now=now, original=original, conversation=conversation)
        else:
            answer = bodies.failed_question("2001", original=original, conversation=conversation)
        delay = self.desk.options.delay_s
        start(self.app, post_later(self.app, url=given["ResultURL"], body=answer, after_s=delay))
        return _ack(conversation=conversation, original=original)

    def callback(self, payment: Payment) -> Delivery:
        """What Daraja posts to a payment's ResultURL."""
        body = bodies.payment_result(payment, amount=self.desk.amount_of(payment), funds=self._funds())
        return Delivery(url=payment.rail["result_url"], body=body)

    def forged(self, payment: Payment) -> Delivery:
        """Anybody could post one."""
        body = bodies.forged_result(payment, amount=self.desk.amount_of(payment), funds=self._funds())
        return Delivery(url=payment.rail["result_url"], body=body)

    def _refusal(self, scenario: Scenario, script: Script) -> Response | None:
        if scenario is Scenario.TOKEN_EXPIRED:
            self.tokens.expire()
        if scenario is Scenario.REFUSED:
            code = script.code or "400.002.02"
            return Refused(int(code[:3]) if "." in code else 500, code, "Refused by script").answer()
        return Refused(*REFUSALS[scenario]).answer() if scenario in REFUSALS else None

    def _payment(self, given: Mapping[str, str]) -> Payment:
        id_, account, amount = (
            given["OriginatorConversationID"],
            f"+{given['PartyB']}",
            Money(int(given["Amount"]) * 100, KES),
        )
        now = self.desk.clock()
        trusted = self._is_initiator(given["InitiatorName"], given["SecurityCredential"])
        return Payment(
            id=id_,
            account=account,
            amount=amount.decimal(),
            currency=KES.code,
            receipt=bodies.receipt(),
            at=now,
            script=self.desk.script_for(id=id_, account=account, amount=amount),
            rail={
                "conversation": bodies.conversation_id(now),
                "result_url": given["ResultURL"],
                "initiator": "known" if trusted else "unknown",
            },
        )

    def failure(self, payment: Payment) -> str | None:
        """M-PESA's code if its own rules refuse the payment."""
        amount = Money.parse(payment.amount, KES)
        if payment.rail["initiator"] != "known":
            return "2001"
        if amount < LEAST:
            return "2"
        if amount > MOST:
            return "3"
        return "4" if self._received_today(payment) + amount > DAILY else None

    def _received_today(self, payment: Payment) -> Money:
        today = payment.at.astimezone(bodies.NAIROBI).date()
        paid = (
            self.desk.amount_of(each)
            for each in self.desk.payments_to(payment.account)
            if each.status is State.PAID and each.at.astimezone(bodies.NAIROBI).date() == today
        )
        return sum(paid, start=Money(0, KES))

    def _fields(self, body: bytes, expected: Mapping[str, str]) -> dict[str, str]:
        given = checks.fields(body, expected)
        if given["PartyA"] != self.credentials.short_code:
            raise Refused(400, "400.002.02", "Bad Request - Invalid PartyA")
        return given

    def _find(self, given: Mapping[str, str]) -> str | None:
        """The id of the payment that a question is about."""
        original, transaction = given.get("OriginalConversationID"), given.get("TransactionID")
        if original is None and transaction is None:
            raise Refused(400, "400.002.02", "Bad Request - Invalid TransactionID")
        if original is not None:
            return original
        return next((each.id for each in self.desk.payments() if each.receipt == transaction), None)

    def _is_initiator(self, name: str, credential: str) -> bool:
        known = self.credentials
        return name == known.initiator_name and checks.password_in(credential, self.key) == known.initiator_password

    def _new_question(self) -> tuple[str, str]:
        return bodies.conversation_id(
            self.desk.clock()
        ), f"{secrets.randbelow(90_000) + 10_000}-{secrets.randbelow(10**8)}-1"

    def _funds(self) -> Money:
        return self.desk.held(KES.code)


def _accepted(payment: Payment) -> Response:
    return _ack(conversation=payment.rail["conversation"], original=payment.id)


def _ack(*, conversation: str, original: str) -> JSONResponse:
    return JSONResponse(
        {
            "ConversationID": conversation,
            "OriginatorConversationID": original,
            "ResponseCode": "0",
            "ResponseDescription": "Accept the service request successfully.",
        }
    )


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()


async def _no_such_resource(_request: Request, _error: Exception) -> Response:
    return Refused(404, "404.001.01", "Resource not found").answer()


async def _no_such_method(_request: Request, _error: Exception) -> Response:
    return Refused(405, "405.001", "Method Not Allowed").answer()
