"""A migrated database for each test: making one takes longer than most tests, so one is emptied and given again."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import count

import psycopg
from psycopg import sql

from gateway.db.embedded import Server
from gateway.db.migrate import migrate

TEMPLATE = "template_lastmile"
"""Migrated and never written to; made by the fixture `postgres`."""

_numbers = count()

# Nothing that refuses a deletion hinders this: no trigger fires and no reference is looked at in the role `replica`.
_EMPTY = """
    SET session_replication_role = replica;
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid();
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT oid::regclass FROM pg_class
                     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0 LOOP
            EXECUTE 'DELETE FROM ' || name;
        END LOOP;
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
    END $$
"""

# What a test may have changed beside rows, statistics too. A row of a catalog that is written anew has another xmin.
_SHAPE = """
    SELECT (SELECT (sum(oid::bigint), sum(reltuples))::text FROM pg_class WHERE relpersistence <> 't' AND oid >= 16384),
           (SELECT sum(xmin::text::bigint) FROM pg_trigger),
           (SELECT sum(xmin::text::bigint) FROM pg_constraint),
           (SELECT sum(xmin::text::bigint) FROM pg_attribute WHERE attrelid >= 16384),
           (SELECT sum(xmin::text::bigint) FROM pg_proc WHERE oid >= 16384),
           (SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND oid >= 16384) > 2e6
"""

# No test is about disks. Without a vacuum that comes when it likes, all tests find the same statistics: none.
_SETTINGS = ("fsync = off", "full_page_writes = off", "autovacuum = off")


def make_template(server: Server) -> None:
    """What all databases of a server are copies of; the server is told that it's for tests."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        for setting in _SETTINGS:
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(server.url_for(TEMPLATE))


def create(server: Server, name: str) -> str:
    """A migrated database; gives its URL. Its files are copied, which takes less than to log every page of them."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    return server.url_for(name)


def drop(server: Server, name: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Spare:
    """The database that tests have one after another; each finds it as if it were new."""

    server: Server
    _name: str | None = field(default=None, init=False)

    def take(self) -> str:
        """Its URL; its tables are as the migrations left them."""
        if self._name is None:
            self._name = f"test_{next(_numbers)}"
            create(self.server, self._name)
        return self.server.url_for(self._name)

    def give_back(self) -> None:
        """Cut who is still connected and empty it; if a test changed more than rows or wrote many, the next gets another."""
        assert self._name is not None
        with psycopg.connect(self.server.url_for(self._name), autocommit=True) as connection:
            connection.execute(_EMPTY)
            as_new = connection.execute(_SHAPE).fetchone() == self._shape
            for table, rows in self._migrated.items() if as_new else ():
                with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
                    copy.write(rows)
        if not as_new:
            drop(self.server, self._name)
            self._name = None

    @cached_property
    def _shape(self) -> object:
        with psycopg.connect(self.server.url_for(TEMPLATE)) as connection:
            return connection.execute(_SHAPE).fetchone()

    @cached_property
    def _migrated(self) -> dict[str, bytes]:
        """The rows that migrations have written, by table."""
        with psycopg.connect(self.server.url_for(TEMPLATE)) as connection:
            found = connection.execute(
                "SELECT relname FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0"
            ).fetchall()
            return {table: _rows(connection, table) for (table,) in found}


def _rows(connection: psycopg.Connection, table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(bytes(part) for part in copy)
