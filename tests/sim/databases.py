"""Whole databases of one test's own, also where a folder's fixtures share one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg

from gateway.db.embedded import Server

TEMPLATE = "template_lastmile"
"""Migrated; made by the fixture `postgres`."""
_numbers = count()


@contextmanager
def own_database(postgres: Server) -> Iterator[str]:
    """The URL of an empty, migrated database; dropped at the end."""
    name = f"own_{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    try:
        yield postgres.url_for(name)
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
