"""A gateway whose processes can be killed, with a rail that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

pytest.register_assert_rewrite("tests.crash.world")

from tests.crash.lives import Lives, free_port, lives, tree  # noqa: E402 - after the rewriting of its assertions
from tests.crash.rail import rail  # noqa: E402
from tests.crash.world import Town  # noqa: E402


@pytest.fixture
def town(engine: AsyncEngine, database_url: str) -> Iterator[Town]:
    """Orders to be, the rail, and somebody who may decide."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now())")
    with rail() as book:
        yield Town(engine, book, database_url)


@pytest.fixture
def lived(town: Town, database_url: str, tmp_path: Path) -> Iterator[Lives]:
    """Processes to be."""
    settings = {
        "tree": tree(rail_url=town.book.url, port=free_port(), rates=tmp_path / "rates.json"),
        "database": database_url,
    }
    with lives(settings, tmp_path) as made:
        yield made
