"""A worker that stands still longer than its lease lasts: when it wakes up, it neither sends nor records anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.crash.lives import Lives
from tests.crash.rail import Way
from tests.crash.test_every_point import rest
from tests.crash.world import Town, before

WITHIN_S = 90
AWAKE_S = 2
"""How long it is watched after it has woken up."""


async def freeze(town: Town, lived: Lives, way: Way, *, at: str) -> int:
    """A worker that stands still at that point with an order in hand, and another one, which goes on."""
    worker = lived.freeze(at=at)
    await town.add([way])
    await until(lambda: lived.deaths() == [at])
    lived.work()
    return worker


async def until(probe: Callable[[], bool | Awaitable[bool]]) -> None:
    ends = before(WITHIN_S)
    while not (answer if isinstance(answer := probe(), bool) else await answer):
        assert before(0) < ends
        await asyncio.sleep(0.01)


async def test_it_does_not_send(town: Town, lived: Lives) -> None:
    worker = await freeze(town, lived, Way.AT_ONCE, at="send:before")
    await rest(town, lived)
    assert worker not in town.book.callers
    lived.thaw(worker)
    await asyncio.sleep(AWAKE_S)
    assert worker not in town.book.callers
    await town.check()


async def test_it_does_not_record(town: Town, lived: Lives) -> None:
    worker = await freeze(town, lived, Way.MUDDLED, at="send:after_reply")

    async def heard() -> bool:
        return await town.column("SELECT outcome FROM attempts") == ["pending"]

    async def kept() -> bool:
        return await town.column("SELECT source || ' ' || outcome FROM attempt_reports") == ["old_lease unknown"]

    await until(heard)
    lived.thaw(worker)
    await until(kept)
    assert await town.column("SELECT outcome FROM attempts") == ["pending"]
    assert await town.column("SELECT state FROM orders") == ["paying"]


@pytest.mark.slow
async def test_it_keeps_nobody_from_its_rail(town: Town, lived: Lives) -> None:
    worker = await freeze(town, lived, Way.AT_ONCE, at="dispatch.claim:before_commit")
    await rest(town, lived)
    lived.thaw(worker)
    await town.add([Way.AT_ONCE])
    await rest(town, lived)
    await town.check()
