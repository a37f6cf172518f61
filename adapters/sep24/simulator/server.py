"""The anchor's and Horizon's endpoints, on top of a desk that holds the anchor's cash and our coins."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from stellar_sdk.sep.stellar_web_authentication import (
    build_challenge_transaction,
    read_challenge_transaction,
    verify_challenge_transaction_signed_by_client_master_key,
)

from adapters.sep24.simulator import checks
from adapters.sep24.simulator.books import (
    COIN,
    COUNTRIES,
    CURRENCIES,
    FEE,
    PASSPHRASE,
    PLACES,
    Order,
)
from adapters.sep24.simulator.checks import AUTHENTICATE, Refused, horizon, refused, rejected
from adapters.sep24.simulator.counter import Counter
from adapters.sep24.simulator.ledger import Decoded
from adapters.sep24.simulator.tokens import Tokens
from gateway.money import Money
from gateway.railkit.documents import Unreadable, document, money_of, text_of
from gateway.railsim import Codes, Desk, Options, Payment, RailApp, Scenario, Script

ABSENT: Mapping[Scenario, str] = {
    Scenario.NAME_MISMATCH: "cash goes to whoever we name: there is no account to look up",
    Scenario.PAID_THEN_RETURNED: "completed is the last word of SEP-24: cash that was taken doesn't come back",
    Scenario.CANCEL_TOO_LATE: "SEP-24 cancels nothing: an order that isn't paid for is left alone",
}
AT_OPENING = (Scenario.REFUSED, Scenario.RATE_LIMITED, Scenario.TOKEN_EXPIRED)
"""Played when the order is opened; all others when its coins are sent."""


def app(options: Options | None = None) -> RailApp:
    """Make the simulator. Without options they are read from the environment."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=[*(Money(10**12, each) for each in CURRENCIES.values()), Money(10**14, COIN)],
        offers=frozenset(Scenario) - set(ABSENT),
        codes=Codes(failed="refunded", low_float="no_cash"),
    )
    return Anchor(desk).app


