"""HTTP to an anchor (SEP-1, SEP-10, SEP-24, SEP-38) and to a Horizon server. Nothing is sent twice but for a bad token."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from adapters.sep24 import wire
from adapters.sep24.codes import refusal_meaning
from adapters.sep24.settings import Sep24Settings
from adapters.sep24.stellar import Order, answer_challenge
from gateway.clock import Clock
from gateway.money import Money
from gateway.offramp import Fault, NotSent, OfframpError
from gateway.railkit.documents import document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import words
from gateway.railkit.http import Answer, NoAnswer, NotAsked, RailHttp
from gateway.railkit.meanings import Kind
from gateway.railkit.tokens import Token, TokenCache
from gateway.railkit.written import exact_json

OK = 200
TOML = "/.well-known/stellar.toml"
TOML_LIFE = timedelta(hours=1)
TOKEN_LIFE_S = 300
"""How long a token is used whose end can't be read."""
CUSTOMERS_MOST = 500
"""So many tokens are kept, one per recipient."""
PAGE, PAGES_MOST = 200, 25
LOOK_BACK = timedelta(hours=1)
"""How far back a payment is looked for on our account: so many pages, and so long before its order was opened."""
SKEW = timedelta(seconds=60)
"""How far the network's clock may be behind ours."""
JSON = {"content-type": "application/json", "accept": "application/json"}


class Servers(NamedTuple):
    """Where an anchor's servers are, as its stellar.toml says."""

    web_auth: str
    transfer: str
    quotes: str


