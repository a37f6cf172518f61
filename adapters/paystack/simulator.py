"""A simulator of Paystack: recipients, transfers by themselves and in batches, verify, balance, resolve, signed webhooks.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it. It
calls the address entered at `PUT /_sim/webhook` about every transfer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.paystack.routes import ASSETS, COUNTRIES, ROUTES, WHOLE, Route
from gateway.money import Money
from gateway.offramp import Method
from gateway.railsim import Codes, Course, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

ABSENT: Mapping[Scenario, str] = {
    Scenario.QUOTE_EXPIRED: "Paystack quotes nothing",
    Scenario.TOKEN_EXPIRED: "its key doesn't run out",
    Scenario.CALLBACK_STALE: "its signature holds no time",
    Scenario.CALLBACK_WRONG_PAYEE: "what it signs holds for the transfer of our reference, which has one payee",
    Scenario.CANCEL_TOO_LATE: "Paystack cancels nothing",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into accounts",
}
FLOAT = 50_000_000
UNKNOWN_ACCOUNT = "0000"
"""Accounts that end with it can't be resolved."""
BULK_MOST = 100
EVENTS = {State.PAID: "success", State.FAILED: "failed", State.RETURNED: "reversed"}
ACCOUNTS = {"nuban": r"[0-9]{10}", "ghipss": r"[0-9]{10,16}", "kepss": r"[0-9]{8,16}", "basa": r"[0-9]{6,13}"}
PHONES = {"GHS": r"0[25][0-9]{8}", "KES": r"0[17][0-9]{8}"}
DUPLICATE = (400, "Please provide a unique reference. Reference already exists on a transfer")
LOW_FLOAT = (400, "Your balance is not enough to fulfil this request")
REFUSALS: Mapping[Scenario, tuple[int, str]] = {
    Scenario.RATE_LIMITED: (429, "Please wait a few minutes and try again."),
    Scenario.DUPLICATE_ANSWER: DUPLICATE,
    Scenario.ERROR_BEFORE_ACCEPT: (503, "Service unavailable"),
    Scenario.ERROR_AFTER_ACCEPT: (504, "Gateway timeout"),
}


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT * WHOLE, asset) for asset in ASSETS.values()],
        offers=frozenset(Scenario) - frozenset(ABSENT),
        codes=Codes(failed="failed", low_float="failed"),
    )
    return Integration(desk).app


