"""The database's own processes killed while orders flow: what was committed is kept, and the workers go on by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.embedded import Server, start
from gateway.db.migrate import migrate
from gateway.db.session import make_engine
from tests.crash.lives import Lives
from tests.crash.rail import Way
from tests.crash.test_every_point import rest
from tests.crash.world import Town

pytestmark = pytest.mark.slow

BACKENDS = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own: killing it harms nobody else."""
    made = start(folder=tmp_path / "postgres")
    yield made
    start(folder=tmp_path / "postgres").stop()


@pytest.fixture
def database_url(server: Server) -> str:
    migrate(server.url)
    return server.url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = make_engine(database_url)
    yield made
    await made.dispose()


def kill_backend(url: str, random: Random) -> None:
    """One of those that serve somebody else; the server then drops everybody and recovers."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"
        ).fetchall()
    with suppress(ProcessLookupError):
        os.kill(random.choice(rows)[0], signal.SIGKILL)


def kill_server(server: Server) -> None:
    """The first process of all; the others leave when they see that it has gone."""
    pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    while server.running():
        pass


async def add_surely(town: Town, ways: list[Way]) -> None:
    """Add orders though the database comes and goes. What wasn't answered may be there or not; what was, is."""
    while True:
        with suppress(DBAPIError):
            await town.add(ways)
            return
        await asyncio.sleep(0.05)


async def test_committed_is_kept_and_everybody_is_paid_once(town: Town, lived: Lives, server: Server) -> None:
    random = Random(7)
    lived.serve()
    lived.work()
    lived.work()
    for number in range(BACKENDS):
        await add_surely(town, [*Way])
        await asyncio.sleep(random.uniform(0.05, 0.5))
        if number % 3 == 2:
            await asyncio.to_thread(kill_server, server)
            await asyncio.to_thread(start, folder=server.folder)
        else:
            await asyncio.to_thread(kill_backend, server.url, random)
    await town.engine.dispose()
    await rest(town, lived)
    await town.check()
