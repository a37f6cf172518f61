"""The whole application, as the composition root makes it, on a real database; and what its tests ask of every answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.ownership import Contracts
from gateway.config import Settings
from gateway.config.settings import Server
from gateway.db.session import make_engine, transaction
from gateway.desk.unmatched import DeskRules
from gateway.ledger.post import register_assets
from gateway.main import Gateway, make_app
from gateway.money import Money
from gateway.offramp import Callback, CallbackRequest, ForgedCallback, Method, Outcome, Report
from gateway.partners.clients import add_partner
from gateway.partners.tokens import TokenIssuer, TokenVerifier, new_key_pem
from gateway.payouts.addresses import CallbackAddresses
from gateway.payouts.evidence import ResolutionRules
from gateway.payouts.rails import Rails
from gateway.pricing.models import RateObservation
from gateway.pricing.offer import Economy, Offer, PricingRules, Terms, Token
from gateway.refunds.wallets import NO_WALLETS
from gateway.routing.scene import Scene, Scenes
from gateway.sagas.wallets import NO_LEG_WALLETS
from gateway.treasury.outlook import FloatBook
from tests.factories import FACTORIES, KES, NOW, USDC, USDT, FakeRail

URL = "https://pay.example"
TTL = timedelta(minutes=15)
STEP = Money.parse("1", KES)
OFFER = Offer(
    tokens={
        ("dev", coin.symbol): Token(chain="dev", chain_id=31337, asset=coin, address=address, peg="USD")
        for coin, address in (
            (USDC, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            (USDT, "0xc2132D05D31c914a87C6611C10748AEb04B58e8F"),
        )
    },
    corridors={
        ("KE", "KES", Method.MOBILE_MONEY): Terms(
            country="KE",
            currency=KES,
            method=Method.MOBILE_MONEY,
            spread_bps=100,
            fee=Money.parse("30", KES),
            least=Money.parse("10", KES),
            most=Money.parse("250000", KES),
            step=STEP,
            economy=Economy(every=timedelta(hours=1), fee=Money.parse("10", KES)),
        )
    },
    rules=PricingRules(max_age=timedelta(hours=2), max_spread_bps=100, min_sources=2, quote_ttl=TTL),
)
SEND = {"chain": "dev", "asset": "USDC"}
RECEIVE = {"country": "KE", "currency": "KES", "method": "mobile_money"}
ASK = {"send": SEND | {"amount": "10"}, "receive": RECEIVE}
"""10 USDC at 129.20 KES, 1 % spread, 30 KES fee: 1249 KES land."""
RECIPIENT = {"name": "Wanjiku Kamau", "phone": "0712 345 678"}
JSON = {"Content-Type": "application/json"}


class CallingRail(FakeRail):
    """A rail that calls us: {"id": …} is readable, "crash" meets an error of the adapter's own."""

    def read_callback(self, request: CallbackRequest) -> Callback:
        if request.body == b"crash":
            raise ZeroDivisionError
        try:
            event_id = json.loads(request.body)["id"]
        except (ValueError, KeyError, TypeError):
            raise ForgedCallback("unreadable") from None
        return Callback(event_id=event_id, attempt_id=request.attempt_id, report=Report(outcome=Outcome.PENDING))

    def callback_answer(self) -> tuple[int, Mapping[str, str]]:
        return 202, {"ResultDesc": "taken"}


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A partner of the test's own."""

    id: str
    client_id: str
    client_secret: str


