"""One application and database for each module of tests: they tell their rows apart by partner, key or attempt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from gateway.db.embedded import Server
from gateway.db.session import make_engine
from tests.databases import create, drop
from tests.integration.api.desk import Desk, Partner


@pytest.fixture(scope="module")
def module_database(postgres: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.module.__name__.rpartition(".")[2]
    yield create(postgres, f"api_{name}")
    drop(postgres, f"api_{name}")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk(module_database: str) -> AsyncIterator[Desk]:
    engine = make_engine(module_database)
    made = Desk(engine=engine)
    await made.stock()
    async with made.client:
        yield made
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def partner(desk: Desk) -> Partner:
    return await desk.partner("Nairobi Exchange")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stranger(desk: Desk) -> Partner:
    return await desk.partner("Mombasa Exchange")