class Anchor:
    """One anchor, by its home domain. Our key and its tokens stay inside."""

    def __init__(self, *, settings: Sep24Settings, http: RailHttp, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._tokens: dict[int, TokenCache] = {}
        self._reading = asyncio.Lock()
        self._servers: Servers | None = None
        self._read_at: datetime | None = None

    def customer(self, account: str) -> int:
        """The number under which the anchor knows a recipient (SEP-10's memo): the same each time, and no one else's."""
        seed = self._settings.secret_key.get_secret_value().encode()
        digest = hmac.digest(seed, f"customer:{account}".encode(), hashlib.sha256)
        return int.from_bytes(digest[:8]) >> 1 or 1

    async def post(self, server: str, path: str, body: Mapping[str, object], *, customer: int) -> Answer:
        """Send something that moves no money. Raises `NotSent`, or `NoAnswer` if it may have arrived."""
        return await self._call("POST", server, path, customer=customer, headers=JSON, content=exact_json(body))

    async def ask(self, path: str, query: Mapping[str, str], *, customer: int) -> Answer:
        """Ask the transfer server. Raises `NotAsked` or `NoAnswer`, never `NotSent`: that speaks of a payment."""
        target = f"{path}?{urlencode(query)}"
        try:
            return await self._call("GET", "transfer", target, customer=customer, headers={"accept": "application/json"})
        except NotSent as error:
            raise NotAsked(str(error)) from None

    async def open_page(self, url: str) -> None:
        """Fetch the anchor's page as a browser would. Whatever comes of it, the transaction's status tells."""
        try:
            await self._http.call("GET", url, headers={"accept": "text/html"})
        except OfframpError:
            return

    async def _call(self, method: str, server: str, path: str, *, customer: int, **request: Any) -> Answer:
        address = str(getattr(await self._known(), server)) + path
        token = await self._token(customer)
        answer = await self._http.call(method, address, **_authorised(request, token))
        if refusal_meaning(answer.status).kind is Kind.BAD_TOKEN:
            token = await self._token(customer, instead_of=token)
            answer = await self._http.call(method, address, **_authorised(request, token))
        return answer

    # -- SEP-1 -----------------------------------------------------------------------------------------------------------

    async def _known(self) -> Servers:
        async with self._reading:
            if self._servers is None or self._read_at is None or self._clock() >= self._read_at + TOML_LIFE:
                self._servers = await self._discovered()
                self._read_at = self._clock()
            return self._servers

    async def _discovered(self) -> Servers:
        answer = await self._unsent("GET", self._settings.base_url + TOML, headers={"accept": "text/plain"})
        try:
            toml = tomllib.loads(answer.body.decode()) if answer.status == OK else None
        except ValueError:
            toml = None
        if toml is None:
            raise NotSent(f"no stellar.toml (HTTP {answer.status})")
        if toml.get("SIGNING_KEY") != self._settings.signing_key:
            raise NotSent("the anchor's stellar.toml has another SIGNING_KEY than our settings", fault=Fault.RAIL)
        if toml.get("NETWORK_PASSPHRASE", self._settings.network_passphrase) != self._settings.network_passphrase:
            raise NotSent("the anchor is on another network than our settings", fault=Fault.RAIL)
        names = ("WEB_AUTH_ENDPOINT", "TRANSFER_SERVER_SEP0024", "ANCHOR_QUOTE_SERVER")
        return Servers(*(self._address(toml.get(name), name) for name in names))

    def _address(self, value: object, name: str) -> str:
        """An address out of the stellar.toml: https, unless the anchor's home is plain http itself (a simulator)."""
        parts = urlsplit(value) if isinstance(value, str) else None
        home = urlsplit(self._settings.base_url).scheme
        good = parts is not None and parts.hostname and not (parts.query or parts.fragment or parts.username)
        if parts is None or not good or parts.scheme not in {"https", home}:
            raise NotSent(f"the anchor's stellar.toml names no good {name}", fault=Fault.RAIL)
        return parts.geturl().rstrip("/")

    # -- SEP-10 ----------------------------------------------------------------------------------------------------------

    async def _token(self, customer: int, *, instead_of: str | None = None) -> str:
        cache = self._tokens.pop(customer, None) or TokenCache(fetch=lambda: self._sign_in(customer), clock=self._clock)
        self._tokens[customer] = cache
        while len(self._tokens) > CUSTOMERS_MOST:
            self._tokens.pop(next(iter(self._tokens)))
        return await cache.current(instead_of=instead_of)

    async def _sign_in(self, customer: int) -> Token:
        web_auth, home = (await self._known()).web_auth, urlsplit(self._settings.base_url).netloc
        query = {"account": self._settings.keypair.public_key, "memo": str(customer), "home_domain": home}
        asked = await self._unsent("GET", f"{web_auth}?{urlencode(query)}", headers={"accept": "application/json"})
        challenge = text_of(document_or_empty(asked.body).get("transaction"))
        if asked.status != OK or challenge is None:
            raise _refused("no challenge", asked)
        signed = answer_challenge(
            challenge,
            settings=self._settings,
            home_domain=home,
            web_auth_domain=urlsplit(web_auth).netloc,
            memo=customer,
        )
        answer = await self._unsent("POST", web_auth, headers=JSON, content=exact_json({"transaction": signed}))
        token = text_of(document_or_empty(answer.body).get("token"))
        if answer.status != OK or token is None or not (token.isascii() and token.isprintable()):
            raise _refused("no token", answer)
        return Token(token, _life_s(token, now=self._clock()))

    async def _unsent(self, method: str, url: str, **request: Any) -> Answer:
        """A request before anything is asked for: if it isn't answered, nothing was. Raises `NotSent`."""
        try:
            return await self._http.call(method, url, **request)
        except NoAnswer as error:
            raise NotSent(str(error)) from None


class Horizon:
    """Our account on Stellar, by a Horizon server."""

    def __init__(self, *, settings: Sep24Settings, http: RailHttp) -> None:
        self._settings = settings
        self._base = settings.horizon_url
        self._ours = settings.keypair.public_key
        self._http = http

    async def account(self) -> tuple[int, Money]:
        """The account's sequence number, and what it holds of the coin. Raises `OfframpError`."""
        fields = await self._asked(f"/accounts/{self._ours}")
        sequence, held = text_of(fields.get("sequence")), fields.get("balances")
        if sequence is None or not sequence.isdigit() or not isinstance(held, list):
            raise NotAsked("the answer about our account can't be read")
        lines = [each for each in held if isinstance(each, dict) and self._is_coin(each)]
        told = [money_of(each.get("balance"), self._settings.coin) for each in lines] or [Money(0, self._settings.coin)]
        if told[0] is None:
            raise NotAsked("the answer about our account can't be read")
        return int(sequence), told[0]

    async def closed_at(self) -> datetime:
        """When the last ledger was closed that this server knows. Raises `OfframpError`."""
        records = _records(await self._asked("/ledgers?order=desc&limit=1"))
        moment = wire.moment(records[0].get("closed_at")) if records else None
        if moment is None:
            raise NotAsked("the answer about the last ledger can't be read")
        return moment

    async def find(self, order: Order) -> Mapping[str, Any] | None:
        """Our payment to this account with this memo; None if there is none. Raises `OfframpError` if it can't be known."""
        cursor = ""
        for _ in range(PAGES_MOST):
            after = f"&cursor={cursor}" if cursor else ""
            path = f"/accounts/{self._ours}/payments?join=transactions&order=desc&limit={PAGE}{after}"
            records = _records(await self._asked(path))
            found = next((each for each in records if self._pays(each, order)), None)
            if found is not None or len(records) < PAGE:
                return found
            last, cursor = wire.moment(records[-1].get("created_at")), text_of(records[-1].get("paging_token")) or ""
            if last is not None and last < order.opened_at - LOOK_BACK:
                return None
            if not cursor.replace("-", "").isdigit():
                break
        raise NotAsked("our account's payments can't be read back far enough")

    async def used_by(self, sequence: int) -> Mapping[str, Any] | None:
        """Our account's transaction with this sequence number, applied or failed; None if none of the last is it.

        Raises `OfframpError`.
        """
        path = f"/accounts/{self._ours}/transactions?order=desc&limit={PAGE}&include_failed=true"
        records = _records(await self._asked(path))
        return next((each for each in records if text_of(each.get("source_account_sequence")) == str(sequence)), None)

    async def submit(self, envelope: str) -> Answer:
        """Submit a transaction, once. Raises `NotSent` or `NoAnswer`."""
        return await self._http.call(
            "POST", f"{self._base}/transactions", headers={"accept": "application/json"}, data={"tx": envelope}
        )

    def is_right(self, record: Mapping[str, Any], order: Order) -> bool:
        """Whether a payment moved exactly what was ordered, and after it was: an anchor may use a memo again."""
        amount, at = money_of(record.get("amount"), order.amount.asset), wire.moment(record.get("created_at"))
        return self._is_coin(record) and amount == order.amount and at is not None and at >= order.opened_at - SKEW

    def _is_coin(self, fields: Mapping[str, Any]) -> bool:
        named = (fields.get("asset_code"), fields.get("asset_issuer"))
        return named == (self._settings.asset_code, self._settings.asset_issuer)

    def _pays(self, record: Mapping[str, Any], order: Order) -> bool:
        if (record.get("type"), record.get("from"), record.get("to")) != ("payment", self._ours, order.account):
            return False
        within = inner(record, "transaction")
        if "memo_type" not in within:
            raise NotAsked("Horizon shows our payments without their memos")
        return (within["memo_type"], text_of(within.get("memo"))) == (order.memo_type, order.memo)

    async def _asked(self, path: str) -> dict[str, Any]:
        try:
            answer = await self._http.call("GET", self._base + path, headers={"accept": "application/json"})
        except NotSent as error:
            raise NotAsked(str(error)) from None
        fields = document_or_empty(answer.body)
        if answer.status != OK or not fields:
            raise NotAsked(f"no answer from Horizon: HTTP {answer.status} {words(fields.get('title', ''))}")
        return fields


def _records(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of one of Horizon's pages. Raises `NotAsked` for what is no page: an empty one would mean "none"."""
    records = inner(fields, "_embedded").get("records")
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise NotAsked("Horizon's page can't be read")
    return records


def _authorised(request: Mapping[str, Any], token: str) -> dict[str, Any]:
    return {**request, "headers": {**request["headers"], "authorization": f"Bearer {token}"}}


def _refused(what: str, answer: Answer) -> NotSent:
    fault = Fault.RAIL if answer.status in (400, 401, 403, 404) else Fault.TRANSIENT
    said = words(document_or_empty(answer.body).get("error", ""))
    return NotSent(f"{what}: HTTP {answer.status} {said}", fault=fault)


def _life_s(token: str, *, now: datetime) -> int:
    """How long a token lives (its "exp", RFC 7519): only the anchor can check it, but all can read it."""
    try:
        padded = token.split(".")[1] + "=="
        ends = document_or_empty(base64.urlsafe_b64decode(padded)).get("exp")
    except (IndexError, ValueError):
        return TOKEN_LIFE_S
    return max(int(ends - now.timestamp()), 1) if isinstance(ends, int) else TOKEN_LIFE_S
