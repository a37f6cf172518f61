"""Connections and transactions. With gateway.db.trips the only module that opens, commits or rolls back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import AsyncRowFactory, TupleRow, namedtuple_row, tuple_row
from sqlalchemy import Dialect, TextClause, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.failpoints import failpoint

POOL_SIZE = 10
WAKE_CHANNEL = "lastmile"


Statement = tuple[TextClause, Mapping[str, object]]
"""What `rows_of_all` executes: a statement and its values."""
Ask = Callable[[Sequence[Statement]], Awaitable[list[list[Any]]]]
"""What executes statements in somebody's transaction, as `rows_of_all` does."""

_OPTIONS = " ".join(
    f"-c {option}"
    for option in (
        "timezone=UTC",
        "statement_timeout=60000",
        "lock_timeout=30000",
        # A process that stands still in a transaction loses its locks before those who wait for them give up.
        "idle_in_transaction_session_timeout=20000",
        # Our statements take arrays of any length; planned anew each time, planning cost a tenth of a payout.
        "plan_cache_mode=force_generic_plan",
        # Such a plan is made without knowing how few rows are wanted. What is wanted is in memory: it is found by index.
        "random_page_cost=1.1",
    )
)


def make_engine(url: str, *, pool_size: int = POOL_SIZE) -> AsyncEngine:
    """An engine for `url` ("postgresql://…"), by psycopg, in READ COMMITTED with UTC."""
    return create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"options": _OPTIONS},
        hide_parameters=True,  # errors are logged, and parameters hold names and account numbers
    )


@asynccontextmanager
async def transaction(engine: AsyncEngine, *, point: str | None = None) -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end of the block, rolled back if it raises. No network call belongs inside.

    `point` names it for `gateway.failpoints`, as in "dispatch.claim": its two sides are ":before_commit", ":after_commit".
    """
    async with engine.begin() as connection:
        yield connection
        if point is not None:
            failpoint(f"{point}:before_commit")
    if point is not None:
        failpoint(f"{point}:after_commit")


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction that only reads: the database refuses to write in it. So no kill matters in it, and it has no name."""
    async with engine.connect() as connection:
        await connection.execution_options(postgresql_readonly=True)
        async with connection.begin():
            yield connection


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One moment of the whole database, to read only, however many statements that takes and however long each runs.

    No network call belongs inside: old rows are kept for as long as somebody looks at them.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async with connection.begin():
            # Statements over whole tables: each is planned for what it is asked, and takes the time that it takes.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await connection.execute(text("SET LOCAL plan_cache_mode = auto"))
            await connection.execute(text("SET LOCAL work_mem = '64MB'"))
            yield connection


async def quick(connection: AsyncConnection, statement: TextClause, values: Mapping[str, object]) -> TupleRow | None:
    """The first row of one statement, executed by the driver itself in the connection's transaction; None: there is none.

    For the few statements that a deposit waits for: SQLAlchemy's part of a short one takes a millisecond, twice the rest.
    """
    cursor = await _execute(connection, statement, values, tuple_row)
    row: TupleRow | None = await cursor.fetchone()
    return row


async def rows(connection: AsyncConnection, statement: TextClause, values: Mapping[str, object]) -> list[Any]:
    """All rows of one statement, with columns as attributes, executed as by `quick`: for sets of hundreds of orders.

    Raises what SQLAlchemy would have raised.
    """
    return await _all(await _execute(connection, statement, values, namedtuple_row))


async def tuples(connection: AsyncConnection, statement: TextClause, values: Mapping[str, object]) -> list[TupleRow]:
    """As `rows`, without names: for sets of rows of few columns, which are unpacked at once."""
    return await _all(await _execute(connection, statement, values, tuple_row))


async def rows_of_all(connection: AsyncConnection, statements: Sequence[Statement]) -> list[list[Any]]:
    """As `rows`, of several statements in one round trip: each is sent without waiting for the answers to those before.

    They are executed in order, and each sees what was committed until its own turn.
    """
    driver = _driver(connection)
    cursors = [driver.cursor(row_factory=namedtuple_row) for _ in statements]
    try:
        async with driver.pipeline():
            for cursor, (statement, values) in zip(cursors, statements, strict=True):
                await cursor.execute(_driver_sql(statement, connection.dialect), values)
    except psycopg.Error as error:
        raise DBAPIError.instance(
            "several", None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
    return [await _all(cursor) for cursor in cursors]


async def _all(cursor: psycopg.AsyncCursor[Any]) -> list[Any]:
    return [] if cursor.rownumber is None else await cursor.fetchall()


def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    # A transaction never connects anew, so none of the greenlets is needed that `get_raw_connection` makes.
    assert connection.sync_connection is not None
    driver = connection.sync_connection.connection.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


async def _execute(
    connection: AsyncConnection, statement: TextClause, values: Mapping[str, object], row_factory: AsyncRowFactory[Any]
) -> psycopg.AsyncCursor[Any]:
    driver = _driver(connection)
    # SQLAlchemy's connections are bare; it makes the cursor that it wants each time, and so do we.
    cursor = driver.cursor(row_factory=row_factory)
    sql = _driver_sql(statement, connection.dialect)
    try:
        await cursor.execute(sql, values)
    except psycopg.Error as error:
        raise DBAPIError.instance(
            sql.decode(), None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
    return cursor


@cache
def _driver_sql(statement: TextClause, dialect: Dialect) -> bytes:
    return str(statement.compile(dialect=dialect)).encode()


async def wake(connection: AsyncConnection, topic: str) -> None:
    """Tell every process, when this transaction commits, that work of `topic` is due. Only a hint: work waits in rows."""
    await connection.execute(text("SELECT pg_notify(:channel, :topic)"), {"channel": WAKE_CHANNEL, "topic": topic})
