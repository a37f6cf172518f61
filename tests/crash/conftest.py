"""A gateway whose processes can be killed, with a rail that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

pytest.register_assert_rewrite("tests.crash.world", "tests.crash.harbour")

from gateway.devchain.chain import DevChain  # noqa: E402 - after the rewriting of assertions
from tests.crash.harbour import Harbour  # noqa: E402
from tests.crash.lives import PATIENT, SPEED, Lives, Mother, free_port, lives, tree  # noqa: E402
from tests.crash.rail import rail  # noqa: E402
from tests.crash.world import Town  # noqa: E402


@pytest.fixture
def town(engine: AsyncEngine, database_url: str) -> Iterator[Town]:
    """Orders to be, the rail, and somebody who may decide."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now())")
    with rail() as book:
        yield Town(engine, book, database_url)


@pytest.fixture(scope="session")
def mother(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mother]:
    """Who has imported everything, once for all tests."""
    made = Mother(tmp_path_factory.mktemp("mother"))
    yield made
    made.close()


@pytest.fixture
def lived(request: pytest.FixtureRequest, town: Town, database_url: str, tmp_path: Path, mother: Mother) -> Iterator[Lives]:
    """Processes to be. In tests that take long anyway their clock is slower, so that busy machines get them done."""
    settings = {
        "tree": tree(rail_url=town.book.url, port=free_port(), rates=tmp_path / "rates.json"),
        "database": database_url,
        "speed": SPEED if request.node.get_closest_marker("slow") is None else PATIENT,
    }
    with lives(settings, tmp_path, mother) as made:
        yield made


@pytest.fixture
def harbour(devchain: DevChain, engine: AsyncEngine) -> Iterator[Harbour]:
    """A chain whose blocks come when they are told to."""
    made = Harbour(devchain, engine)
    made.open()
    yield made
    made.close()