class Integration(Course):
    """The protocol of one Paystack business, whose transfers need no one-time password."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="Paystack simulator")
        kept = desk.shelf.get("secrets", "paystack") or {"key": f"sk_test_{secrets.token_hex(20)}"}
        desk.shelf.put(("secrets", "paystack", kept))
        self.key: str = kept["key"]
        self.app.post("/transferrecipient")(self.recipient)
        self.app.post("/transfer")(self.transfer)
        self.app.post("/transfer/bulk")(self.bulk)
        self.app.get("/transfer/verify/{reference}")(self.verify)
        self.app.get("/balance")(self.balance)
        self.app.get("/bank/resolve")(self.resolve)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {"base_url": base_url, "secret_key": self.key, "countries": list(COUNTRIES)}

    # -- endpoints -------------------------------------------------------------------------------------------------------

    async def recipient(self, request: Request) -> Response:
        """POST /transferrecipient: an account that is known already has its recipient."""
        given = await self._given(request, {"type", "name", "account_number", "bank_code", "currency"})
        if isinstance(given, Response):
            return given
        if (problem := _recipient_problem(given)) is not None:
            return _refused(400, problem)
        known = self.desk.shelf.get("recipient", _account_key(given))
        code = known["code"] if known else f"RCP_{secrets.token_hex(8)}"
        self.desk.shelf.put(("recipient", _account_key(given), {"code": code}), ("recipient", code, given))
        data = {"active": True, "currency": given["currency"], "recipient_code": code, "type": given["type"]}
        return JSONResponse(_good("Transfer recipient created successfully", data), status_code=201)

    async def transfer(self, request: Request) -> Response:
        """POST /transfer."""
        given = await self._given(request, {"source", "amount", "recipient", "reference", "reason", "currency"})
        if isinstance(given, Response):
            return given
        return await self._transfer(given)

    async def bulk(self, request: Request) -> Response:
        """POST /transfer/bulk: a status for each."""
        given = await self._given(request, {"currency", "source", "transfers"})
        if isinstance(given, Response):
            return given
        transfers = given["transfers"]
        if not isinstance(transfers, list) or not 0 < len(transfers) <= BULK_MOST:
            return _refused(400, "Transfers must be an array of 1 to 100")
        listed = []
        for each in transfers:
            one = {**each, "currency": given["currency"], "source": given["source"]}
            answer = await self._transfer(one)
            data = json.loads(bytes(answer.body)).get("data") if answer.status_code == 200 else None  # noqa: PLR2004
            if data is not None:
                names = ("reference", "amount", "transfer_code", "currency")
                listed.append({**{key: data[key] for key in names}, "recipient": each["recipient"], "status": "received"})
        return JSONResponse(_good(f"{len(listed)} transfers queued.", listed))

    async def verify(self, request: Request, reference: str) -> Response:
        """GET /transfer/verify/{reference}."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        payment = self.asked(reference)
        if payment is None or self.hides(payment):
            return _refused(404, "Transfer not found")
        if self.question_fails(payment):
            return (
                _refused(503, "Service unavailable") if payment.script.code is None else _refused(400, payment.script.code)
            )
        return JSONResponse(_good("Transfer retrieved", self._data(payment)))

    async def balance(self, request: Request) -> Response:
        """GET /balance."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        held = [{"currency": code, "balance": self.desk.held(code).units} for code in ASSETS]
        return JSONResponse(_good("Balances retrieved", held))

    async def resolve(self, request: Request, account_number: str = "", bank_code: str = "") -> Response:
        """GET /bank/resolve?account_number=&bank_code=."""
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        known = any(bank_code == bank.code for route in ROUTES if route.resolves for bank in route.banks.values())
        if not known:
            return _refused(400, "Unknown bank code: " + bank_code)
        if account_number.endswith(UNKNOWN_ACCOUNT):
            return _refused(422, "Could not resolve account name. Check parameters or try again.")
        name = "Otherperson Canary-Wallet" if self._plays_mismatch(account_number) else "Wanjiku Canary-Wallet"
        data = {"account_number": account_number, "account_name": name, "bank_id": 9}
        return JSONResponse(_good("Account number resolved", data))

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def callback(self, payment: Payment) -> Delivery | None:
        """The event about a transfer, with the errors that its script asks for."""
        if self.desk.webhook is None:
            return None
        script, data = payment.script, self._data(payment)
        data["status"] = EVENTS.get(payment.status, "failed")
        if Scenario.CALLBACK_WRONG_ID in script:
            data["reference"] = payment.id[:-1] + ("1" if payment.id[-1] != "1" else "2")
        if Scenario.CALLBACK_WRONG_AMOUNT in script:
            data["amount"] += 7 * WHOLE
        body = json.dumps({"event": f"transfer.{data['status']}", "data": data}).encode()
        signature = hmac.new(self.key.encode(), body, hashlib.sha512).hexdigest()
        headers = {} if Scenario.CALLBACK_UNSIGNED in script else {"x-paystack-signature": signature}
        return Delivery(self.desk.webhook, body, headers)

    def forged(self, payment: Payment) -> Delivery | None:
        """A success signed with another key."""
        paid = payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[])})
        delivery = self.callback(paid)
        if delivery is None:
            return None
        signature = hmac.new(b"sk_test_guessed", delivery.body, hashlib.sha512).hexdigest()
        return delivery._replace(headers={"x-paystack-signature": signature})

    # -- parts -----------------------------------------------------------------------------------------------------------

    async def _given(self, request: Request, names: set[str]) -> dict[str, Any] | Response:
        if (wrong := self._unauthorized(request)) is not None:
            return wrong
        try:
            given = json.loads(await request.body())
        except ValueError:
            given = None
        if not isinstance(given, dict) or given.keys() != names:
            return _refused(400, f"Give {', '.join(sorted(names))}")
        return given

    def _unauthorized(self, request: Request) -> Response | None:
        given = request.headers.get("authorization")
        if given is None:
            return _refused(401, "No Authorization Header was found")
        return None if given == f"Bearer {self.key}" else _refused(401, "Invalid key")

    async def _transfer(self, given: Mapping[str, Any]) -> Response:
        recipient = self.desk.shelf.get("recipient", str(given["recipient"]))
        if (problem := _transfer_problem(given, recipient)) is not None:
            return _refused(400, problem)
        assert recipient is not None
        existing = self.desk.find(given["reference"])
        if existing is not None:
            return _refused(*DUPLICATE)
        payment = self._payment(given, recipient)
        amount = Money.parse(payment.amount, ASSETS[payment.currency])
        if self.desk.held(payment.currency) < amount or Scenario.LOW_FLOAT in payment.script:
            return _refused(*LOW_FLOAT)
        return await self.take(payment, refusal=_refusal, accepted=self._accepted)

    def _accepted(self, payment: Payment) -> Response:
        return JSONResponse(_good("Transfer has been queued", self._data(payment)))

    def _payment(self, given: Mapping[str, Any], recipient: Mapping[str, str]) -> Payment:
        amount = Money(given["amount"], ASSETS[given["currency"]])
        account = _account_of(recipient)
        code = f"TRF_{secrets.token_hex(8)}"
        return Payment(
            id=given["reference"],
            account=account,
            amount=amount.decimal(),
            currency=given["currency"],
            receipt=code,
            at=self.desk.clock(),
            script=self.desk.script_for(id=given["reference"], account=account, amount=amount),
            rail={
                "id": str(secrets.randbelow(10**9)),
                "reason": given["reason"],
                **{f"recipient_{k}": v for k, v in recipient.items()},
            },
        )

    def _data(self, payment: Payment) -> dict[str, Any]:
        """A transfer as Paystack shows it, for `payment.receipt` is its code."""
        words = {State.PENDING: "pending", State.PAID: "success", State.RETURNED: "reversed"}
        word = words.get(payment.status, payment.code or "failed")
        if Scenario.UNLISTED_STATUS in payment.script:
            word = payment.script.status
        rail = payment.rail
        return {
            "integration": 100073,
            "domain": "test",
            "amount": self.desk.amount_of(payment).units,
            "currency": payment.currency,
            "source": "balance",
            "reason": rail["reason"],
            "recipient": {
                "name": rail["recipient_name"],
                "type": rail["recipient_type"],
                "details": {"account_number": rail["recipient_account_number"], "bank_code": rail["recipient_bank_code"]},
            },
            "status": word,
            "failures": None,
            "transfer_code": payment.receipt,
            "reference": payment.id,
            "id": int(rail["id"]),
            "transferred_at": None if payment.final_at is None else payment.final_at.isoformat(),
        }

    def _plays_mismatch(self, account: str) -> bool:
        """Whether the next script is about the name of this account; it is used up then."""
        script = next(iter(self.desk.scripts), None)
        if script is None or Scenario.NAME_MISMATCH not in script:
            return False
        return Scenario.NAME_MISMATCH in self.desk.scripts.take({"account": account})


def _route(given: Mapping[str, Any]) -> Route | None:
    fitting = (each for each in ROUTES if (each.kind, each.asset.code) == (given["type"], given["currency"]))
    return next(fitting, None)


def _recipient_problem(given: Mapping[str, Any]) -> str | None:
    route = _route(given)
    if route is None or not all(isinstance(each, str) and each for each in given.values()):
        return "Recipient type is invalid"
    if given["bank_code"] not in {bank.code for bank in route.banks.values()}:
        return "Bank is invalid"
    pattern = PHONES[given["currency"]] if route.method is Method.MOBILE_MONEY else ACCOUNTS[given["type"]]
    return None if re.fullmatch(pattern, given["account_number"]) else "Account number is invalid"


def _transfer_problem(given: Mapping[str, Any], recipient: Mapping[str, str] | None) -> str | None:
    if recipient is None or recipient.get("currency") != given["currency"]:
        return "Recipient specified is invalid"
    if type(given["amount"]) is not int or given["amount"] < 1 or given["source"] != "balance":
        return "Invalid amount passed."
    if not re.fullmatch(r"[a-z0-9_-]{16,50}", str(given["reference"])):
        return "Your reference contains illegal special characters"
    return None


def _account_of(recipient: Mapping[str, str]) -> str:
    """As `/_sim/payouts` shows it: a telephone number in E.164."""
    number = recipient["account_number"]
    if recipient["type"] != "mobile_money":
        return number
    return {"GHS": "+233", "KES": "+254"}[recipient["currency"]] + number[1:]


def _account_key(given: Mapping[str, str]) -> str:
    return "/".join(given[each] for each in ("type", "currency", "bank_code", "account_number"))


def _refusal(scenario: Scenario, script: Script) -> Response | None:
    if scenario is Scenario.REFUSED:
        return _refused(400, script.code or "You cannot initiate third party payouts as a starter business")
    return _refused(*REFUSALS[scenario]) if scenario in REFUSALS else None


def _good(message: str, data: object) -> dict[str, object]:
    return {"status": True, "message": message, "data": data}


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"status": False, "message": message}, status_code=status)
