"""A simulator of Coins.ph: ticker, quotes, sales, InstaPay payments, balance; every request signed and in time.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it. A
script with `quote_expired` plays with the next quote, all others with payments.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.ccxt_exchange.settings import PHP
from adapters.ccxt_exchange.simulator.market import MICRO
from gateway.money import Asset, Money
from gateway.railsim import Codes, Course, Desk, Options, Payment, RailApp, Scenario, Script, State

_CALLS = "it calls nobody"
_CALLBACKS = {each: _CALLS for each in Scenario if each.value.startswith("callback")}
ABSENT: Mapping[Scenario, str] = {
    **_CALLBACKS,
    Scenario.PAID_THEN_RETURNED: "no document tells of a payment that comes back",
    Scenario.NAME_MISMATCH: "it looks no names up",
    Scenario.CANCEL_TOO_LATE: "a payment can't be cancelled",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into accounts",
}
USDC = Asset("USDC", 6)
FLOAT, COINS = 50_000_00, 1_000_000 * MICRO
PRICE, BID, SYMBOL = 58, "58.00", "USDCPHP"
WINDOW_MS, EARLY_MS, LIFE_S = 5000, 1000, 10
SUBJECTS = {"gcash": "gcash", "BOPIPHMM": "bpi"}
QUOTE_FORMS: Mapping[str, str] = {
    "sourceCurrency": "USDC",
    "targetCurrency": "PHP",
    "targetAmount": r"(0|[1-9][0-9]*)\.[0-9]{2}",
}
CASH_OUT_FORMS: Mapping[str, str] = {
    "internalOrderId": r"[A-Za-z0-9_-]{1,64}",
    "currency": "PHP",
    "amount": r"(0|[1-9][0-9]*)\.[0-9]{2}",
    "channelName": "INSTAPAY",
    "channelSubject": "|".join(SUBJECTS.values()),
}
REFUSALS: Mapping[Scenario, tuple[int, int]] = {
    Scenario.RATE_LIMITED: (429, -1003),
    Scenario.TOKEN_EXPIRED: (400, -1021),
    Scenario.DUPLICATE_ANSWER: (400, -1141),
    Scenario.ERROR_BEFORE_ACCEPT: (503, -1001),
    Scenario.ERROR_AFTER_ACCEPT: (504, -1007),
}
WORDS = {State.PENDING: "PENDING", State.PAID: "SUCCEEDED", State.FAILED: "FAILED"}


class Refused(Exception):
    """An error, as Coins.ph words it."""

    def __init__(self, status: int, code: int) -> None:
        super().__init__(code)
        self.status, self.code = status, code

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse({"code": self.code, "msg": f"Refused: {self.code}"}, status_code=self.status)


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT, PHP), Money(COINS, USDC)],
        offers=frozenset(Scenario) - frozenset(ABSENT),
        codes=Codes(failed="rejected", low_float="-1131"),
    )
    return Account(desk).app


class Account(Course):
    """The protocol of one account at Coins.ph."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="Coins.ph simulator")
        self._credentials = desk.shelf.get("secrets", "coinsph") or {
            "key": secrets.token_hex(32),
            "secret": secrets.token_hex(32),
        }
        desk.shelf.put(("secrets", "coinsph", self._credentials))
        for method, path, endpoint in (
            ("GET", "/openapi/quote/v1/ticker/bookTicker", self.ticker),
            ("POST", "/openapi/convert/v1/get-quote", self.quote),
            ("POST", "/openapi/convert/v1/accept-quote", self.accept),
            ("POST", "/openapi/convert/v1/query-order-history", self.history),
            ("POST", "/openapi/fiat/v1/cash-out", self.cash_out),
            ("GET", "/openapi/fiat/v1/details", self.details),
            ("GET", "/openapi/v1/account", self.account),
        ):
            self.app.add_api_route(path, endpoint, methods=[method], response_model=None)
        self.app.add_exception_handler(Refused, _refusal_answer)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {
            "exchange": "coinsph",
            "base_url": base_url,
            "api_key": self._credentials["key"],
            "api_secret": self._credentials["secret"],
            "subjects": SUBJECTS,
        }

    # -- endpoints -------------------------------------------------------------------------------------------------------

    async def ticker(self, symbol: str = "") -> Response:
        """GET /openapi/quote/v1/ticker/bookTicker?symbol=: public."""
        if symbol != SYMBOL:
            raise Refused(400, -1121)
        return JSONResponse({"symbol": SYMBOL, "bidPrice": BID, "bidQty": "1000", "askPrice": "58.10", "askQty": "1000"})

    async def quote(self, request: Request) -> Response:
        """POST /openapi/convert/v1/get-quote."""
        given = _formed(self._signed(request), QUOTE_FORMS)
        target = Money.parse(given["targetAmount"], PHP)
        units = -(-target.units * MICRO // (PRICE * 100))
        document = {
            "quoteId": secrets.token_hex(16),
            "sourceCurrency": USDC.code,
            "targetCurrency": PHP.code,
            "sourceAmount": Money(units, USDC).decimal(),
            "price": str(PRICE),
            "targetAmount": target.decimal(),
            "expiry": str(0 if self._runs_out() else LIFE_S),
        }
        self.desk.shelf.put(("quote", document["quoteId"], document))
        return _good(document)

    async def accept(self, request: Request) -> Response:
        """POST /openapi/convert/v1/accept-quote."""
        given = _formed(self._signed(request), {"quoteId": "[0-9a-f]{32}"})
        quote = self.desk.shelf.get("quote", given["quoteId"])
        if quote is None or self.desk.shelf.get("sale", given["quoteId"]) is not None:
            raise Refused(400, -1142)
        coins, pesos = Money.parse(quote["sourceAmount"], USDC), Money.parse(quote["targetAmount"], PHP)
        if self.desk.held(USDC.code) < coins:
            raise Refused(400, -1131)
        self.desk.hold(self.desk.held(USDC.code) - coins)
        self.desk.hold(self.desk.held(PHP.code) + pesos)
        sale = {**quote, "id": secrets.token_hex(16), "orderId": secrets.token_hex(16), "status": "SUCCESS"}
        self.desk.shelf.put(("sale", given["quoteId"], sale))
        return _good({"orderId": sale["orderId"], "status": "SUCCESS"})

    async def history(self, request: Request) -> Response:
        """POST /openapi/convert/v1/query-order-history: the newest first."""
        given = _formed(self._signed(request), {"page": "[1-9][0-9]*", "size": "[1-9][0-9]*"})
        page, size = int(given["page"]), int(given["size"])
        sales = list(reversed(self.desk.shelf.all("sale")))
        return _good(sales[(page - 1) * size : page * size], total=len(sales))

    async def cash_out(self, request: Request) -> Response:
        """POST /openapi/fiat/v1/cash-out."""
        body = (await request.body()).decode()
        _formed(self._signed(request, body), {})
        given, recipient = _cash_out(body)
        if self.desk.find(given["internalOrderId"]) is not None:
            raise Refused(400, -1141)
        payment = self._payment(given, recipient)
        if self.desk.held(PHP.code) < Money.parse(payment.amount, PHP) or Scenario.LOW_FLOAT in payment.script:
            raise Refused(400, -1131)
        return await self.take(payment, refusal=_refusal, accepted=_accepted)

    async def details(self, request: Request) -> Response:
        """GET /openapi/fiat/v1/details?internalOrderId=."""
        given = _formed(self._signed(request), {"internalOrderId": ".+"})
        payment = self.asked(given["internalOrderId"])
        if payment is None or self.hides(payment):
            return _good(None)
        if self.question_fails(payment):
            raise Refused(503, -1001) if payment.script.code is None else Refused(400, int(payment.script.code))
        word = payment.script.status if Scenario.UNLISTED_STATUS in payment.script else WORDS[payment.status]
        return _good(
            {
                "externalOrderId": payment.rail["order"],
                "internalOrderId": payment.id,
                "paymentOrderId": payment.receipt,
                "fiatCurrency": PHP.code,
                "fiatAmount": self.desk.amount_of(payment).decimal(),
                "transactionChannel": "INSTAPAY",
                "status": word,
                "errorCode": payment.code or "",
            }
        )

    async def account(self, request: Request) -> Response:
        """GET /openapi/v1/account."""
        _formed(self._signed(request), {})
        held = [{"asset": code, "free": self.desk.held(code).decimal(), "locked": "0"} for code in (PHP.code, USDC.code)]
        return JSONResponse({"accountType": "SPOT", "canWithdraw": True, "balances": held})

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _signed(self, request: Request, body: str = "") -> dict[str, str]:
        """The query, without time and signature. Raises `Refused` unless both are right."""
        signed, _, signature = request.url.query.rpartition("&signature=")
        right = hmac.new(self._credentials["secret"].encode(), (signed + body).encode(), hashlib.sha256).hexdigest()
        if request.headers.get("x-coins-apikey") != self._credentials["key"]:
            raise Refused(401, -1002)
        if not hmac.compare_digest(signature, right):
            raise Refused(400, -1022)
        given = dict(parse_qsl(signed, keep_blank_values=True))
        sent = given.pop("timestamp", "")
        now = int(self.desk.clock().timestamp() * 1000)
        if not sent.isdigit() or not -EARLY_MS < now - int(sent) <= WINDOW_MS:
            raise Refused(400, -1021)
        return given

    def _runs_out(self) -> bool:
        """Whether the next script is about a quote; it is used up then."""
        script = next(iter(self.desk.scripts), None)
        return script is not None and Scenario.QUOTE_EXPIRED in script and bool(self.desk.scripts.take({}))

    def _payment(self, given: Mapping[str, str], recipient: Mapping[str, str]) -> Payment:
        number, amount = recipient["recipientAccountNumber"], Money.parse(given["amount"], PHP)
        account = f"+63{number[1:]}" if given["channelSubject"] == "gcash" else number
        return Payment(
            id=given["internalOrderId"],
            account=account,
            amount=amount.decimal(),
            currency=PHP.code,
            receipt=secrets.token_hex(10),
            at=self.desk.clock(),
            script=self.desk.script_for(id=given["internalOrderId"], account=account, amount=amount),
            rail={"order": secrets.token_hex(10), "name": recipient["recipientName"]},
        )


def _cash_out(body: str) -> tuple[dict[str, str], dict[str, str]]:
    """A payment's fields, and its recipient's. Raises `Refused`."""
    try:
        given = json.loads(body)
        recipient = given.pop("extendInfo")
    except (ValueError, KeyError, AttributeError):
        raise Refused(400, -1102) from None
    if not isinstance(recipient, dict) or recipient.keys() != {"recipientName", "recipientAccountNumber"}:
        raise Refused(400, -1102)
    texts = [*given.values(), *recipient.values()]
    if not all(isinstance(each, str) and each for each in texts):
        raise Refused(400, -1102)
    return _formed(given, CASH_OUT_FORMS), recipient


def _formed(given: dict[str, str], forms: Mapping[str, str]) -> dict[str, str]:
    if given.keys() != forms.keys():
        raise Refused(400, -1102 if forms.keys() - given.keys() else -1103)
    if not all(re.fullmatch(forms[name], value) for name, value in given.items()):
        raise Refused(400, -1102)
    return given


def _good(data: object, **more: object) -> JSONResponse:
    return JSONResponse({"status": 0, "error": "OK", "data": data, **more})


def _accepted(payment: Payment) -> Response:
    return _good({"externalOrderId": payment.rail["order"], "internalOrderId": payment.id})


def _refusal(scenario: Scenario, script: Script) -> Response | None:
    if scenario is Scenario.REFUSED:
        return Refused(400, int(script.code or -1023)).answer()
    return Refused(*REFUSALS[scenario]).answer() if scenario in REFUSALS else None


async def _refusal_answer(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
