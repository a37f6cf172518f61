"""MTN's endpoints, on top of a desk that holds the money."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.mtn_momo.places import TARGETS, Target
from adapters.mtn_momo.simulator import people
from adapters.mtn_momo.simulator.refusals import BAD_TOKEN, TOO_MANY, Refused, TurnedAway, answer_of, no_address
from adapters.mtn_momo.simulator.users import EVERYWHERE, UUID4, User, Users
from gateway.money import Money, MoneyError
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

FLOAT = 10_000_000
"""What we hold at first, in whole units of each currency."""
ABSENT = frozenset({
    Scenario.QUOTE_EXPIRED, Scenario.PAID_THEN_RETURNED, Scenario.CALLBACK_UNSIGNED, Scenario.CALLBACK_STALE,
    Scenario.CANCEL_TOO_LATE, Scenario.CLAIM_OF_ANOTHER_AMOUNT,
})  # fmt: skip
"""MTN quotes nothing, signs nothing, cancels nothing, takes nothing back, and pays into wallets only."""
WORDS: Mapping[State, str] = {State.PENDING: "PENDING", State.PAID: "SUCCESSFUL", State.FAILED: "FAILED"}
PARTIES: Mapping[str, str] = {"MSISDN": r"[0-9]{8,15}", "EMAIL": r"[^@\s]+@[^@\s]+", "PARTY_CODE": r"[0-9a-f-]{36}"}
MESSAGE = re.compile(r"[^'\"<>&]{0,160}")
"""What MTN takes as a message: it names the apostrophe as one of the characters that it refuses."""
RECEIPT_DIGITS = 9


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    assets = {target.asset for target in TARGETS.values()}
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT * 10**asset.decimals, asset) for asset in sorted(assets, key=str)],
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="PAYEE_NOT_FOUND", low_float="NOT_ENOUGH_FUNDS"),
    )
    return Momo(desk).app


class Momo(Course):
    """The protocol of the product Disbursements, in every country."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="MTN MoMo simulator")
        self.users = Users(desk)
        self.users.mount(self.app)
        for error in (Refused, TurnedAway):
            self.app.add_exception_handler(error, answer_of)
        self.app.add_exception_handler(404, no_address)
        self.app.post("/disbursement/v1_0/transfer")(self.pay)
        self.app.get("/disbursement/v1_0/transfer/{reference}")(self.status)
        self.app.get("/disbursement/v1_0/account/balance")(self.balance)
        self.app.get("/disbursement/v1_0/account/balance/{currency}")(self.balance)
        self.app.get("/disbursement/v1_0/accountholder/msisdn/{number}/active")(self.active)
        self.app.get("/disbursement/v1_0/accountholder/msisdn/{number}/basicuserinfo")(self.name)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings, for Uganda."""
        user, keys = self.users.first(), self.users.keys
        return {
            "base_url": base_url,
            "subscription_key": keys.disbursement,
            "api_user": user.id,
            "api_key": user.api_key,
            "target_environment": "mtnuganda",
        }

    # -- endpoints -------------------------------------------------------------------------------------------------------

    async def pay(self, request: Request) -> Response:
        """POST /disbursement/v1_0/transfer."""
        user, target = self._admit(request)
        reference = request.headers.get("x-reference-id", "")
        given = _transfer(await request.body())
        if not UUID4.fullmatch(reference) or request.headers.get("content-type") != "application/json":
            raise Refused("BAD_REQUEST")
        _check_callback(request.headers.get("x-callback-url"), user)
        if given["currency"] != target.asset.code:
            raise Refused("INVALID_CURRENCY")
        if self.desk.find(reference) is not None:
            raise Refused("RESOURCE_ALREADY_EXIST")
        payment = self._payment(given, reference, target, callback_url=request.headers.get("x-callback-url", ""))
        if payment.account in people.REFUSED:
            raise Refused(people.REFUSED[payment.account])
        return await self.take(payment, refusal=self._refusal, accepted=lambda _: Response(status_code=202))

    async def status(self, request: Request, reference: str) -> Response:
        """GET /disbursement/v1_0/transfer/{reference}: HTTP 200 for a failed one too."""
        self._admit(request)
        payment = self.asked(reference)
        if payment is None or self.hides(payment):
            raise Refused("RESOURCE_NOT_FOUND")
        if self.question_fails(payment):
            raise Refused(payment.script.code or "SERVICE_UNAVAILABLE")
        told = self._told(payment)
        if Scenario.UNLISTED_STATUS in payment.script:
            told["status"] = payment.script.status
        return JSONResponse(told)

    async def balance(self, request: Request, currency: str | None = None) -> Response:
        """GET /disbursement/v1_0/account/balance, or of one currency."""
        _, target = self._admit(request)
        if currency not in (None, target.asset.code):
            raise Refused("INVALID_CURRENCY")
        held = self.desk.held(target.asset.code)
        return JSONResponse({"availableBalance": held.decimal(), "currency": target.asset.code})

    async def active(self, request: Request, number: str) -> Response:
        """GET .../accountholder/msisdn/{number}/active."""
        account = self._account(request, number)
        if refusal := people.no_holder(account):
            raise Refused(refusal)
        return JSONResponse({"result": account != people.INACTIVE})

    async def name(self, request: Request, number: str) -> Response:
        """GET .../accountholder/msisdn/{number}/basicuserinfo. The script stays for the payment."""
        account = self._account(request, number)
        scripts = [each for each in self.desk.scripts if each.match.get("account", account) == account]
        return JSONResponse(people.name_of(account, other=any(Scenario.NAME_MISMATCH in each for each in scripts)))

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def failure(self, payment: Payment) -> str | None:
        """The sandbox's numbers."""
        return people.failure(payment.account)

    def callback(self, payment: Payment) -> Delivery | None:
        """PUT or POST to X-Callback-Url, unsigned, with the body that a question would be answered with."""
        told, script = self._told(payment), payment.script
        if Scenario.CALLBACK_WRONG_AMOUNT in script:
            told["amount"] = (self.desk.amount_of(payment) + _whole(payment, self.desk)).decimal()
        if Scenario.CALLBACK_WRONG_ID in script:
            told["externalId"] = _other(payment.rail["external_id"])
        if Scenario.CALLBACK_WRONG_PAYEE in script:
            told["payee"] = {
                "partyIdType": "MSISDN",
                "partyId": f"{payment.account[1:-1]}{(int(payment.account[-1]) + 1) % 10}",
            }
        return self._delivery(payment, told)

    def forged(self, payment: Payment) -> Delivery | None:
        """Anybody can send one."""
        return self._delivery(payment, {**self._told(payment), "status": "SUCCESSFUL", "financialTransactionId": "1"})

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _admit(self, request: Request) -> tuple[User, Target]:
        """Who asks, in which country. Raises `Refused` and `TurnedAway`."""
        user = self.users.of(request)
        environment = request.headers.get("x-target-environment", "")
        if environment not in TARGETS or user.target_environment not in (EVERYWHERE, environment):
            raise Refused("NOT_ALLOWED_TARGET_ENVIRONMENT")
        return user, TARGETS[environment]

    def _account(self, request: Request, number: str) -> str:
        _, target = self._admit(request)
        if re.fullmatch(target.number, f"+{number}") is None:
            raise Refused("RESOURCE_NOT_FOUND")
        return f"+{number}"

    def _payment(self, given: Mapping[str, Any], reference: str, target: Target, *, callback_url: str) -> Payment:
        payee = given["payee"]
        account = f"+{payee['partyId']}" if payee["partyIdType"] == "MSISDN" else payee["partyId"]
        try:
            amount = Money.parse(given["amount"], target.asset)
        except MoneyError:
            raise Refused("BAD_REQUEST") from None
        # externalId is no key at MTN: another reference id with the same one is another payment.
        script = self.desk.script_for(id=reference, account=account, amount=amount)
        if account in people.WAITING:
            script = Script(scenarios=[people.WAITING[account]], polls=2)
        return Payment(
            id=reference,
            account=account,
            amount=amount.decimal(),
            currency=target.asset.code,
            receipt=str(secrets.randbelow(9 * 10**RECEIPT_DIGITS) + 10**RECEIPT_DIGITS),
            at=self.desk.clock(),
            script=script,
            rail={
                "external_id": given["externalId"],
                "party_type": payee["partyIdType"],
                "party": payee["partyId"],
                "callback_url": callback_url,
            },
        )

    def _told(self, payment: Payment) -> dict[str, Any]:
        """A transfer as MTN tells it."""
        rail = payment.rail
        told: dict[str, Any] = {
            "amount": self.desk.amount_of(payment).decimal(),
            "currency": payment.currency,
            "externalId": rail["external_id"],
            "payee": {"partyIdType": rail["party_type"], "partyId": rail["party"]},
            "status": WORDS[payment.status],
        }
        if payment.status is State.PAID:
            told["financialTransactionId"] = payment.receipt
        if payment.status is State.FAILED:
            told["reason"] = {"code": payment.code, "message": "The transfer failed."}
        return told

    def _delivery(self, payment: Payment, told: Mapping[str, Any]) -> Delivery | None:
        """Once by PUT, once by POST, as the reference id has it: listeners have to take both."""
        method = "PUT" if int(payment.id[-1], 16) % 2 else "POST"
        url = payment.rail["callback_url"]
        return Delivery(url=url, body=json.dumps(told).encode(), method=method) if url else None

    def _refusal(self, scenario: Scenario, script: Script) -> Response | None:
        if scenario is Scenario.RATE_LIMITED:
            return TurnedAway(TOO_MANY).answer()
        if scenario is Scenario.TOKEN_EXPIRED:
            self.users.expire()
            return TurnedAway(BAD_TOKEN).answer()
        codes = {Scenario.DUPLICATE_ANSWER: "RESOURCE_ALREADY_EXIST", Scenario.REFUSED: script.code or "NOT_ALLOWED"}
        return Refused(codes.get(scenario, "INTERNAL_PROCESSING_ERROR")).answer()


