"""Callbacks as they arrive: what arrives while a set is committed is the next set, however many come at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.faults import passes
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
        self._waiting: list[tuple[Arrival, asyncio.Future[bool]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def put(self, arrival: Arrival) -> bool:
        """Store one; returns when it is committed, whether it was new. Raises `NotStored` if the database isn't there."""
        if len(self._waiting) >= WAITING_MOST:
            raise NotStored("too many callbacks wait to be stored")
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, kept))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_waiting())
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                return await kept
        except TimeoutError:
            raise NotStored(f"not stored within {STORED_WITHIN_S:g} s") from None

    async def _store_waiting(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:SET], self._waiting[SET:]
            # Who has been told to come back isn't waited for.
            await self._store([(arrival, kept) for arrival, kept in group if not kept.done()])

    async def _store(self, group: Sequence[tuple[Arrival, asyncio.Future[bool]]]) -> None:
        if not group:
            return
        try:
            new = await self._insert([arrival for arrival, _ in group])
        except Exception as error:  # noqa: BLE001 - told to each of those who wait
            if len(group) > 1 and not passes(error):
                # Something in one of them is wrong: the others are stored all the same.
                for one in group:
                    await self._store([one])
                return
            for _, kept in group:
                if not kept.done():
                    kept.set_exception(NotStored(type(error).__name__))
            return
        for (_, kept), is_new in zip(group, new, strict=True):
            if not kept.done():
                kept.set_result(is_new)

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
