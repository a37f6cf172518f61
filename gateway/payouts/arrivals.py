"""Callbacks as they arrive: what arrives while a set is committed is the next set, however many come at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.groups import Grouped
from gateway.db.session import make_engine, transaction
from gateway.payouts.inbox import Arrival, store_all

STORED_WITHIN_S = 5.0
"""How long storing may take, in seconds, before a rail is told to come back; usually it takes a few thousandths. Some rails
tell their news once and wait for long: a disk's bad second must not lose what patience would have kept."""
WAITING_MOST = 1_000
"""Callbacks that wait to be stored; more are turned away at once, for they could not be in time."""
SET = 200
CONNECTIONS = 2
_PATIENCE = {"connect_timeout": "3", "tcp_user_timeout": "5000"}


class NotStored(NoConnectionFree):
    """The callback could not be stored in time: whoever brought it must bring it again. Answered as a busy database is."""


def make_inbox_engine(url: str) -> AsyncEngine:
    """Connections that only callbacks use: whatever else the database is busy with, they don't wait for a free one."""
    plain = make_url(url).update_query_dict(_PATIENCE).render_as_string(hide_password=False)
    return make_engine(plain, pool_size=CONNECTIONS)


class Arrivals:
    """Stores callbacks, in sets when many come at once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sets = Grouped(self._insert, most=SET, waiting_most=WAITING_MOST)

    async def put(self, arrival: Arrival) -> bool:
        """Store one; returns when it is committed, whether it was new. Raises `NotStored` if the database isn't there."""
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                return await self._sets.do(arrival)
        except TimeoutError:
            raise NotStored(f"not stored within {STORED_WITHIN_S:g} s") from None
        except Exception as error:
            raise NotStored(type(error).__name__) from error

    async def _insert(self, arrivals: Sequence[Arrival], *, last: bool = False) -> list[bool]:
        try:
            async with transaction(self._engine, point="inbox.store") as connection:
                return await store_all(connection, arrivals=arrivals)
        except DBAPIError as error:
            # A connection from before the database's restart: that it was cut shows only now.
            if last or not error.connection_invalidated:
                raise
            # The others are from before it too.
            await self._engine.dispose()
        return await self._insert(arrivals, last=True)
