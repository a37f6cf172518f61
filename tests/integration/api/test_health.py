"""/readyz: what stops us is 503 and named; what is only degraded is 200 and named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.health import health_router
from gateway.api.services import ApiServices
from gateway.chain.health import STALE_LEAST, STALE_POLLS
from gateway.chain.models import ChainCursor, ChainProvider
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.db.session import transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.money import Asset
from tests.factories import NOW, USDC, know_assets

KEY = "v2/s3cret-canary"


def terms(chain_id: int = 31337, name: str = "dev", *, poll_s: float = 2.0) -> ChainTerms:
    return ChainTerms(
        name=name,
        chain_id=chain_id,
        rpc=(f"https://one.example/{KEY}", f"https://two.example/{KEY}"),
        quorum=2,
        finality=FinalizedTag(),
        start_block=None,
        tokens={},
        poll_s=poll_s,
        native=Asset(f"ETH@{chain_id}", 18),
        treasury="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    )


def services(engine: AsyncEngine, *chains: ChainTerms, **more: Any) -> ApiServices:
    """What the two routers look at; the rest stays empty."""
    empty: dict[str, Any] = dict.fromkeys(("offer", "factories", "rails", "addresses", "issuer", "verifier"))
    return ApiServices(engine=engine, chains=chains, public_url="https://pay.example", clock=lambda: NOW, **empty, **more)


async def put_chain(engine: AsyncEngine, chain_id: int = 31337, *, at: datetime = NOW, **changes: Any) -> None:
    row = {
        "chain_id": chain_id,
        "number": 70,
        "hash": "0x70",
        "finalized_number": 60,
        "finalized_hash": "0x60",
        "halted": None,
        "waiting": None,
        "updated_at": at,
    }
    async with transaction(engine) as connection:
        await connection.execute(insert(ChainCursor).values(row | changes))


async def put_provider(engine: AsyncEngine, name: str, chain_id: int = 31337, **changes: Any) -> None:
    row = {
        "chain_id": chain_id,
        "name": name,
        "state": "trusted" if changes.get("reason") is None else "demoted",
        "reason": None,
        "since": NOW,
        "head": 75,
        "final": 60,
        "faults": 0,
        "asked_at": NOW,
    }
    async with transaction(engine) as connection:
        await connection.execute(insert(ChainProvider).values(row | changes))


@pytest.fixture
async def ready(engine: AsyncEngine) -> AsyncIterator[Any]:
    made = []

    def open_for(*chains: ChainTerms) -> httpx.AsyncClient:
        app = FastAPI()
        app.include_router(health_router(services(engine, *chains)))
        made.append(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000"))
        return made[-1]

    async def ask(*chains: ChainTerms) -> tuple[int, dict[str, Any]]:
        answer = await open_for(*(chains or (terms(),))).get("/readyz")
        assert KEY not in answer.text
        return answer.status_code, answer.json()

    yield ask
    for client in made:
        await client.aclose()


async def test_a_chain_that_is_watched_by_enough_is_ready(engine, ready):
    await put_chain(engine)
    await put_provider(engine, "one.example")
    await put_provider(engine, "two.example", head=72)
    status, document = await ready()
    assert (status, document["status"], document["problems"], document["degraded"]) == (200, "ready", [], [])
    chain = document["chains"]["31337"]
    assert (chain["name"], chain["state"], chain["block"], chain["final"], chain["head"], chain["lag"]) == (
        "dev",
        "ready",
        70,
        60,
        75,
        5,
    )
    assert chain["providers"]["two.example"] == {"trusted": True, "reason": None, "head": 72, "faults": 0}


async def test_a_demoted_provider_is_named_with_its_reason_and_stops_nothing(engine, ready):
    await put_chain(engine)
    await put_provider(engine, "one.example")
    await put_provider(engine, "two.example", reason="answers with chain id 5 instead of 31337", faults=3)
    status, document = await ready()
    assert (status, document["status"], document["problems"]) == (200, "ready", [])
    assert document["degraded"] == ["chain dev (31337): two.example is demoted: answers with chain id 5 instead of 31337"]
    assert document["chains"]["31337"]["providers"]["two.example"]["trusted"] is False


async def test_below_quorum_the_chain_waits_and_says_who_said_what(engine, ready):
    why = "1 of 2 providers agree: one.example has 0xaa at block 71, two.example has 0xbb"
    await put_chain(engine, waiting=why)
    status, document = await ready()
    assert (status, document["status"], document["problems"]) == (503, "waiting", [f"chain dev (31337) waits: {why}"])


async def test_a_halted_chain_is_worse_than_a_waiting_one(engine, ready):
    await put_chain(engine, waiting="nobody agrees", halted="block 60 changed below finality")
    await put_chain(engine, 8453, waiting="nobody agrees")
    status, document = await ready(terms(), terms(8453, "base"))
    assert (status, document["status"]) == (503, "halted")
    assert document["problems"] == [
        "chain base (8453) waits: nobody agrees",
        "chain dev (31337) is halted: block 60 changed below finality",
    ]


@pytest.mark.parametrize(
    ("poll_s", "age", "state"),
    [
        (2.0, STALE_LEAST, "ready"),
        (2.0, STALE_LEAST + timedelta(seconds=1), "stale"),
        (60.0, timedelta(seconds=60 * STALE_POLLS), "ready"),
        (60.0, timedelta(seconds=60 * STALE_POLLS + 1), "stale"),
    ],
)
async def test_a_chain_that_nobody_looks_at_is_stale(engine, ready, poll_s, age, state):
    await put_chain(engine, at=NOW - timedelta(days=1))
    await put_provider(engine, "one.example", asked_at=NOW - age)
    status, document = await ready(terms(poll_s=poll_s))
    assert document["status"] == state
    assert status == (200 if state == "ready" else 503)
    if state == "stale":
        assert "nobody has looked at it since 2026-11-22 1" in document["problems"][0]


async def test_a_quiet_chain_that_is_looked_at_is_not_stale(engine, ready):
    await put_chain(engine, at=NOW - timedelta(days=1))
    await put_provider(engine, "one.example", asked_at=NOW)
    assert (await ready())[0] == 200


async def test_a_configured_chain_that_nobody_watches_yet_is_not_ready(engine, ready):
    status, document = await ready()
    assert (status, document["status"]) == (503, "waiting")
    assert document["problems"] == ["chain dev (31337) waits: nobody has begun to watch it; `lastmile work` does"]
    await put_provider(engine, "one.example", reason="refused the connection")
    assert (await ready())[1]["problems"] == ["chain dev (31337) waits: one.example: refused the connection"]


async def test_a_chain_that_is_no_longer_configured_is_shown_and_never_stale(engine, ready):
    await put_chain(engine)
    await put_chain(engine, 5, at=NOW - timedelta(days=100))
    status, document = await ready()
    assert (status, document["chains"]["5"]["name"]) == (200, None)


async def test_a_frozen_asset_is_named_and_stops_nothing_else(engine, ready):
    await put_chain(engine)
    await know_assets(engine)
    async with transaction(engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="paused() says true.", now=NOW)
    status, document = await ready()
    assert (status, document["frozen"]) == (200, {USDC.code: "paused() says true."})
    assert document["degraded"] == [f"{USDC.code} is frozen: paused() says true."]
