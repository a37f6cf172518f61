"""Connections and transactions. The only module that opens, commits or rolls back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

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
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end of the block, rolled back if it raises. No network call belongs inside."""
    async with engine.begin() as connection:
        yield connection


async def wake(connection: AsyncConnection, topic: str) -> None:
    """Tell every process, when this transaction commits, that work of `topic` is due. Only a hint: work waits in rows."""
    await connection.execute(text("SELECT pg_notify(:channel, :topic)"), {"channel": WAKE_CHANNEL, "topic": topic})
