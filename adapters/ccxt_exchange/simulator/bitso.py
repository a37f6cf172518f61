"""A simulator of Bitso: order book, market orders, SPEI withdrawals, fundings, balance, signed webhooks.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it. A
script that matches the id of a sale ("leg_..._1") plays with that sale: answer_lost, cut_before_accept, pending_polls
(filled in parts), failed (cancelled unfilled), low_float. All others play with withdrawals.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
)
from fastapi import Request, Response

from adapters.ccxt_exchange.settings import MXN
from adapters.ccxt_exchange.simulator import market
from adapters.ccxt_exchange.simulator.market import MICRO, PRICE, Order
from adapters.ccxt_exchange.simulator.papers import (
    BOOK,
    USDC,
    Refused,
    brought,
    compact,
    fits,
    good,
    new_credentials,
    order_of,
    trade_of,
)
from adapters.ccxt_exchange.spei import is_clabe
from gateway.money import Money, MoneyError
from gateway.railsim import Codes, Course, Cut, Delivery, Desk, Options, Payment, RailApp, Scenario, Script, State

ABSENT: Mapping[Scenario, str] = {
    Scenario.QUOTE_EXPIRED: "it sells at the market's price, without a quote",
    Scenario.CALLBACK_STALE: "its signature holds no time",
    Scenario.NAME_MISMATCH: "it looks no names up",
    Scenario.CANCEL_TOO_LATE: "a withdrawal can't be cancelled",
    Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into accounts",
}
FLOAT, COINS = 50_000_00, 1_000_000 * MICRO
FORMS: Mapping[str, str] = {
    "currency": "mxn",
    "protocol": "clabe",
    "amount": r"(0|[1-9][0-9]*)\.[0-9]{2}",
    "beneficiary": r".{1,150}",
    "clabe": r".+",
    "notes_ref": r"[A-Za-z0-9 ]{1,40}",
    "numeric_ref": r"[0-9]{1,7}",
    "origin_id": r"[A-Za-z0-9_-]{1,40}",
}
ORDER_FORMS: Mapping[str, str] = {
    "book": BOOK,
    "side": "sell",
    "type": "market",
    "major": r"(0|[1-9][0-9]*)\.[0-9]{1,8}",
    "origin_id": r"[A-Za-z0-9_-]{1,40}",
}
NONCE, FIELD, LOW_FLOAT, LOCKED, CLABE, NVIO, KNOWN = "0201", "0304", "0343", "0330", "0317", "0714", "0716"
REFUSALS: Mapping[Scenario, tuple[int, str]] = {
    Scenario.RATE_LIMITED: (429, "0200"),
    Scenario.TOKEN_EXPIRED: (401, NONCE),
    Scenario.DUPLICATE_ANSWER: (400, KNOWN),
    Scenario.ERROR_BEFORE_ACCEPT: (503, "0101"),
    Scenario.ERROR_AFTER_ACCEPT: (504, "0101"),
}
WORDS = {State.PENDING: "pending", State.PAID: "complete", State.FAILED: "failed", State.RETURNED: "complete"}
NO_CLABE = "646180110400000007"


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment (see `Options.from_environment`)."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[Money(FLOAT, MXN), Money(COINS, USDC)],
        offers=frozenset(Scenario) - frozenset(ABSENT),
        codes=Codes(failed="rejected by the bank", low_float=LOW_FLOAT),
    )
    return Account(desk).app


class Account(Course):
    """The protocol of one account at Bitso."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, title="Bitso simulator")
        self._credentials = desk.shelf.get("secrets", "bitso") or new_credentials()
        desk.shelf.put(("secrets", "bitso", self._credentials))
        self._nonce = 0
        for method, path, endpoint in (
            ("GET", "/api/v3/order_book", self.order_book),
            ("POST", "/api/v3/orders", self.sell),
            ("GET", "/api/v3/orders", self.open_orders),
            ("GET", "/api/v3/order_trades", self.trades),
            ("POST", "/api/v3/withdrawals", self.withdraw),
            ("GET", "/api/v3/withdrawals/{wid}", self.by_wid),
            ("GET", "/api/spei/v1/withdrawals", self.by_origin),
            ("GET", "/api/v3/fundings", self.fundings),
            ("GET", "/api/v3/balance", self.balance),
        ):
            self.app.add_api_route(path, endpoint, methods=[method], response_model=None)
        self.app.add_exception_handler(Refused, _refusal_answer)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {
            "exchange": "bitso",
            "base_url": f"{base_url}/api",
            "api_key": self._credentials["key"],
            "api_secret": self._credentials["secret"],
            "webhook_keys": {self._credentials["key_id"]: self._credentials["public"]},
        }

    # -- trading ---------------------------------------------------------------------------------------------------------

    async def order_book(self, book: str = "") -> Response:
        """GET /v3/order_book/?book=: public."""
        if book != BOOK:
            raise Refused(400, "0301")
        bids = [{"book": BOOK, "price": f"{PRICE - step / 1000:.3f}", "amount": "100000.00"} for step in range(3)]
        return good({"asks": [], "bids": bids, "updated_at": self.desk.clock().isoformat(), "sequence": "1"})

    async def sell(self, request: Request) -> Response:
        """POST /v3/orders."""
        given = await self._fields(request, ORDER_FORMS)
        if any(each.origin_id == given["origin_id"] for each in market.orders(self.desk)):
            raise Refused(400, KNOWN)
        script = market.script_of(self.desk, given["origin_id"])
        if Scenario.CUT_BEFORE_ACCEPT in script:
            return Cut()
        wanted = Money.parse(given["major"], USDC)
        held = self.desk.held(USDC.code)
        if held < wanted or Scenario.LOW_FLOAT in script:
            raise Refused(400, LOW_FLOAT)
        order = Order(
            oid=secrets.token_hex(8),
            origin_id=given["origin_id"],
            wanted=wanted.units,
            cancelled=Scenario.FAILED in script,
            at=self.desk.clock(),
            script=script,
        )
        self._fill(order, 0 if order.cancelled else wanted.units // 3 if Scenario.PENDING_POLLS in script else wanted.units)
        return Cut() if Scenario.ANSWER_LOST in script else good({"oid": order.oid})

    async def open_orders(self, request: Request, origin_ids: str = "") -> Response:
        """GET /v3/orders?origin_ids=: those that are open or filled in part; each look fills a waiting one further."""
        await self._authorise(request)
        found = [each for each in market.orders(self.desk) if each.origin_id == origin_ids]
        for order in found:
            shown = order.model_copy()
            order.asked += 1
            done = order.asked > order.script.polls
            self._fill(order, order.wanted if order.is_open and done else order.filled)
            if shown.is_open or shown.cancelled:
                return good([order_of(shown)])
        return good([])

    async def trades(self, request: Request, origin_id: str = "") -> Response:
        """GET /v3/order_trades?origin_id=."""
        await self._authorise(request)
        found = [each for each in market.orders(self.desk) if each.origin_id == origin_id and each.filled]
        return good([trade_of(each) for each in found])

    # -- withdrawals -----------------------------------------------------------------------------------------------------

    async def withdraw(self, request: Request) -> Response:
        """POST /v3/withdrawals."""
        given = await self._fields(request, FORMS)
        if not is_clabe(given["clabe"]):
            raise Refused(400, CLABE)
        if given["clabe"].startswith("710"):
            raise Refused(400, NVIO)
        if self.desk.find(given["origin_id"]) is not None:
            raise Refused(400, KNOWN)
        payment = self._payment(given)
        amount = Money.parse(payment.amount, MXN)
        if self.desk.held(MXN.code) < amount or Scenario.LOW_FLOAT in payment.script:
            raise Refused(400, LOW_FLOAT)
        return await self.take(payment, refusal=_refusal, accepted=lambda taken: good(self._document(taken)))

    async def by_wid(self, request: Request, wid: str) -> Response:
        """GET /v3/withdrawals/{wid}."""
        await self._authorise(request)
        known = next((each for each in self.desk.payments() if each.rail["wid"] == wid), None)
        found = self._shown(known)
        if found is None:
            raise Refused(404, "0310")
        return good([found])

    async def by_origin(self, request: Request, origin_id: str = "") -> Response:
        """GET /spei/v1/withdrawals?origin_id=."""
        await self._authorise(request)
        found = self._shown(self.desk.find(origin_id))
        return good([] if found is None else [found])

    async def fundings(self, request: Request, limit: int = 25) -> Response:
        """GET /v3/fundings: what was sent back among them."""
        await self._authorise(request)
        back = [each for each in self.desk.payments() if each.status is State.RETURNED]
        return good([self._funding(each) for each in reversed(back)][:limit])

    async def balance(self, request: Request) -> Response:
        """GET /v3/balance."""
        await self._authorise(request)
        held = {code.lower(): self.desk.held(code).decimal() for code in (MXN.code, USDC.code)}
        return good(
            {
                "balances": [
                    {"currency": code, "total": each, "locked": "0.00", "available": each} for code, each in held.items()
                ]
            }
        )

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def callback(self, payment: Payment) -> Delivery | None:
        """The withdrawal event, with the errors that its script asks for."""
        if self.desk.webhook is None:
            return None
        read, script = self._document(payment), payment.script
        if Scenario.CALLBACK_WRONG_ID in script:
            read["details"]["origin_id"] = f"{payment.id[:-3]}{'A' if payment.id[-3] != 'A' else 'B'}{payment.id[-2:]}"
        if Scenario.CALLBACK_WRONG_AMOUNT in script:
            read["amount"] = f"7{read['amount']}"
        if Scenario.CALLBACK_WRONG_PAYEE in script:
            read["details"]["beneficiary_clabe"] = NO_CLABE
        signature = self._signed(read)
        headers = {"x-bitso-key-id": self._credentials["key_id"], "x-bitso-webhook-event-signature": signature}
        body = json.dumps({"event": "withdrawal", "payload": read}).encode()
        return Delivery(self.desk.webhook, body, {} if Scenario.CALLBACK_UNSIGNED in script else headers)

    def forged(self, payment: Payment) -> Delivery | None:
        """A success signed with another key."""
        paid = payment.model_copy(update={"status": State.PAID, "script": Script(scenarios=[])})
        delivery = self.callback(paid)
        if delivery is None:
            return None
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signature = base64.b64encode(other.sign(compact(self._document(paid)), PKCS1v15(), SHA256())).decode()
        return delivery._replace(headers={**delivery.headers, "x-bitso-webhook-event-signature": signature})

    # -- parts -----------------------------------------------------------------------------------------------------------

    async def _authorise(self, request: Request) -> None:
        """Raise `Refused` unless the signature is right and the nonce is higher than every one before it."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        parts = given.split(":")
        if scheme != "Bitso" or len(parts) != 3 or not parts[1].isdigit():  # noqa: PLR2004 - key, nonce, signature
            raise Refused(401, NONCE)
        query = f"?{request.url.query}" if request.url.query else ""
        body = (await request.body()).decode()
        text = f"{parts[1]}{request.method}{request.url.path}{query}{body}"
        right = hmac.new(self._credentials["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
        if parts[0] != self._credentials["key"] or not hmac.compare_digest(parts[2], right):
            raise Refused(401, NONCE)
        if int(parts[1]) <= self._nonce:
            raise Refused(401, "104")
        self._nonce = int(parts[1])

    async def _fields(self, request: Request, forms: Mapping[str, str]) -> dict[str, str]:
        await self._authorise(request)
        try:
            given = json.loads(await request.body())
        except ValueError:
            given = None
        if request.headers.get("content-type") != "application/json" or not isinstance(given, dict):
            raise Refused(400, FIELD)
        if missing := forms.keys() - given.keys():
            raise Refused(400, "0303" if missing else FIELD)
        wrong = [name for name, value in given.items() if not fits(forms.get(name), value)]
        if wrong:
            raise Refused(400, FIELD)
        return {name: str(value) for name, value in given.items()}

    def _fill(self, order: Order, filled: int) -> None:
        """Sell up to so much of an order, and move coins and pesos."""
        sold = filled - order.filled
        order.filled = filled
        market.keep(self.desk, order)
        if sold:
            self.desk.hold(self.desk.held(USDC.code) - Money(sold, USDC))
            self.desk.hold(self.desk.held(MXN.code) + Money(brought(sold), MXN))

    def _payment(self, given: Mapping[str, str]) -> Payment:
        try:
            amount = Money.parse(given["amount"], MXN)
        except MoneyError:
            raise Refused(400, FIELD) from None
        now = self.desk.clock()
        return Payment(
            id=given["origin_id"],
            account=given["clabe"],
            amount=amount.decimal(),
            currency=MXN.code,
            receipt=f"{now:%Y%m%d}90710{secrets.randbelow(10**17):017}",
            at=now,
            script=self.desk.script_for(id=given["origin_id"], account=given["clabe"], amount=amount),
            rail={"wid": secrets.token_hex(16), "beneficiary": given["beneficiary"], "numeric_ref": given["numeric_ref"]},
        )

    def _shown(self, known: Payment | None) -> dict[str, Any] | None:
        payment = None if known is None else self.asked(known.id)
        if payment is None or self.hides(payment):
            return None
        if self.question_fails(payment):
            raise Refused(503, "0101") if payment.script.code is None else Refused(400, payment.script.code)
        return self._document(payment)

    def _document(self, payment: Payment) -> dict[str, Any]:
        """A withdrawal as Bitso shows it."""
        word = payment.script.status if Scenario.UNLISTED_STATUS in payment.script else WORDS[payment.status]
        return {
            "wid": payment.rail["wid"],
            "status": word,
            "created_at": payment.at.isoformat(timespec="seconds"),
            "currency": "mxn",
            "method": "praxis",
            "method_name": "SPEI Transfer",
            "amount": self.desk.amount_of(payment).decimal(),
            "asset": "mxn",
            "network": "spei",
            "protocol": "clabe",
            "integration": "praxis",
            "details": {
                "origin_id": payment.id,
                "clave_de_rastreo": payment.receipt,
                "concepto": "Lastmile",
                "beneficiary_name": payment.rail["beneficiary"],
                "beneficiary_clabe": payment.account,
                "numeric_ref": payment.rail["numeric_ref"],
                "cep_link": "https://www.banxico.org.mx/cep/go?i=90710&d=POpMol2HpeYb%2B1NcKisU%3D",
            },
        }

    def _funding(self, payment: Payment) -> dict[str, Any]:
        """A payment that its bank sent back, as Bitso shows it."""
        return {
            "fid": hashlib.sha256(payment.id.encode()).hexdigest()[:32],
            "status": "complete",
            "created_at": self.desk.clock().isoformat(timespec="seconds"),
            "currency": "mxn",
            "method": "praxis",
            "amount": self.desk.amount_of(payment).decimal(),
            "asset": "mxn",
            "network": "spei",
            "protocol": "clabe",
            "integration": "praxis",
            "details": {"clave_rastreo": payment.receipt, "concepto": "Devolucion", "cep_link": ""},
        }

    def _signed(self, read: Mapping[str, Any]) -> str:
        key = load_pem_private_key(self._credentials["private"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return base64.b64encode(key.sign(compact(read), PKCS1v15(), SHA256())).decode()


def _refusal(scenario: Scenario, script: Script) -> Response | None:
    if scenario is Scenario.REFUSED:
        return Refused(400, script.code or LOCKED).answer()
    return Refused(*REFUSALS[scenario]).answer() if scenario in REFUSALS else None


async def _refusal_answer(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
