"""pawaPay's endpoints, on top of a desk that holds the money."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.pawapay import wire
from adapters.pawapay.places import PLACES, Place
from adapters.pawapay.settings import private_key
from adapters.pawapay.signatures import Message, sign
from adapters.pawapay.simulator import bodies, checks
from adapters.pawapay.simulator.checks import Refused
from adapters.pawapay.simulator.credentials import KEY_ID, OUR_KEY_ID, Credentials
from gateway.money import Money, MoneyError
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

COUNTRIES = ("RW", "GH", "KE", "SN")
FLOAT_UNITS = 10**12
ABSENT = frozenset({
    Scenario.RATE_LIMITED, Scenario.TOKEN_EXPIRED, Scenario.QUOTE_EXPIRED, Scenario.PAID_THEN_RETURNED,
    Scenario.NAME_MISMATCH, Scenario.CLAIM_OF_ANOTHER_AMOUNT,
})  # fmt: skip
"""No limit of requests is documented, the token doesn't end, nothing is quoted, COMPLETED is final, no names are told, and
it pays into wallets."""
UNREGISTERED = "000"
"""Numbers that end so have no wallet."""


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    assets = {each.currency: each.asset for each in PLACES}
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT_UNITS, each) for each in assets.values()],
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="RECIPIENT_NOT_FOUND", low_float="PAWAPAY_WALLET_OUT_OF_FUNDS"),
    )
    return PawaPaySimulator(desk).app


class PawaPaySimulator(Course):
    """The protocol of one merchant's account."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="pawaPay simulator")
        self.credentials = Credentials.of(desk)
        self.app.add_exception_handler(Refused, _refusal)
        self.app.post("/v2/payouts")(self.pay)
        self.app.post("/v2/payouts/bulk")(self.bulk)
        self.app.post("/v2/payouts/fail-enqueued/{id}")(self.cancel)
        self.app.post("/v2/payouts/resend-callback/{id}")(self.resend)
        self.app.get("/v2/payouts/{id}")(self.status)
        self.app.get("/v2/wallet-balances")(self.balances)
        self.app.get("/v2/availability")(self.availability)
        self.app.get("/v2/active-conf")(self.configuration)
        self.app.get("/v2/public-key/http")(self.keys)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings: requests and callbacks are signed."""
        return {
            "base_url": base_url,
            "api_token": self.credentials.api_token,
            "countries": list(COUNTRIES),
            "signed_callbacks": True,
            "callback_keys": {KEY_ID: self.credentials.callback_public},
            "signing_key_id": OUR_KEY_ID,
            "signing_key": self.credentials.signing_key,
        }

    async def pay(self, request: Request) -> Response:
        """POST /v2/payouts."""
        return await self._one(await self._content(request))

    async def bulk(self, request: Request) -> Response:
        """POST /v2/payouts/bulk: an answer for each."""
        given = await self._content(request)
        if not isinstance(given, list) or not 0 < len(given) <= wire.BULK_MOST:
            raise Refused("INVALID_INPUT")
        answers = []
        for each in given:
            answer = await self._one(each)
            if answer.status_code != wire.OK:
                return answer
            answers.append(json.loads(bytes(answer.body)))
        return JSONResponse(answers)

    async def status(self, id: str, request: Request) -> Response:  # noqa: A002 - the word on the wire
        """GET /v2/payouts/{payoutId}."""
        checks.authorise(request, self.credentials)
        payment = self.asked(id)
        if payment is not None and self.question_fails(payment):
            raise Refused(payment.script.code or "UNKNOWN_ERROR")
        if payment is None or self.hides(payment):
            return JSONResponse({"status": "NOT_FOUND"})
        return JSONResponse({"status": "FOUND", "data": bodies.payout(payment, amount=self.desk.amount_of(payment))})

    async def cancel(self, id: str, request: Request) -> Response:  # noqa: A002
        """POST /v2/payouts/fail-enqueued/{payoutId}."""
        checks.authorise(request, self.credentials)
        payment = self.desk.find(id)
        if payment is None:
            raise Refused("NOT_FOUND")
        if Scenario.CANCEL_TOO_LATE in payment.script:
            await self.settle(id)
        payment = self.desk.find(id)
        if payment is None or payment.status is not State.PENDING:
            return Refused("INVALID_STATE").answer(id)
        payment.script = Script(scenarios=[Scenario.FAILED], code="MANUALLY_CANCELLED")
        self.desk.settle(payment)
        await self.call_back(payment)
        return JSONResponse({"payoutId": id, "status": "ACCEPTED"})

    async def resend(self, id: str, request: Request) -> Response:  # noqa: A002
        """POST /v2/payouts/resend-callback/{payoutId}."""
        checks.authorise(request, self.credentials)
        payment = self.desk.find(id)
        if payment is None:
            raise Refused("NOT_FOUND")
        if payment.status is State.PENDING:
            return Refused("INVALID_STATE").answer(id)
        payment.script = Script(scenarios=[Scenario.HAPPY])
        await self.call_back(payment)
        return JSONResponse({"payoutId": id, "status": "ACCEPTED"})

    async def balances(self, request: Request) -> Response:
        """GET /v2/wallet-balances: one wallet per currency, in the first country that has it."""
        checks.authorise(request, self.credentials)
        places = {each.currency: each for each in reversed(PLACES) if each.country in COUNTRIES}
        return JSONResponse({
            "balances": [
                {"country": each.iso3, "balance": self.desk.held(code).decimal(), "currency": code, "provider": ""}
                for code, each in places.items()
            ]
        })  # fmt: skip

    async def availability(self) -> Response:
        """GET /v2/availability."""
        return JSONResponse([bodies.available(each) for each in PLACES])

    async def configuration(self, request: Request) -> Response:
        """GET /v2/active-conf."""
        checks.authorise(request, self.credentials)
        return JSONResponse(bodies.configuration([each for each in PLACES if each.country in COUNTRIES]))

    async def keys(self) -> Response:
        """GET /v2/public-key/http."""
        return JSONResponse([{"id": KEY_ID, "key": self.credentials.callback_public}])

    def failure(self, payment: Payment) -> str | None:
        """The wallet's own rules, at execution."""
        return "RECIPIENT_NOT_FOUND" if payment.account.endswith(UNREGISTERED) else None

    def callback(self, payment: Payment) -> Delivery | None:
        """The payout as it stands, signed unless its script says otherwise; nothing without an address."""
        return self._delivery(payment, key=self.credentials.callback_key)

    def forged(self, payment: Payment) -> Delivery | None:
        """A success that pawaPay knows nothing of, signed by somebody who calls his key as pawaPay calls its own."""
        paid = payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[])})
        return self._delivery(paid, key=self.credentials.forger_key)

    def _delivery(self, payment: Payment, *, key: str) -> Delivery | None:
        url, script = self.desk.webhook, payment.script
        if url is None:
            return None
        body = bodies.told(payment, amount=self.desk.amount_of(payment))
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if Scenario.CALLBACK_UNSIGNED not in script:
            now = self.desk.clock() - (bodies.A_DAY if Scenario.CALLBACK_STALE in script else bodies.NOTHING)
            headers = sign(Message("POST", url, headers), body, key=private_key(key), key_id=KEY_ID, now=now)
        return Delivery(url, body, {name.lower(): value for name, value in headers.items()})

    async def _content(self, request: Request) -> Any:
        checks.authorise(request, self.credentials)
        body = await request.body()
        checks.check_signature(request, body, self.credentials, clock=self.desk.clock)
        return checks.content(request, body)

    async def _one(self, given: Any) -> Response:
        """Take one payout, or say why not."""
        place = checks.payout(given)
        if self.desk.find(given["payoutId"]) is not None:
            return JSONResponse({"payoutId": given["payoutId"], "status": "DUPLICATE_IGNORED"})
        try:
            amount = Money.parse(given["amount"], place.asset)
        except MoneyError:
            return Refused("INVALID_AMOUNT").answer(given["payoutId"])
        payment = self._payment(given, place, amount)
        return await self.take(payment, refusal=_refuse_for(payment.id), accepted=_accepted)

    def _payment(self, given: Mapping[str, Any], place: Place, amount: Money) -> Payment:
        details = given["recipient"]["accountDetails"]
        account = f"+{details['phoneNumber']}"
        names = {name: str(value) for each in given["metadata"] for name, value in each.items()}
        return Payment(
            id=given["payoutId"],
            account=account,
            amount=amount.decimal(),
            currency=place.currency,
            receipt=f"MP{secrets.randbelow(10**10):010}",
            at=self.desk.clock(),
            script=self.desk.script_for(id=given["payoutId"], account=account, amount=amount),
            rail={
                "country": place.iso3,
                "provider": details["provider"],
                "client_reference": given["clientReferenceId"],
                "metadata": json.dumps(names),
            },
        )


def _refuse_for(payout_id: str) -> Any:
    def refuse(scenario: Scenario, script: Script) -> Response | None:
        if scenario is Scenario.REFUSED:
            return Refused(script.code or "INVALID_PHONE_NUMBER").answer(payout_id)
        if scenario is Scenario.DUPLICATE_ANSWER:
            return JSONResponse({"payoutId": payout_id, "status": "DUPLICATE_IGNORED"})
        return Refused("UNKNOWN_ERROR").answer()

    return refuse


def _accepted(payment: Payment) -> Response:
    created = f"{payment.at:%Y-%m-%dT%H:%M:%SZ}"
    return JSONResponse({"payoutId": payment.id, "status": "ACCEPTED", "created": created})


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
