"""A simulator of Flutterwave's version 3: transfers, their statuses and fees, balances, account resolution, webhooks.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it. It
calls the address entered at `PUT /_sim/webhook` about every transfer, with the secret hash in a header.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.flutterwave.routes import ASSETS, COUNTRIES, ROUTES, Route
from gateway.money import Money
from gateway.offramp import Method
from gateway.railkit.documents import Unreadable, document, money_of
from gateway.railkit.written import exact_json
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

ABSENT: Mapping[Scenario, str] = {
    Scenario.QUOTE_EXPIRED: "this adapter asks for no quote",
    Scenario.TOKEN_EXPIRED: "its key doesn't run out",
    Scenario.CALLBACK_STALE: "its webhook holds no time",
    Scenario.CANCEL_TOO_LATE: "Flutterwave cancels nothing",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into accounts",
}
FLOAT = 50_000_000
UNKNOWN_ACCOUNT = "0000"
"""Accounts that end with it can't be resolved."""
NO_FUNDS = "DISBURSE FAILED: Insufficient funds in customer wallet"
WORDS = {State.PENDING: "PENDING", State.PAID: "SUCCESSFUL", State.FAILED: "FAILED", State.RETURNED: "REVERSED"}
REQUIRED = {"account_bank", "account_number", "amount", "narration", "currency", "reference", "debit_currency"}
DUPLICATE = (400, "Duplicate reference: a transfer with this reference already exists")
TIMED_OUT = (503, "An error occurred. Please contact support")
REFUSALS: Mapping[Scenario, tuple[int, str]] = {
    Scenario.RATE_LIMITED: (429, "Too many requests"),
    Scenario.DUPLICATE_ANSWER: DUPLICATE,
    Scenario.ERROR_BEFORE_ACCEPT: TIMED_OUT,
    Scenario.ERROR_AFTER_ACCEPT: TIMED_OUT,
}


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT * 10**asset.decimals, asset) for asset in ASSETS.values()],
        offers=frozenset(Scenario) - frozenset(ABSENT),
        codes=Codes(failed="DISBURSE FAILED: Account resolve failed", low_float=NO_FUNDS),
    )
    return Business(desk).app


