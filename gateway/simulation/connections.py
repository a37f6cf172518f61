"""Connections that wait for the database where they stand.

One thing runs at a time in a simulation, so that there is nobody to give the loop to while an answer is awaited. So no two
transactions of a process are ever open at once, one connection is enough for all its loops, and the order of what happens
doesn't depend on how fast the database answers. Only who waits for a row that another task holds lets that one go on.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import make_engine, transaction

PATIENCE_MS = 2_000
"""After that it is taken for a wait for somebody else."""
PREPARED_MOST = 1_000
"""All loops of a process share one connection here: none of their statements is forgotten for the others."""
RACING: ContextVar[bool] = ContextVar("racing", default=False)
"""Whether this task takes turns with others, statement by statement."""
RACING_PATIENCE_MS = 100
T = TypeVar("T")


class PromptConnection(psycopg.AsyncConnection[Any]):
    """As every connection of the driver's; its `wait` doesn't suspend its task if it can help it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As of every connection."""
        super().__init__(*arguments, **options)
        self.prepared_max = PREPARED_MOST

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109 - the driver's
        """Drive `gen` to its end."""
        poller = select.poll()
        racing = RACING.get()
        if racing:
            await asyncio.sleep(0)
        try:
            wanted = next(gen)
            while True:
                poller.register(self.pgconn.socket, _mask(wanted))
                happened = poller.poll(RACING_PATIENCE_MS if racing else PATIENCE_MS)
                if not happened:
                    break
                wanted = gen.send(_ready(happened[0][1]))
        except StopIteration as over:
            result: T = over.value
            return result
        return await super().wait(_resumed(gen, wanted), interval, timeout)


async def at_once(engines: Sequence[AsyncEngine], act: Callable[[AsyncConnection], Awaitable[T]]) -> list[T | BaseException]:
    """The same in a transaction of each, statement by statement in turns. What each gave or raised."""

    async def one(engine: AsyncEngine) -> T:
        RACING.set(True)
        async with transaction(engine) as connection:
            return await act(connection)

    return await asyncio.gather(*(asyncio.create_task(one(engine)) for engine in engines), return_exceptions=True)


def make_prompt_engine(url: str, *, pool_size: int) -> AsyncEngine:
    """As `make_engine`, of such connections."""
    engine = make_engine(url, pool_size=pool_size)

    @event.listens_for(engine.sync_engine, "do_connect")
    def _creator(_dialect: object, _record: object, _arguments: object, options: dict[str, object]) -> None:
        options["async_creator_fn"] = PromptConnection.connect

    return engine


def _mask(wanted: Wait) -> int:
    return (select.POLLIN if wanted & Wait.R else 0) | (select.POLLOUT if wanted & Wait.W else 0)


def _ready(happened: int) -> Ready:
    # Errors show when it is read.
    return Ready((Ready.R if happened & ~select.POLLOUT else 0) | (Ready.W if happened & select.POLLOUT else 0))


def _resumed(gen: PQGen[T], wanted: Wait) -> PQGen[T]:
    """A generator that has begun, from where it stands."""
    while True:
        ready = yield wanted
        try:
            wanted = gen.send(ready)
        except StopIteration as over:
            result: T = over.value
            return result
