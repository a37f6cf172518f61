"""Connections and transactions. The only module that opens, commits or rolls back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import Dialect, TextClause, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.failpoints import failpoint

POOL_SIZE = 10
WAKE_CHANNEL = "lastmile"


_OPTIONS = " ".join(
    f"-c {option}"
    for option in (
        "timezone=UTC",
        "statement_timeout=60000",
        "lock_timeout=30000",
        # Our statements take arrays of any length; planned anew each time, planning cost a tenth of a payout.
        "plan_cache_mode=force_generic_plan",
    )
)


def make_engine(url: str, *, pool_size: int = POOL_SIZE) -> AsyncEngine:
    """An engine for `url` ("postgresql://…"), by psycopg, in READ COMMITTED with UTC."""
    return create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"options": _OPTIONS},
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


async def quick(connection: AsyncConnection, statement: TextClause, values: Mapping[str, object]) -> TupleRow | None:
    """The first row of one statement, executed by the driver itself in the connection's transaction; None: there is none.

    For the few statements that a deposit waits for: SQLAlchemy's part of a short one takes a millisecond, twice the rest.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    # SQLAlchemy's connections are bare; it makes the cursor that it wants each time, and so do we.
    cursor = driver.cursor()
    await cursor.execute(_driver_sql(statement, connection.dialect), values)
    row: TupleRow | None = await cursor.fetchone()
    return row


@cache
def _driver_sql(statement: TextClause, dialect: Dialect) -> bytes:
    return str(statement.compile(dialect=dialect)).encode()


async def wake(connection: AsyncConnection, topic: str) -> None:
    """Tell every process, when this transaction commits, that work of `topic` is due. Only a hint: work waits in rows."""
    await connection.execute(text("SELECT pg_notify(:channel, :topic)"), {"channel": WAKE_CHANNEL, "topic": topic})
