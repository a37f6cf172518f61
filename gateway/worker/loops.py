"""Run steps for ever: each claims due rows, acts, records. Woken early by the database, never dependent on it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import structlog

from gateway.db.faults import passes
from gateway.db.session import WAKE_CHANNEL

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 30.0
LISTEN_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Loop:
    """A named step. `step` does one bounded piece of work and returns how much; 0 means that nothing is due."""

    name: str
    step: Callable[[], Awaitable[int]]
    idle: timedelta = timedelta(seconds=1)
    """How long to wait when nothing is due and nobody wakes us."""
    wakes: bool = True
    """Whether other work may make it due. A loop that asks the outside (nodes, rate sources) keeps its own time."""
    foreseen: tuple[type[Exception], ...] = ()
    """Failures of the outside: logged in one line, without a stack, as are those of the database that pass."""
    beside: Callable[[asyncio.Event], Awaitable[None]] | None = None
    """Runs as long as the loop does, and sets the event when the outside has news: then a waiting loop steps at once."""


@dataclass(slots=True)
class Heartbeat:
    """What a loop last did; read by /readyz."""

    fault: str | None = None
    rounds: int = 0


@dataclass(slots=True)
class Worker:
    """All loops of this process and the ear for wake-ups."""

    loops: tuple[Loop, ...]
    database_url: str
    hearts: dict[str, Heartbeat] = field(default_factory=dict)
    _bells: dict[str, asyncio.Event] = field(default_factory=dict)

    async def run(self) -> None:
        """Run until cancelled. A step that raises is tried again with growing pauses; the others go on."""
        self._bells = {loop.name: asyncio.Event() for loop in self.loops}
        self.hearts.update({loop.name: Heartbeat() for loop in self.loops})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="listen")
            for loop in self.loops:
                group.create_task(self._forever(loop), name=loop.name)
                if loop.beside is not None:
                    group.create_task(self._attend(loop.name, loop.beside), name=f"{loop.name}:beside")

    @property
    def faults(self) -> Mapping[str, str]:
        """Loops whose last round failed, and why."""
        return {name: heart.fault for name, heart in self.hearts.items() if heart.fault is not None}

    def ring(self) -> None:
        """Wake every loop that others can have made due."""
        for loop in self.loops:
            if loop.wakes:
                self._bells[loop.name].set()

    async def _forever(self, loop: Loop) -> None:
        pause = BACKOFF_FIRST_S
        heart, bell = self.hearts[loop.name], self._bells[loop.name]
        while True:
            bell.clear()
            try:
                done = await loop.step()
            except Exception as error:
                heart.fault = f"{type(error).__name__}: {error}"[:300]
                stack = None if isinstance(error, loop.foreseen) or passes(error) else error
                log.error("loop_failed", loop=loop.name, fault=heart.fault, exc_info=stack)  # noqa: TRY400
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads retries, guards nothing
                pause = min(pause * 2, BACKOFF_MOST_S)
                continue
            heart.fault, heart.rounds, pause = None, heart.rounds + 1, BACKOFF_FIRST_S
            if done:
                # One loop's work is another's cause: a booked deposit is an order to dispatch.
                self.ring()
                continue
            # Not wait_for: if the bell rings at the moment of a cancellation, Python 3.11's forgets the cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(loop.idle.total_seconds()):
                    await bell.wait()

    async def _attend(self, name: str, beside: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Keep `beside` running. The loop looks by its own clock meanwhile, so a failure here is only slowness."""
        while True:
            try:
                await beside(self._bells[name])
            except Exception as error:
                log.error("beside_failed", loop=name, exc_info=error)  # noqa: TRY400
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self.database_url, autocommit=True)
                async with connection:
                    await connection.execute(f"LISTEN {WAKE_CHANNEL}".encode())
                    async for _ in connection.notifies():
                        self.ring()
            except psycopg.Error as error:
                log.warning("listen_failed", error=type(error).__name__)
            await asyncio.sleep(LISTEN_AGAIN_S)
