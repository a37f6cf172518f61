"""A server that dies while it makes quotes for many at once: what it promised is what is stored, answered or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.config import parse
from gateway.db.session import transaction
from gateway.partners.clients import add_partner
from gateway.pricing.refresh import refresh_rates
from gateway.wiring import make_sources
from tests.crash.lives import Lives, Mother, free_port, lives, tree
from tests.crash.world import before
from tests.factories import NOW

WITHIN_S = 30
MANY = 20
ASK = {
    "send": {"chain": "devchain", "asset": "USDC", "amount": "10"},
    "receive": {"country": "KE", "currency": "KES", "method": "mobile_money"},
}


@pytest.fixture
def served(database_url: str, tmp_path: Path, mother: Mother) -> Iterator[Lives]:
    """Processes of a gateway that promises two thousand dollars at once."""
    settings = tree(rail_url="http://127.0.0.1:9", port=free_port(), rates=tmp_path / "rates.json")
    settings["pricing"]["exposure_cap"] = "2000"
    with lives({"tree": settings, "database": database_url}, tmp_path, mother) as made:
        yield made


async def value(engine: AsyncEngine, sql: str) -> int:
    async with transaction(engine) as connection:
        return int((await connection.execute(text(sql))).scalar() or 0)


async def answered(client: httpx.AsyncClient) -> None:
    ends = before(WITHIN_S)
    while True:
        try:
            if (await client.get("/healthz")).status_code == 200:
                return
        except httpx.HTTPError:
            assert before(0) < ends
            await asyncio.sleep(0.05)


async def token(engine: AsyncEngine, client: httpx.AsyncClient, name: str) -> dict[str, str]:
    async with transaction(engine) as connection:
        made = await add_partner(connection, name=name, now=NOW)
    form = {"grant_type": "client_credentials", "client_id": made.client_id, "client_secret": made.client_secret}
    answer = await client.post("/oauth/token", data=form)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def ask(client: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    """Whether it was answered."""
    try:
        return (await client.post("/v1/quotes", json=ASK, headers=headers)).status_code == 201
    except httpx.HTTPError:
        return False


async def test_a_server_killed_at_either_side_of_the_commit_promises_what_it_stored(
    served: Lives, engine: AsyncEngine
) -> None:
    await refresh_rates(engine, sources=make_sources(parse(tree=served.settings)), now=NOW)
    async with httpx.AsyncClient(base_url=served.settings["server"]["public_url"], timeout=WITHIN_S) as client:
        promised = 0
        for side in ("before_commit", "after_commit"):
            server = served.serve(points=[f"quotes.group:{side}"])
            await answered(client)
            headers = await token(engine, client, side)
            assert not any(await asyncio.gather(*(ask(client, headers) for _ in range(MANY))))
            served.kill(server)
            stored = await value(engine, "SELECT count(*) FROM quotes")
            assert (stored == 0) if side == "before_commit" else (1 <= stored <= MANY)
            promised = await value(engine, "SELECT sum(units) FROM exposures")
            assert promised == stored * 10_00 == await value(engine, "SELECT sum(exposed_units) FROM quotes")
        served.serve()
        await answered(client)
        headers = await token(engine, client, "next")
        assert all(await asyncio.gather(*(ask(client, headers) for _ in range(MANY))))
    assert served.deaths() == ["quotes.group:before_commit", "quotes.group:after_commit"]
    assert await value(engine, "SELECT sum(units) FROM exposures") == promised + MANY * 10_00
