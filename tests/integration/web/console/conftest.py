"""The console on a real database, and somebody who uses it as a browser does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.money import Money
from gateway.operators.accounts import add_operator
from gateway.operators.passwords import Passwords
from gateway.refunds.wallets import Coin, Wallet, Wallets
from gateway.web import routes
from gateway.web.console import routes as console
from gateway.web.pages import Pages
from gateway.web.reader import Reader
from gateway.web.routes import WebServices, install
from tests.factories import FACTORIES, NOW, USDC, USDT, know_assets
from tests.integration.desk.office import LATE, RULES, Office, offer, stock
from tests.unit.web.site import URL, Outline

PASSWORD = "mkate wa asubuhi na chai"
TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
WALLET = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
OFFER = offer()
TOKENS = {coin: OFFER.tokens["dev", coin.symbol].address for coin in (USDC, USDT)}
WALLETS = Wallets(
    by_chain={
        31337: Wallet(
            chain_id=31337,
            address=WALLET,
            treasury=TREASURY,
            coins={
                coin.code: Coin(asset=coin, contract=address, per_day=Money.parse("1000", coin))
                for coin, address in TOKENS.items()
            },
        )
    },
    ours=frozenset({TREASURY.lower(), WALLET.lower()}),
)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SCREEN = {"sec-fetch-site": "same-origin", "origin": URL}


@dataclass
class Person:
    """A browser, and who sits before it."""

    client: httpx.AsyncClient

    async def sign_in(self, name: str = "amina", password: str = PASSWORD, **headers: str) -> httpx.Response:
        fields = {"name": name, "password": password}
        return await self.client.post("/console/sign-in", data=fields, headers=SCREEN | headers)

    async def page(self, path: str) -> Outline:
        answer = await self.client.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.headers.get("location"), answer.text[:2000])
        return Outline(answer.text)

    async def form(self, path: str) -> dict[str, str]:
        """The hidden fields of a page's last form."""
        return hidden(await self.page(path))

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        return await self.client.post(path, data=fields, headers=SCREEN | headers)

    async def decide(self, path: str, *, reason: str = "it was looked into", **fields: str) -> httpx.Response:
        """All three steps: look, give the reason, confirm."""
        asked = await self.post(path, await self.form(path) | fields | {"reason": reason})
        if asked.status_code != 200:
            return asked
        return await self.post(path, hidden(Outline(asked.text)))


@dataclass
class Desk:
    """The console and its database."""

    engine: AsyncEngine
    app: FastAPI = field(default_factory=FastAPI)
    now: datetime = LATE
    services: WebServices = field(init=False)

    def __post_init__(self) -> None:
        self.services = WebServices(
            engine=self.engine,
            offer=OFFER,
            factories=FACTORIES,
            public_url=URL,
            clock=lambda: self.now,
            desk=replace(RULES, coins={(31337, address.lower()): coin for coin, address in TOKENS.items()}),
            wallets=WALLETS,
        )
        install(self.app, self.services)

    @contextmanager
    def browser(self, address: str = "203.0.113.7") -> Iterator[Person]:
        transport = httpx.ASGITransport(app=self.app, client=(address, 1234))
        yield Person(httpx.AsyncClient(transport=transport, base_url=URL))

    async def run(self, statement: str, **values: object) -> list[Any]:
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def decided(self) -> list[tuple[str, str, str]]:
        return await self.run("SELECT operator, action, subject FROM operator_actions ORDER BY id")


def hidden(page: Outline) -> dict[str, str]:
    return {found["name"]: found["value"] for found in page.all("input", type="hidden")}


@pytest.fixture(scope="session")
def pages() -> Pages:
    """One for all tests: its templates take longest to read."""
    return Pages(reader=Reader())


@pytest.fixture
async def desk(engine: AsyncEngine, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(console, "Passwords", lambda: Passwords(CHEAP))
    monkeypatch.setattr(routes, "Pages", lambda **_: pages)
    await know_assets(engine)
    async with transaction(engine) as connection:
        for name in ("amina", "brian"):
            kept = Passwords(CHEAP).hashed(PASSWORD)
            await add_operator(connection, name=name, password_hash=kept, now=NOW)
    return Desk(engine)


@pytest.fixture
async def office(desk: Desk) -> Office:
    """Orders and money on the same database, an hour after the orders were made."""
    await stock(desk.engine)
    return Office(desk.engine, OFFER)


@pytest.fixture
async def stranger(desk: Desk) -> AsyncIterator[Person]:
    with desk.browser() as person:
        yield person


@pytest.fixture
async def amina(desk: Desk) -> AsyncIterator[Person]:
    with desk.browser() as person:
        assert (await person.sign_in()).status_code == 303
        yield person