class Anchor(Counter):
    """One anchor and the network it is on. A payment is taken when its coins arrive; its cash waits at the counter."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.tokens = Tokens(self.keys.token)
        self.app.add_exception_handler(Refused, _refusal)
        self.app.get("/.well-known/stellar.toml")(self.toml)
        self.app.get("/auth")(self.challenge)
        self.app.post("/auth")(self.token)
        self.app.post("/sep38/quote")(self.quote)
        self.app.post("/sep24/transactions/withdraw/interactive")(self.open)
        self.app.get("/sep24/transaction")(self.one)
        self.app.get("/sep24/transactions")(self.all)
        self.app.get("/page/{id}")(self.page)
        self.app.post("/page/{id}")(self.fill_in)
        self.app.get("/horizon/accounts/{id}")(self.account)
        self.app.get("/horizon/accounts/{id}/payments")(self.payments)
        self.app.get("/horizon/accounts/{id}/transactions")(self.transactions)
        self.app.get("/horizon/ledgers")(self.ledgers)
        self.app.post("/horizon/transactions")(self.submit)

    def settings(self, base_url: str) -> dict[str, Any]:
        """The adapter's settings."""
        return {
            "base_url": base_url,
            "horizon_url": f"{base_url}/horizon",
            "network_passphrase": PASSPHRASE,
            "secret_key": self.keys.ours,
            "signing_key": self.keys.public("signing"),
            "asset_issuer": self.keys.public("issuer"),
            "places": [dict(each) for each in PLACES],
            "opens_page": True,
        }

    # -- SEP-1 and SEP-10 ------------------------------------------------------------------------------------------------

    async def toml(self, request: Request) -> Response:
        """GET /.well-known/stellar.toml."""
        at = str(request.base_url).rstrip("/")
        lines = {
            "NETWORK_PASSPHRASE": PASSPHRASE,
            "SIGNING_KEY": self.keys.public("signing"),
            "WEB_AUTH_ENDPOINT": f"{at}/auth",
            "TRANSFER_SERVER_SEP0024": f"{at}/sep24",
            "ANCHOR_QUOTE_SERVER": f"{at}/sep38",
        }
        return PlainTextResponse("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))

    async def challenge(self, request: Request, account: str, memo: int, home_domain: str) -> Response:
        """GET /auth."""
        domain = request.url.netloc
        if account != self.keys.public("ours") or home_domain != domain:
            raise refused("this account isn't allowed here")
        xdr = build_challenge_transaction(self.keys.signing, account, domain, domain, PASSPHRASE, memo=memo)
        return JSONResponse({"transaction": xdr, "network_passphrase": PASSPHRASE})

    async def token(self, request: Request) -> Response:
        """POST /auth: a challenge of ours, signed by the account that it is for."""
        domain = request.url.netloc
        xdr = text_of(_document(await request.body()).get("transaction")) or ""
        facts = (xdr, self.keys.public("signing"), domain, domain, PASSPHRASE)
        try:
            read = read_challenge_transaction(*facts)
            verify_challenge_transaction_signed_by_client_master_key(*facts)
        except Exception as error:
            raise refused(f"the challenge isn't answered: {type(error).__name__}") from error
        subject = f"{read.client_account_id}:{read.memo}"
        return JSONResponse({"token": self.tokens.issue(subject, issuer=domain, now=self.desk.clock())})

    def _subject(self, request: Request) -> str:
        """Whose token it is. Raises `Refused`."""
        subject = self.tokens.subject(request.headers.get("authorization", ""), now=self.desk.clock())
        if subject is None:
            raise AUTHENTICATE
        return subject

    # -- SEP-38 and SEP-24 -----------------------------------------------------------------------------------------------

    async def quote(self, request: Request) -> Response:
        """POST /sep38/quote."""
        subject = self._subject(request)
        given = checks.body_of(await request.body(), checks.QUOTE)
        currency = given["buy_asset"].partition(":")[2]
        if given["sell_asset"] != self.keys.coin or COUNTRIES.get(currency) != given["country_code"]:
            raise refused("this pair isn't supported")
        deliver = money_of(given["buy_amount"], CURRENCIES[currency])
        if deliver is None or not deliver.units:
            raise refused("'buy_amount' is invalid")
        made = self.books.quoted(deliver, subject=subject, now=self.desk.clock())
        document = {
            "id": made.id,
            "expires_at": made.expires_at.isoformat(),
            "sell_asset": given["sell_asset"],
            "sell_amount": made.sell,
            "buy_asset": given["buy_asset"],
            "buy_amount": made.buy,
            "fee": {"total": FEE.decimal(), "asset": self.keys.coin},
        }
        return JSONResponse(document, status_code=201)

    async def open(self, request: Request) -> Response:
        """POST /sep24/transactions/withdraw/interactive."""
        subject = self._subject(request)
        given = checks.body_of(await request.body(), checks.OPEN, optional=checks.PERSON)
        quote, issuer = self.books.quote(given["quote_id"]), given["asset_issuer"]
        if quote is None or quote.subject != subject or quote.expires_at <= self.desk.clock():
            raise refused("this quote isn't yours, or it has ended")
        right = (quote.sell, f"iso4217:{quote.currency}", self.keys.public("issuer"), subject.partition(":")[0])
        if (given["amount"], given["destination_asset"], issuer, given["account"]) != right:
            raise refused("this isn't what was quoted")
        if not checks.is_hash(given["refund_memo"]):
            raise refused("'refund_memo' is invalid")
        deliver = Money.parse(quote.buy, CURRENCIES[quote.currency])
        account = given.get("mobile_number", "")
        script = self.desk.script_for(id=given["refund_memo"], account=account, amount=deliver)
        self._refuse(script, request)
        order = Order(
            id=str(uuid4()),
            subject=subject,
            reference=given["refund_memo"],
            account=account,
            quote=quote,
            memo=str(secrets.randbits(62)),
            number=str(10_000_000 + secrets.randbelow(90_000_000)),
            script=script,
            is_known=all(given.get(key) for key in checks.PERSON),
            started_at=self.desk.clock(),
            is_expired=Scenario.QUOTE_EXPIRED in script,
        )
        self.books.keep(order)
        url = f"{request.base_url}page/{order.id}?token={secrets.token_urlsafe(24)}"
        return JSONResponse({"type": "interactive_customer_info_needed", "url": url, "id": order.id})

    def _refuse(self, script: Script, request: Request) -> None:
        if Scenario.TOKEN_EXPIRED in script:
            self.tokens.kill(request.headers["authorization"])
            raise AUTHENTICATE
        if Scenario.RATE_LIMITED in script:
            raise refused("too many requests", status=429)
        if Scenario.REFUSED in script:
            raise refused(script.code or "Refused by script")

    async def page(self, request: Request, id: str) -> Response:  # noqa: A002 - the word on the wire
        """GET /page/{id}, as a browser does. Who is known by name and number has nothing to fill in there."""
        order = self.order(id)
        known = order.is_known or order.is_complete
        order = order.model_copy(update={"callback": request.query_params.get("on_change_callback"), "is_complete": known})
        self.books.keep(order)
        await self.tell_of_opening(order)
        return PlainTextResponse("You may close this page." if known else "Who are you?")

    async def fill_in(self, id: str) -> Response:  # noqa: A002
        """POST /page/{id}: the person has filled it in."""
        order = self.order(id).model_copy(update={"is_complete": True})
        self.books.keep(order)
        await self.tell_of_opening(order)
        return PlainTextResponse("You may close this page.")

    async def one(self, request: Request, id: str) -> Response:  # noqa: A002
        """GET /sep24/transaction."""
        subject = self._subject(request)
        order = self.books.find(id)
        if order is None or order.id != id or order.subject != subject:
            raise refused("transaction not found", status=404)
        payment = self.asked(order.reference)
        if payment is not None and self.hides(payment):
            raise refused("transaction not found", status=404)
        if payment is not None and self.question_fails(payment):
            raise refused("refused by script", status=int(payment.script.code or 500))
        return JSONResponse({"transaction": self.shown(self.order(id), at=request)})

    async def all(self, request: Request, asset_code: str) -> Response:
        """GET /sep24/transactions, of the token's customer."""
        subject = self._subject(request)
        listed = self.books.of(subject) if asset_code == "USDC" else []
        return JSONResponse({"transactions": [self.shown(each, at=request) for each in listed]})

    # -- Horizon ---------------------------------------------------------------------------------------------------------

    async def account(self, id: str) -> Response:  # noqa: A002
        """GET /horizon/accounts/{id}."""
        if id != self.keys.public("ours"):
            raise horizon(404, "not_found", "Resource Missing")
        return JSONResponse(self.ledger.account())

    async def payments(self, id: str, limit: int, cursor: str | None = None) -> Response:  # noqa: A002
        """GET /horizon/accounts/{id}/payments."""
        records = self.ledger.payments(cursor=cursor, limit=limit) if id == self.keys.public("ours") else []
        return JSONResponse({"_embedded": {"records": records}})

    async def transactions(self, id: str, limit: int) -> Response:  # noqa: A002
        """GET /horizon/accounts/{id}/transactions."""
        records = self.ledger.transactions()[:limit] if id == self.keys.public("ours") else []
        return JSONResponse({"_embedded": {"records": records}})

    async def ledgers(self) -> Response:
        """GET /horizon/ledgers, the last one only."""
        now = self.desk.clock()
        return JSONResponse({"_embedded": {"records": [{"sequence": int(now.timestamp()), "closed_at": now.isoformat()}]}})

    async def submit(self, request: Request) -> Response:
        """POST /horizon/transactions."""
        form = parse_qs((await request.body()).decode("latin-1"), strict_parsing=True)
        if set(form) != {"tx"} or len(form["tx"]) != 1:
            raise horizon(400, "transaction_malformed", "Transaction Malformed")
        decoded = self.ledger.decode(form["tx"][0], now=self.desk.clock())
        order = self.books.find(f"memo:{decoded.memo[1]}")
        if order is None or decoded.memo[0] != "id" or order.transaction is not None:
            self.ledger.apply(decoded, now=self.desk.clock())  # nobody's: a matter for people
            return self._submitted(decoded)
        script = order.script
        if Scenario.ERROR_BEFORE_ACCEPT in script:
            raise horizon(503, "server_over_capacity", "Server Over Capacity")
        if Scenario.CUT_BEFORE_ACCEPT not in script:
            self.ledger.apply(decoded, now=self.desk.clock())
            order = order.model_copy(update={"transaction": decoded.hash})
            self.books.keep(order)
        payment = self._payment(order, decoded, script)
        return await self.take(payment, refusal=_submission_fails, accepted=lambda _: self._submitted(decoded))

    def _payment(self, order: Order, decoded: Decoded, script: Script) -> Payment:
        exact = decoded.amount.decimal() == order.quote.sell
        return Payment(
            id=order.reference,
            account=order.account,
            amount=order.quote.buy,
            currency=order.quote.currency,
            receipt=order.number,
            at=self.desk.clock(),
            script=script,
            rail={"order": order.id} | ({} if exact else {"mismatch": decoded.amount.decimal()}),
        )

    def _submitted(self, decoded: Decoded) -> Response:
        return JSONResponse(
            {"hash": decoded.hash, "successful": True, "ledger": 1, "created_at": self.desk.clock().isoformat()}
        )


def _submission_fails(scenario: Scenario, script: Script) -> Response | None:  # noqa: ARG001 - the course's signature
    """What Horizon answers although the transaction was applied; what is played at the opening is over by now."""
    if scenario is Scenario.ERROR_AFTER_ACCEPT:
        return horizon(504, "timeout", "Timeout").answer()
    return rejected("tx_bad_seq").answer() if scenario is Scenario.DUPLICATE_ANSWER else None


def _document(raw: bytes) -> dict[str, Any]:
    try:
        return document(raw)
    except Unreadable as error:
        raise refused(str(error)) from None


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer()
