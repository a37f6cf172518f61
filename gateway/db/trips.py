"""Transactions of two round trips, for sets that somebody waits for: BEGIN with what is read, COMMIT with what is written.

By libpq itself (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html): seven statements by psycopg's cursors in
SQLAlchemy's transaction take 640 µs of CPU, this way a fifth of it. Beside gateway.db.session the only module that opens,
commits or rolls back.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from itertools import count
from typing import Any, NamedTuple

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait
from sqlalchemy import TextClause
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from gateway.db.session import Statement

_Command = Callable[[PGconn], None]
"""Sends one thing, which has one answer."""

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_DONE = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}
_NAMES = "gateway.db.trips"
"""Under which key a pooled connection keeps the names of its prepared statements."""
_numbers = count()


@asynccontextmanager
async def trip(engine: AsyncEngine) -> AsyncIterator[Trip]:
    """One transaction: committed at the end of the block, rolled back if it raises. No network call belongs inside.

    Whoever raises gives up the connection: nobody meets what was left half done on it.
    """
    try:
        pooled = await engine.raw_connection()
    except psycopg.Error as error:
        raise _as_told(error) from error
    try:
        assert isinstance(pooled.driver_connection, psycopg.AsyncConnection)
        made = Trip(pooled.driver_connection, pooled.info.setdefault(_NAMES, {}))
        yield made
        await made.commit()
    except BaseException:
        await greenlet_spawn(pooled.invalidate)
        raise
    finally:
        await greenlet_spawn(pooled.close)


class Trip:
    """The statements of one transaction. Their values are texts, moments or None: sets come as JSON."""

    def __init__(self, driver: psycopg.AsyncConnection[Any], names: dict[TextClause, bytes]) -> None:
        self._driver = driver
        self._names = names
        self._begin: Sequence[bytes] = (b"BEGIN",)
        self._last: Sequence[Statement] = ()

    async def ask(self, statements: Sequence[Statement]) -> list[list[Any]]:
        """The rows of each, with columns as attributes, in one round trip. Each sees what was committed until its own turn.

        Raises what SQLAlchemy would have raised.
        """
        try:
            return await self._go(statements)
        except psycopg.Error as error:
            if not isinstance(error, InvalidSqlStatementName) or not self._begin:
                raise _as_told(error) from error
        # Somebody threw this connection's prepared statements away, as psycopg does after ROLLBACK TO SAVEPOINT.
        self._names.clear()
        self._begin = (b"ROLLBACK", b"BEGIN")
        return await self.ask(statements)

    def last(self, statements: Sequence[Statement]) -> None:
        """What is written at the end of the block, in the round trip of the COMMIT."""
        self._last = statements

    async def commit(self) -> None:
        """Write what is last, and end the transaction. Raises what SQLAlchemy would have raised."""
        try:
            await self._go(self._last, end=(b"COMMIT",))
        except psycopg.Error as error:
            raise _as_told(error) from error

    async def _go(self, statements: Sequence[Statement], *, end: Iterable[bytes] = ()) -> list[list[Any]]:
        """Begin if that wasn't done, prepare what is new on this connection, execute, end."""
        new = {statement: b"trip_%d" % next(_numbers) for statement, _ in statements if statement not in self._names}
        names = {**self._names, **new}
        before: list[_Command] = [partial(_say, word) for word in self._begin]
        before += [partial(_prepare, name, _compiled(statement).sql) for statement, name in new.items()]
        during: list[_Command] = [
            partial(_execute, names[one], _compiled(one).in_order(values)) for one, values in statements
        ]
        after: list[_Command] = [partial(_say, word) for word in end]
        results = await self._driver.wait(_answers(self._driver.pgconn, before + during + after))
        self._names.update(new)
        self._begin = ()
        reader = Transformer(self._driver)
        return [_rows(result, reader) for result in results[len(before) : len(before) + len(during)]]


class _Compiled(NamedTuple):
    """A statement in libpq's form."""

    sql: bytes
    names: tuple[str, ...]
    """Of $1, $2 and so on."""

    def in_order(self, values: Mapping[str, object]) -> list[bytes | None]:
        return [None if values[name] is None else str(values[name]).encode() for name in self.names]


@cache
def _compiled(statement: TextClause) -> _Compiled:
    compiled = statement.compile(dialect=_DIALECT)
    return _Compiled(str(compiled).encode(), tuple(compiled.positiontup or ()))


def _say(word: bytes, pgconn: PGconn) -> None:
    pgconn.send_query_params(word, None)


def _prepare(name: bytes, sql: bytes, pgconn: PGconn) -> None:
    pgconn.send_prepare(name, sql)


def _execute(name: bytes, values: Sequence[bytes | None], pgconn: PGconn) -> None:
    pgconn.send_query_prepared(name, values)


def _answers(pgconn: PGconn, commands: Sequence[_Command]) -> Generator[Wait, Ready | int, list[PGresult]]:
    """Send all commands; then the answer to each. Raises `psycopg.Error` of the first that failed."""
    pgconn.enter_pipeline_mode()
    for command in commands:
        command(pgconn)
    pgconn.pipeline_sync()
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[PGresult] = []
    for _ in commands:
        while (result := (yield from _next(pgconn))) is not None:
            results.append(result)
    synced = yield from _next(pgconn)
    for result in results:
        if result.status not in _DONE:
            raise error_from_result(result)
    if synced is None or len(results) != len(commands):
        raise psycopg.OperationalError("the connection was lost")
    pgconn.exit_pipeline_mode()
    return results


def _next(pgconn: PGconn) -> Generator[Wait, Ready | int, PGresult | None]:
    while pgconn.is_busy():
        yield Wait.R
        pgconn.consume_input()
    return pgconn.get_result()


def _rows(result: PGresult, reader: Any) -> list[Any]:
    if not result.nfields:
        return []
    reader.set_pgresult(result)
    rows: list[Any] = reader.load_rows(0, result.ntuples, _row(tuple(result.fname(n) for n in range(result.nfields))))
    return rows


@cache
def _row(columns: tuple[bytes, ...]) -> Callable[[Sequence[Any]], Any]:
    kind: Any = namedtuple("Row", tuple(column.decode() for column in columns), rename=True)  # type: ignore[misc]  # noqa: PYI024
    make: Callable[[Sequence[Any]], Any] = kind._make
    return make


def _as_told(error: psycopg.Error) -> BaseException:
    """As SQLAlchemy tells it."""
    return DBAPIError.instance("a trip", None, error, psycopg.Error, hide_parameters=True, dialect=_DIALECT)