class Business(Course):
    """The protocol of one Flutterwave business."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="Flutterwave simulator")
        made = {"key": f"FLWSECK_TEST-{secrets.token_hex(16)}-X", "hash": secrets.token_hex(16)}
        kept = desk.shelf.get("secrets", "flutterwave") or made
        desk.shelf.put(("secrets", "flutterwave", kept))
        self.key: str = kept["key"]
        self.hash: str = kept["hash"]
        self.app.post("/v3/transfers")(self.transfer)
        self.app.get("/v3/transfers/fee")(self.fee)
        self.app.get("/v3/transfers")(self.by_reference)
        self.app.get("/v3/transfers/{number}")(self.by_number)
        self.app.get("/v3/balances/{currency}")(self.balance)
        self.app.post("/v3/accounts/resolve")(self.resolve)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {
            "base_url": f"{base_url}/v3",
            "secret_key": self.key,
            "secret_hash": self.hash,
            "countries": list(COUNTRIES),
            "sender_name": "Lastmile",
            "sender_country": "KE",
            "sender_phone": "254700000000",
        }

    # -- endpoints -------------------------------------------------------------------------------------------------------

    async def transfer(self, request: Request) -> Response:
        """POST /v3/transfers."""
        given = await self._given(request)
        if isinstance(given, Response):
            return given
        route = _route(given)
        if route is None or (problem := _problem(given, route)) is not None:
            return _refused(400, "account_bank and currency don't fit" if route is None else problem or "")
        if self.desk.find(given["reference"]) is not None:
            return _refused(*DUPLICATE)
        payment = self._payment(given, route)
        return await self.take(payment, refusal=_refusal, accepted=self._accepted)

    async def by_reference(self, request: Request, reference: str = "") -> Response:
        """GET /v3/transfers?reference=: a list, of none or one."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        payment = self.asked(reference)
        if payment is not None and self.question_fails(payment):
            return _failed_question(payment)
        found = [] if payment is None or self.hides(payment) else [self._data(payment)]
        return _good("Transfers fetched", found)

    async def by_number(self, request: Request, number: str) -> Response:
        """GET /v3/transfers/{id}."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        named = next((each for each in self.desk.payments() if each.receipt == number), None)
        payment = self.asked(named.id) if named else None
        if payment is None or self.hides(payment):
            return _refused(404, "Transfer not found")
        if self.question_fails(payment):
            return _failed_question(payment)
        return _good("Transfer fetched", self._data(payment))

    async def fee(self, request: Request, currency: str = "", amount: str = "") -> Response:
        """GET /v3/transfers/fee?amount=&currency=&type=."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        if currency not in ASSETS or not amount:
            return _refused(400, "currency is required")
        return _good("Transfer fee fetched", [{"currency": currency, "fee_type": "value", "fee": Decimal("26.00")}])

    async def balance(self, request: Request, currency: str) -> Response:
        """GET /v3/balances/{currency}."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        if currency not in ASSETS:
            return _refused(404, "No such wallet")
        held = Decimal(self.desk.held(currency).decimal())
        return _good("Wallet balance fetched", {"currency": currency, "available_balance": held, "ledger_balance": held})

    async def resolve(self, request: Request) -> Response:
        """POST /v3/accounts/resolve."""
        given = await self._given(request)
        if isinstance(given, Response):
            return given
        account = str(given.get("account_number", ""))
        if given.keys() != {"account_number", "account_bank"} or account.endswith(UNKNOWN_ACCOUNT):
            return _refused(400, "Sorry, recipient account could not be validated. Please check the account number")
        name = "Otherperson Canary-Wallet" if self._plays_mismatch(account) else "Wanjiku Canary-Wallet"
        return _good("Account details fetched", {"account_number": account, "account_name": name})

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def callback(self, payment: Payment) -> Delivery | None:
        """The event about a transfer, with the errors that its script asks for."""
        if self.desk.webhook is None:
            return None
        script, data = payment.script, self._data(payment)
        data["status"] = WORDS[payment.status]
        data["fullname"] = data.pop("full_name")
        if Scenario.CALLBACK_WRONG_ID in script:
            data["reference"] = payment.id[:-1] + ("1" if payment.id[-1] != "1" else "2")
        if Scenario.CALLBACK_WRONG_AMOUNT in script:
            data["amount"] += 7
        if Scenario.CALLBACK_WRONG_PAYEE in script:
            data["account_number"] = "0690000099"
        body = exact_json({"event": "transfer.completed", "event.type": "Transfer", "data": data})
        headers = {} if Scenario.CALLBACK_UNSIGNED in script else {"verif-hash": self.hash}
        return Delivery(self.desk.webhook, body, headers)

    def forged(self, payment: Payment) -> Delivery | None:
        """A success from somebody who doesn't know the secret hash."""
        paid = payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[])})
        delivery = self.callback(paid)
        return delivery and delivery._replace(headers={"verif-hash": "guessed"})

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _unauthorized(self, request: Request) -> Response | None:
        good = request.headers.get("authorization") == f"Bearer {self.key}"
        return None if good else _refused(401, "Invalid authorization key")

    async def _given(self, request: Request) -> dict[str, Any] | Response:
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        try:
            return document(await request.body())
        except Unreadable:
            return _refused(400, "Invalid JSON")

    def _payment(self, given: Mapping[str, Any], route: Route) -> Payment:
        amount = money_of(given["amount"], route.asset)
        assert amount is not None
        wallet = route.method is Method.MOBILE_MONEY
        account = f"+{given['account_number']}" if wallet else given["account_number"]
        return Payment(
            id=given["reference"],
            account=account,
            amount=amount.decimal(),
            currency=given["currency"],
            receipt=str(secrets.randbelow(10**9) + 10**9),
            at=self.desk.clock(),
            script=self.desk.script_for(id=given["reference"], account=account, amount=amount),
            rail={key: str(given[key]) for key in ("account_bank", "account_number", "narration", "debit_currency")},
        )

    def _accepted(self, payment: Payment) -> Response:
        return _good("Transfer Queued Successfully", {**self._data(payment), "status": "NEW"})

    def _data(self, payment: Payment) -> dict[str, Any]:
        """A transfer as Flutterwave shows it, for `payment.receipt` is its id."""
        word = payment.script.status if Scenario.UNLISTED_STATUS in payment.script else WORDS[payment.status]
        rail = payment.rail
        return {
            "id": int(payment.receipt),
            "account_number": rail["account_number"],
            "bank_code": rail["account_bank"],
            "full_name": "Wanjiku Canary-Wallet",
            "created_at": payment.at.isoformat(),
            "currency": payment.currency,
            "debit_currency": rail["debit_currency"],
            "amount": Decimal(self.desk.amount_of(payment).decimal()),
            "fee": Decimal("26.00"),
            "status": word,
            "reference": payment.id,
            "narration": rail["narration"],
            "complete_message": payment.code or "",
            "requires_approval": 0,
            "is_approved": 1,
            "bank_name": "FA-BANK",
        }

    def _plays_mismatch(self, account: str) -> bool:
        """Whether the next script is about the name of this account; it is used up then."""
        script = next(iter(self.desk.scripts), None)
        if script is None or Scenario.NAME_MISMATCH not in script:
            return False
        return Scenario.NAME_MISMATCH in self.desk.scripts.take({"account": account})


def _route(given: Mapping[str, Any]) -> Route | None:
    """By the currency, the code and the form of the account: two countries have XOF."""
    number = str(given.get("account_number"))
    for route in ROUTES:
        codes = {each.code for each in route.codes.values()}
        if route.asset.code != given.get("currency") or given.get("account_bank") not in codes:
            continue
        if route.account.fullmatch(number if route.method is Method.BANK else f"+{number}"):
            return route
    return None


def _problem(given: Mapping[str, Any], route: Route) -> str | None:
    wallet = route.method is Method.MOBILE_MONEY
    required = REQUIRED | {"beneficiary_name"} | ({"meta"} if wallet else set())
    if given.keys() != required:
        return f"{', '.join(sorted(required ^ given.keys()))} is required"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(given["reference"])):
        return "reference is invalid"
    amount = money_of(given["amount"], route.asset)
    if amount is None or amount.units < 1 or isinstance(given["amount"], str):
        return "amount should be a number"
    sender = {"sender", "sender_country", "mobile_number"}
    if wallet and [set(each) for each in given["meta"] if isinstance(each, dict)] != [sender]:
        return "meta.sender is required"
    return None


def _refusal(scenario: Scenario, script: Script) -> Response | None:
    if scenario is Scenario.REFUSED:
        return _refused(400, script.code or "Please enable IP Whitelisting to access this service")
    return _refused(*REFUSALS[scenario]) if scenario in REFUSALS else None


def _failed_question(payment: Payment) -> Response:
    return _refused(*TIMED_OUT) if payment.script.code is None else _refused(400, payment.script.code)


def _good(message: str, data: object) -> Response:
    return Response(exact_json({"status": "success", "message": message, "data": data}), media_type="application/json")


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"status": "error", "message": message, "data": None}, status_code=status)
