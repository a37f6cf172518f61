"""Yellow Card's endpoints, on top of a desk that holds the money."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any, Literal
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.yellowcard.client import timestamp, webhook_signature
from adapters.yellowcard.countries import ASSETS, COUNTRIES
from adapters.yellowcard.simulator import checks
from adapters.yellowcard.simulator.books import RATES, Credentials, Offer, Offers, channels, networks
from adapters.yellowcard.simulator.checks import Refused, invalid
from gateway.money import Asset, Money, Rate
from gateway.railsim import Codes, Course, Cut, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State, start

LOCKED_FOR = timedelta(minutes=10)
"""reference/submit-payment: "Payment requests have ten minutes to be accepted"."""
ABSENT: Mapping[Scenario, str] = {
    Scenario.TOKEN_EXPIRED: "every request is signed anew: there is no token",
    Scenario.PAID_THEN_RETURNED: "no document knows a payment that leaves COMPLETE",
    Scenario.CALLBACK_WRONG_AMOUNT: "its webhooks name no amount",
    Scenario.CALLBACK_WRONG_PAYEE: "its webhooks name no recipient",
    Scenario.CALLBACK_STALE: "its signature has no time",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays no cash",
}
UNAVAILABLE = Refused(500, "InternalServerError", "something went wrong")
BEFORE: Mapping[Scenario, Refused] = {
    Scenario.ERROR_BEFORE_ACCEPT: UNAVAILABLE,
    Scenario.RATE_LIMITED: Refused(429, "TooManyRequests", "Too many requests"),
}
"""How a submission is refused by script: nothing is submitted, so nobody can accept it."""
AFTER: Mapping[Scenario, Refused] = {
    Scenario.QUOTE_EXPIRED: Refused(400, "PaymentExpired", "Payment request expired"),
    Scenario.ERROR_AFTER_ACCEPT: UNAVAILABLE,
    Scenario.DUPLICATE_ANSWER: Refused(400, "PaymentInvalidState", "Payment is in an invalid state"),
}
"""How an acceptance is refused by script; but for the first of them it counts all the same."""
FAILED_FOR_BALANCE = "INSUFFICIENT_BALANCE"
WAITING = {Scenario.LOW_FLOAT, Scenario.PENDING_FOREVER, Scenario.CANCEL_TOO_LATE}
"""Played in the one state that a payment can stay in, and that it can be taken back from."""
HOLDER = "Ngozi Simulated"
NOBODY = "0000000000"
"""The account number that no bank knows."""
Naming = Literal["payments", "send"]


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(10**12, asset) for asset in ASSETS.values()],
        offers=frozenset(Scenario) - set(ABSENT),
        codes=Codes(failed="REFUSED", low_float=FAILED_FOR_BALANCE),
    )
    return Business(desk).app


class Business(Course):
    """The protocol of one business account. A payment is taken when it is accepted."""

    def __init__(self, desk: Desk) -> None:
        self.credentials = Credentials.of(desk)
        self.offers = Offers(desk)
        super().__init__(desk, title="Yellow Card simulator")
        self.app.add_exception_handler(Refused, _refusal)
        get, post = self.app.get, self.app.post
        get("/business/channels")(self.channels)
        get("/business/networks")(self.networks)
        get("/business/rates")(self.rates)
        get("/business/account")(self.account)
        post("/business/details/bank")(self.resolve)
        get("/business/payments/sequence-id/{sequence_id}")(self.by_sequence)
        post("/business/payments/{id}/fail-pending-liquidity")(self.give_up)
        post("/business/{naming}")(self.submit)
        get("/business/{naming}/{id}")(self.look)
        post("/business/{naming}/{id}/accept")(self.accept)
        post("/business/{naming}/{id}/deny")(self.deny)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {
            "base_url": base_url,
            "business_name": "Lastmile Limited",
            "business_id": "C-2026-1",
            "customer_uid": "lastmile",
            "countries": ["NG", "KE", "UG", "RW"],
            "failures": {FAILED_FOR_BALANCE: "float"},
            "resend_within_s": 86_400,
            **self.credentials.model_dump(),
        }

    # -- what can be paid ------------------------------------------------------------------------------------------------

    async def channels(self, request: Request, country: str | None = None) -> JSONResponse:
        """GET /business/channels."""
        await self._authenticate(request)
        return JSONResponse({"channels": channels(country)})

    async def networks(self, request: Request, country: str | None = None) -> JSONResponse:
        """GET /business/networks."""
        await self._authenticate(request)
        return JSONResponse({"networks": networks(country)})

    async def rates(self, request: Request, currency: str | None = None) -> JSONResponse:
        """GET /business/rates."""
        await self._authenticate(request)
        listed = [
            {
                "code": code,
                "buy": _number(rate),
                "sell": _number(rate),
                "locale": code[:2],
                "rateId": code.lower(),
                "updatedAt": self.desk.clock().isoformat(),
            }
            for code, rate in RATES.items()
            if currency in (None, code)
        ]
        return JSONResponse({"rates": listed})

    async def account(self, request: Request) -> JSONResponse:
        """GET /business/account."""
        await self._authenticate(request)
        held = [self.desk.held(code) for code in self.desk.assets]
        accounts = [
            {"available": _number(each.decimal()), "currency": each.asset.code, "currencyType": "fiat"} for each in held
        ]
        return JSONResponse({"accounts": accounts})

    async def resolve(self, request: Request) -> JSONResponse:
        """POST /business/details/bank."""
        await self._authenticate(request)
        given = checks.resolution(await request.body())
        number = given["accountNumber"]
        if number == NOBODY or all(each["id"] != given["networkId"] for each in networks(None)):
            raise Refused(400, "ResolveAccountError", "Could not resolve account number")
        script = self._waiting_for(number)
        name = "Somebody Else" if Scenario.NAME_MISMATCH in script else HOLDER
        return JSONResponse({"accountNumber": number, "accountName": name, "accountBank": "A bank"})

    def _waiting_for(self, account: str) -> Script:
        """The script that the next payment to this account will play; left in the queue unless it is about the name."""
        script = next((each for each in self.desk.scripts if each.match.items() <= {"account": account}.items()), None)
        if script is None or Scenario.NAME_MISMATCH not in script:
            return Script(scenarios=[Scenario.HAPPY])
        return self.desk.scripts.take({"account": account})

    # -- a payment -------------------------------------------------------------------------------------------------------

    async def submit(self, request: Request, naming: Naming) -> Response:  # noqa: ARG002 - both namings do the same
        """POST /business/payments."""
        await self._authenticate(request)
        given = checks.submission(await request.body())
        if self.offers.of_sequence(given["sequenceId"]) is not None:
            raise invalid(f"payment with sequenceId {given['sequenceId']} already exists")
        offer = self._offer(given)
        script = offer.payment.script
        if Scenario.CUT_BEFORE_ACCEPT in script:
            return Cut()
        if Scenario.REFUSED in script:
            raise Refused(400, script.code or "PaymentValidationError", "Refused by script")
        for scenario, refused in BEFORE.items():
            if scenario in script:
                raise refused
        self.offers.keep(offer)
        return JSONResponse(self._shown(offer, "created"))

    def _offer(self, given: Mapping[str, Any]) -> Offer:
        to, now = given["destination"], self.desk.clock()
        channel = next((each for each in channels(None) if each["id"] == given["channelId"]), None)
        network = next((each for each in networks(None) if each["id"] == to["networkId"]), None)
        is_open = channel is not None and channel["rampType"] == "withdraw" and channel["apiStatus"] == "active"
        if channel is None or not is_open or network is None or network["status"] != "active":
            raise invalid("channel or network is inactive")
        if channel["id"] not in network["channelIds"] or to["accountType"] != channel["channelType"]:
            raise invalid("network is not reached by this channel")
        if to["accountType"] == "momo" and not to["accountNumber"].startswith("+"):
            raise Refused(400, "InvalidPhoneNumberFormat", "Phone number must be in international format")
        if not channel["min"] <= given["localAmount"] <= channel["max"]:
            raise invalid(f"amount must be between {channel['min']} and {channel['max']}")
        asset = COUNTRIES[channel["country"]].asset
        amount = Money(given["localAmount"] * 10**asset.decimals, asset)
        id_ = given["sequenceId"]
        payment = Payment(
            id=id_,
            account=to["accountNumber"],
            amount=amount.decimal(),
            currency=asset.code,
            receipt=f"{secrets.randbelow(10**22):022}",
            at=now,
            script=self.desk.script_for(id=id_, account=to["accountNumber"], amount=amount),
            rail={"channel": channel["id"], "network": network["id"], "country": channel["country"]},
        )
        return Offer(id=str(uuid4()), payment=payment, expires_at=now + LOCKED_FOR)

    async def accept(self, request: Request, naming: Naming, id: str) -> Response:  # noqa: A002, ARG002
        """POST /business/payments/{id}/accept."""
        await self._authenticate(request)
        offer = self._found(id)
        if self.desk.find(offer.payment.id) is not None or offer.denied:
            raise AFTER[Scenario.DUPLICATE_ANSWER]
        if self.desk.clock() >= offer.expires_at:
            raise AFTER[Scenario.QUOTE_EXPIRED]
        if Scenario.QUOTE_EXPIRED in offer.payment.script:
            self.offers.keep(offer.model_copy(update={"expires_at": self.desk.clock()}))
        return await self.take(
            offer.payment,
            refusal=lambda scenario, _: AFTER[scenario].answer() if scenario in AFTER else None,
            accepted=lambda payment: JSONResponse(self._shown(offer.model_copy(update={"payment": payment}), "process")),
        )

    async def deny(self, request: Request, naming: Naming, id: str) -> Response:  # noqa: A002, ARG002
        """POST /business/payments/{id}/deny."""
        await self._authenticate(request)
        offer = self._found(id)
        if self.desk.find(offer.payment.id) is not None or offer.denied:
            raise AFTER[Scenario.DUPLICATE_ANSWER]
        if self.desk.clock() >= offer.expires_at:
            raise AFTER[Scenario.QUOTE_EXPIRED]
        offer = offer.model_copy(update={"denied": True})
        self.offers.keep(offer)
        return JSONResponse(self._shown(offer, "denied"))

    async def give_up(self, request: Request, id: str) -> Response:  # noqa: A002
        """POST /business/payments/{id}/fail-pending-liquidity."""
        await self._authenticate(request)
        offer = self._found(id)
        payment = self.desk.find(offer.payment.id)
        if payment is None or self._word(offer, payment) != "PENDING_LIQUIDITY":
            raise AFTER[Scenario.DUPLICATE_ANSWER]
        late = Scenario.CANCEL_TOO_LATE in payment.script
        payment.script = payment.script.model_copy(update={"scenarios": [Scenario.HAPPY]})
        if late:
            self.desk.top_up(self.desk.amount_of(payment))
        if self.desk.settle(payment, failure=None if late else FAILED_FOR_BALANCE):
            start(self.app, self.call_back(payment))
        return JSONResponse(self._shown(offer, self._word(offer, payment)))

    async def look(self, request: Request, naming: Naming, id: str) -> Response:  # noqa: A002, ARG002
        """GET /business/payments/{id}."""
        await self._authenticate(request)
        return self._look(self._found(id))

    async def by_sequence(self, request: Request, sequence_id: str) -> Response:
        """GET /business/payments/sequence-id/{id}."""
        await self._authenticate(request)
        return self._look(self._known(self.offers.of_sequence(sequence_id)))

    def _look(self, offer: Offer) -> Response:
        payment = self.asked(offer.payment.id)
        if payment is not None and self.hides(payment):
            raise Refused(404, "PaymentNotFound", "Payment not found")
        if payment is not None and self.question_fails(payment):
            raise Refused(400, payment.script.code, "Refused by script") if payment.script.code else UNAVAILABLE
        return JSONResponse(self._shown(offer, self._word(offer, payment)))

    def _found(self, id: str) -> Offer:  # noqa: A002
        return self._known(self.offers.find(id))

    def _known(self, offer: Offer | None) -> Offer:
        if offer is None:
            raise Refused(404, "PaymentNotFound", "Payment not found")
        return offer

    def _word(self, offer: Offer, payment: Payment | None) -> str:
        """The status, as Yellow Card has it."""
        if payment is None:
            if offer.denied:
                return "denied"
            return "expired" if self.desk.clock() >= offer.expires_at else "pending_approval"
        if Scenario.UNLISTED_STATUS in payment.script:
            return payment.script.status
        if payment.status is State.PENDING:
            poor = self.desk.held(payment.currency) < self.desk.amount_of(payment)
            return "PENDING_LIQUIDITY" if poor or WAITING & set(payment.script.scenarios) else "processing"
        return "complete" if payment.status is State.PAID else "failed"

    def _shown(self, offer: Offer, status: str) -> dict[str, Any]:
        """A payment as every answer shows it. What was paid is shown as it is, what wasn't as it was ordered."""
        payment = self.desk.find(offer.payment.id) or offer.payment
        asset = self.desk.assets[payment.currency]
        ordered = Money.parse(payment.amount, asset)
        shown = self.desk.amount_of(payment) if payment.status is State.PAID else ordered
        made: dict[str, Any] = {
            "id": offer.id,
            "channelId": payment.rail["channel"],
            "sequenceId": payment.id,
            "currency": payment.currency,
            "country": payment.rail["country"],
            "amount": _number(_dollars(ordered)),
            "reason": "other",
            "forceAccept": False,
            "convertedAmount": _number(shown.decimal()),
            "status": status,
            "rate": _number(RATES[payment.currency]),
            "fiatWallet": "USD",
            "destination": {"accountNumber": payment.account, "accountName": HOLDER, "networkId": payment.rail["network"]},
            "createdAt": timestamp(payment.at),
            "updatedAt": timestamp(payment.final_at or payment.at),
            "expiresAt": timestamp(offer.expires_at),
        }
        if payment.status is State.PAID:
            made["sessionId"] = payment.receipt
        if payment.code is not None:
            made["errorCode"] = payment.code
        return made

    async def finish(self, payment: Payment) -> None:
        """Settle a payment after its delay; one that is to be cancelled too late waits for the cancellation."""
        if Scenario.CANCEL_TOO_LATE not in payment.script:
            await super().finish(payment)

    # -- webhooks --------------------------------------------------------------------------------------------------------

    def callback(self, payment: Payment) -> Delivery | None:
        """PAYMENT.COMPLETE or PAYMENT.FAILED."""
        word = "complete" if payment.status is State.PAID else "failed"
        sequence_id = payment.id
        if Scenario.CALLBACK_WRONG_ID in payment.script:
            sequence_id = "att_00000000000000000000000000"
        return self._webhook(payment, word, sequence_id=sequence_id, secret=self.credentials.secret_key)

    def forged(self, payment: Payment) -> Delivery | None:
        """A success, signed by somebody who doesn't know the key."""
        return self._webhook(payment, "complete", sequence_id=payment.id, secret="not the secret key")  # noqa: S106

    def _webhook(self, payment: Payment, word: str, *, sequence_id: str, secret: str) -> Delivery | None:
        offer = self.offers.of_sequence(payment.id)
        if self.desk.webhook is None or offer is None:
            return None
        event: dict[str, Any] = {
            "id": offer.id,
            "sequenceId": sequence_id,
            "status": word,
            "apiKey": self.credentials.api_key,
            "event": f"PAYMENT.{word.upper()}",
            "executedAt": timestamp(payment.final_at or payment.at),
        }
        if payment.code is not None:
            event["errorCode"] = payment.code
        body = json.dumps(event, separators=(",", ":")).encode()
        signed = {"X-YC-Signature": webhook_signature(secret=secret, body=body)}
        return Delivery(self.desk.webhook, body, {} if Scenario.CALLBACK_UNSIGNED in payment.script else signed)

    async def _authenticate(self, request: Request) -> None:
        await checks.authenticate(request, self.credentials, now=self.desk.clock())


def _dollars(amount: Money) -> str:
    """What it costs us, rounded up to the cent."""
    usd = Asset("USD", 2)
    price = Rate.per_whole(Fraction(RATES[amount.asset.code]), base=usd, quote=amount.asset)
    return price.ceil_base(amount).decimal()


def _number(decimal: str) -> Any:
    """A JSON number of this text."""
    return json.loads(decimal)


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
