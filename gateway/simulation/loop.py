"""An event loop whose time is the simulation's, and which tells when nothing can happen any more by itself.

The database is real: while one of its answers is awaited, the loop waits for it. When no answer is awaited and nothing is
ready, it is at rest: everything that runs waits for a decision of the scheduler, or for time to pass. That is the moment at
which the scheduler decides, so that the order of all that happens is the scheduler's, whatever the machine does.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import NamedTuple, Protocol, TypeVar, TypeVarTuple

_OWN_FILES = 1
"""Files that the loop itself watches: its own way to wake itself up."""
SLACK_S = 12
"""How late timers ring at most. Sooner would cost work without showing more."""

T = TypeVar("T")
Args = TypeVarTuple("Args")


class _Selector(selectors.DefaultSelector):
    """Says when the loop would go to sleep without waiting for anything outside."""

    def __init__(self, at_rest: Callable[[], bool]) -> None:
        super().__init__()
        self._at_rest = at_rest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        sleepy = timeout is None or timeout > 0
        if sleepy and len(self.get_map()) <= _OWN_FILES and self._at_rest():
            return []
        return super().select(timeout)


class Owner(Protocol):
    """Whoever set a timer."""

    @property
    def phase_s(self) -> float:
        """Its place within the slack, so that timers of two owners never ring together."""

    @property
    def stands_until_s(self) -> float:
        """No timer of a machine that stands still rings before that."""


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""Whose code runs."""


class _Timer(NamedTuple):
    """Timers of the same time ring in the order in which they were set."""

    when_s: float
    number: int
    handle: asyncio.TimerHandle
    ring: Callable[[], None]


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. `time()` stands still but for `advance`; timers ring a little late, as on a busy machine."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._waiting: asyncio.Future[None] | None = None
        self._timers: list[_Timer] = []
        self._numbers = count()
        super().__init__(_Selector(self._rest))

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now_s

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As of every loop; noted, so that time can stop at each."""
        owner = OWNER.get()
        place = context or copy_context()

        def ring() -> None:
            if handle.cancelled():
                return
            if owner is not None and owner.stands_until_s > self._now_s:
                self._set(_late(owner.stands_until_s, owner), handle, ring)
            else:
                place.run(callback, *args)

        handle = asyncio.TimerHandle(_late(when, owner), ring, (), self, place)
        self._set(handle.when(), handle, ring)
        return handle

    def run_in_executor(self, _executor: Executor | None, func: Callable[[*Args], T], *args: *Args) -> asyncio.Future[T]:
        """Work for a thread is done at once instead: one thing runs at a time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)
        return future

    def next_timer(self, *, until_s: float) -> float | None:
        """When the first timer up to then rings; None: there is none."""
        while self._timers and self._timers[0].handle.cancelled():
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0].when_s > until_s:
            return None
        return self._timers[0].when_s

    def advance(self, to_s: float) -> None:
        """Let it be that time; timers ring as soon as the loop runs, in their order."""
        self._now_s = max(self._now_s, to_s)
        while self._timers and self._timers[0].when_s <= self._now_s:
            self.call_soon(heapq.heappop(self._timers).ring)

    async def quiet(self) -> None:
        """Return when nothing more happens by itself."""
        self._waiting = self.create_future()
        await self._waiting

    def _set(self, when_s: float, handle: asyncio.TimerHandle, ring: Callable[[], None]) -> None:
        heapq.heappush(self._timers, _Timer(when_s, next(self._numbers), handle, ring))

    def _rest(self) -> bool:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
            return True
        return False


def _late(when: float, owner: Owner | None) -> float:
    if owner is None:
        return when
    return math.ceil((when - owner.phase_s) / SLACK_S) * SLACK_S + owner.phase_s