def _transfer(body: bytes) -> dict[str, Any]:
    """The fields of a transfer, each of the documented form. Raises `Refused`."""
    try:
        read = json.loads(body)
    except ValueError:
        read = None
    payee = read.get("payee") if isinstance(read, dict) else None
    if not isinstance(read, dict) or not isinstance(payee, dict):
        raise Refused("BAD_REQUEST")
    texts = [read.get(name) for name in ("amount", "currency", "externalId", "payerMessage", "payeeNote")]
    if not all(isinstance(each, str) for each in (*texts, payee.get("partyId"), payee.get("partyIdType"))):
        raise Refused("BAD_REQUEST")
    pattern = PARTIES.get(payee["partyIdType"])
    messages = (read["payerMessage"], read["payeeNote"])
    if pattern is None or not re.fullmatch(pattern, payee["partyId"]) or not all(map(MESSAGE.fullmatch, messages)):
        raise Refused("BAD_REQUEST")
    return read


def _check_callback(url: str | None, user: User) -> None:
    """The host has to be the one that was registered with the API user."""
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("BAD_REQUEST")
    if user.callback_host is not None and parts.hostname != user.callback_host.lower():
        raise Refused("INVALID_CALLBACK_URL_HOST")


def _whole(payment: Payment, desk: Desk) -> Money:
    asset = desk.assets[payment.currency]
    return Money(7 * 10**asset.decimals, asset)


def _other(text: str) -> str:
    """Another id or number of the same form."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")
