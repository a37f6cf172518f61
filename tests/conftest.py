"""Fixtures that all tests share: a real PostgreSQL, and a freshly migrated database for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.embedded import Server, start
from gateway.db.session import make_engine
from tests.databases import Spare, make_template
from tests.solidity import tools_cache

ROOM = 1 << 30
RECURSION = 1_000
GIVEN_BACK_WITHIN_S = 1
pytest_plugins = ["tests.fixtures_chain"]


def pytest_configure() -> None:
    """Keep what is compiled, also where Python was told not to: hundreds of processes would compile the same again."""
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(tools_cache() / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_runtest_setup() -> None:
    """Undo what libraries of keys do where a test imports them: with Python's own limit deep input can't crash it."""
    sys.setrecursionlimit(RECURSION)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the whole run, with a migrated template; in memory if there is room: no such test is about disks."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as home:
        server = start(folder=Path(home) / "postgres")
        make_template(server)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def spare_database(postgres: Server) -> Spare:
    """Whose turn it is has it: take `database_url` instead."""
    return Spare(postgres)


@pytest.fixture
def database_url(spare_database: Spare) -> Iterator[str]:
    """An empty, migrated database of this test's own."""
    yield spare_database.take()
    spare_database.give_back()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections to that database."""
    made = make_engine(database_url)
    yield made
    # Whoever was cancelled twice gives its connection back in a task of its own.
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=GIVEN_BACK_WITHIN_S)
    await made.dispose()


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """A data folder of this test's own."""
    return tmp_path / "data"
