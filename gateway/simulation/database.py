"""A database for one simulation: made, migrated, dropped; on a server of its own unless one is given."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from os import getpid
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from gateway.db.embedded import start
from gateway.db.migrate import migrate

_numbers = count()
_SETTINGS = ("synchronous_commit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin")
"""Off: the disk's time proves nothing here, and plans are those of large tables without anybody counting their rows."""


@contextmanager
def simulated_database(server_url: str | None) -> Iterator[str]:
    """The URL of an empty, migrated database on that server, or on one of its own, which is deleted afterwards."""
    if server_url is not None:
        with _database(server_url) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="lastmile-simulation-") as home:
        server = start(folder=Path(home) / "postgres")
        try:
            with _database(server.url) as url:
                yield url
        finally:
            server.stop()


def prepare(url: str) -> None:
    """Let nothing happen in that database by itself: vacuuming in the background would move rows whenever it likes.

    The invariants' eye follows the steps by their numbers, as nobody else does.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            statement = sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(sql.Identifier(table))
            connection.execute(statement)
        connection.execute("CREATE INDEX ON order_events (id)")
        for setting in _SETTINGS:
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = off").format(name, sql.Identifier(setting)))


@contextmanager
def _database(server_url: str) -> Iterator[str]:
    name = sql.Identifier(plain := f"lastmile_simulation_{getpid()}_{next(_numbers)}")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{plain}"))
        migrate(url)
        yield url
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
