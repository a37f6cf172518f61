"""Many callers' work in one transaction, so that they share its round trips and its wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy.exc import TimeoutError as NoConnectionFree

from gateway.db.faults import passes

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Crowded(NoConnectionFree):
    """Too many wait. Answered as a busy database is."""


class Grouped(Generic[Asked, Answer]):
    """Gathers callers into groups: whoever comes while one group is worked on is in the next.

    Nobody waits for others to come: a caller who finds nobody at work is a group alone, at once. One group is worked on at a
    time, by `act`, which answers each of its askings with a result or with the exception to raise; it is called again, with
    each asking alone, if a whole group fails by what may be one asking's fault. It has to have written nothing then.
    """

    def __init__(
        self, act: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]], *, most: int, waiting_most: int
    ) -> None:
        """`most`: in one group. `waiting_most`: who comes while so many wait is turned away at once."""
        self._act = act
        self._most = most
        self._waiting_most = waiting_most
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

    async def do(self, asked: Asked) -> Answer:
        """Have it done in a group. Raises the exception that is its answer, or `Crowded`.

        Who is cancelled before his group's turn leaves it; in the middle of it his work is done, and nobody learns of it.
        """
        if len(self._waiting) >= self._waiting_most:
            raise Crowded(f"{self._waiting_most} wait already")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        """Until nobody waits."""
        group: list[tuple[Asked, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                group = [one for one in self._waiting[: self._most] if not one[1].done()]
                del self._waiting[: self._most]
                if group:
                    _tell(group, await self._answers([asked for asked, _ in group]))
        finally:
            # Only if this was cancelled is there anybody left.
            for _, answer in (*group, *self._waiting):
                answer.cancel()
            self._waiting.clear()

    async def _answers(self, group: Sequence[Asked]) -> Sequence[Answer | Exception]:
        try:
            return await self._act(group)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            if passes(error) or len(group) == 1:
                return [error] * len(group)
        return [answer for asked in group for answer in await self._answers([asked])]


def _tell(group: Sequence[tuple[Asked, asyncio.Future[Answer]]], answers: Sequence[Answer | Exception]) -> None:
    for (_, waiting), answer in zip(group, answers, strict=True):
        if waiting.done():
            continue
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)