@dataclass
class Desk:
    """The application, a client that speaks to it, and a clock that the test sets."""

    engine: AsyncEngine
    gateway: Gateway = field(init=False)
    app: FastAPI = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    now = NOW

    def __post_init__(self) -> None:
        issuer = TokenIssuer(key_pem=new_key_pem(), issuer=URL, audience=URL)
        rails = Rails({"calls": CallingRail(), "silent": FakeRail()})
        self.gateway = Gateway(
            settings=cast("Settings", SimpleNamespace(server=Server(public_url=URL))),  # all that the application reads
            database_url="",
            engine=self.engine,
            rails=rails,
            scenes=Scenes(scene=Scene(capabilities=rails.capabilities)),
            offer=OFFER,
            chains=(),
            factories=FACTORIES,
            sources=(),
            addresses=CallbackAddresses(public_url=URL, key=bytes(32)),
            issuer=issuer,
            verifier=TokenVerifier(public_keys=issuer.public_keys(), issuer=URL, audience=URL),
            wallets=NO_WALLETS,
            leg_wallets=NO_LEG_WALLETS,
            floats=FloatBook(rails=tuple(rails), offer=OFFER),
            desk=DeskRules(),
            contracts=Contracts(),
            inbox=self.engine,
            resolutions=ResolutionRules(),
            clock=lambda: self.now,
        )
        self.app = make_app(self.gateway)
        # A fault of ours is answered, as the server would, instead of being raised into the test.
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url=URL)

    @contextmanager
    def later(self, by: timedelta) -> Iterator[None]:
        self.now += by
        try:
            yield
        finally:
            self.now -= by

    async def partner(self, name: str) -> Partner:
        async with transaction(self.engine) as connection:
            new = await add_partner(connection, name=name, now=self.now)
        return Partner(id=new.partner_id, client_id=new.client_id, client_secret=new.client_secret)

    def headers(self, partner: Partner, **more: str) -> dict[str, str]:
        token = self.gateway.issuer.issue(partner_id=partner.id, client_id=partner.client_id, now=self.now)
        return {"Authorization": f"Bearer {token}"} | more

    async def quote(self, partner: Partner, ask: Any = ASK) -> httpx.Response:
        return await self.client.post("/v1/quotes", json=ask, headers=self.headers(partner))

    async def quoted(self, partner: Partner) -> str:
        """The id of a new quote."""
        made = await self.quote(partner)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def order(self, partner: Partner, key: str, quote_id: str, **changes: Any) -> httpx.Response:
        body = {"quote_id": quote_id, "recipient": RECIPIENT} | changes
        return await self.client.post("/v1/orders", json=body, headers=self.headers(partner, **{"Idempotency-Key": key}))

    async def see(self, partner: Partner, order_id: str) -> httpx.Response:
        return await self.client.get(f"/v1/orders/{order_id}", headers=self.headers(partner))

    async def run(self, statement: str, **values: object) -> list[Any]:
        """Run SQL; the rows, if it gives any."""
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        tables = await self.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        counting = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for (table,) in tables)
        return {row[0]: row[1] for row in await self.run(counting)}

    @asynccontextmanager
    async def nothing_written(self) -> AsyncIterator[None]:
        before = await self.counts()
        yield
        assert await self.counts() == before

    @asynccontextmanager
    async def without_database(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the same application whose database can't be reached."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        engine = make_engine(f"postgresql://nobody@127.0.0.1:{port}/nowhere")
        transport = httpx.ASGITransport(app=make_app(replace(self.gateway, engine=engine, inbox=engine)))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            yield client
        await engine.dispose()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The application behind a real server on a free port: its address."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(20):
            while not server.started:
                assert not task.done()
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await task

    async def stock(self) -> None:
        """Assets, and two sources of which the mean is 129.20 KES."""
        async with transaction(self.engine) as connection:
            await register_assets(connection, assets=[USDC, USDT, KES])
            common = {"base": "USD", "quote": "KES", "den": 10, "as_of": NOW, "fetched_at": NOW}
            rates = [{"source": "one", "num": 1291} | common, {"source": "two", "num": 1293} | common]
            await connection.execute(insert(RateObservation), rates)


def problem(response: httpx.Response, status: int, code: str, *fields: str) -> dict[str, Any]:
    """The problem document, after what holds for every one of them; `fields` are those found wrong."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert ("www-authenticate" in response.headers) == (status == 401)
    document: dict[str, Any] = response.json()
    assert (document["code"], document["status"]) == (code, status)
    assert document["detail"].endswith("."), document["detail"]
    assert {fault["field"] for fault in document["errors"]} == set(fields), document["errors"]
    return document
