"""Two workers and a server of callbacks while orders flow: killed at any moment, by us and by the rail that just paid."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.crash.lives import Lives
from tests.crash.rail import Way
from tests.crash.test_every_point import rest
from tests.crash.world import Town

pytestmark = pytest.mark.slow

LIFE_MOST_S = 1.2
"""Less than it takes until a life does its first work would test nothing; this is several times as long."""
SETTLED_S = 0.25
BATCH = 20


@pytest.mark.parametrize(
    ("kills", "orders"), [(20, 160), pytest.param(200, 1_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
async def test_killed_at_any_moment_everybody_is_paid_once(town: Town, lived: Lives, kills: int, orders: int) -> None:
    random = Random(kills)
    # A person stops one after the other, each by a process of its own.
    by_person = (Way.STOPPED, Way.MUDDLED)
    ways = [*by_person, *(way for way in Way if way not in by_person for _ in range(4))]
    lived.serve()
    workers = [lived.work(), lived.work()]
    added = 0
    for number in range(kills):
        while added < orders * (number + 1) // kills:
            await town.add([random.choice(ways) for _ in range(BATCH)])
            added += BATCH
        await asyncio.sleep(random.uniform(0, LIFE_MOST_S if number % 2 else SETTLED_S))
        victim = random.randrange(len(workers))
        lived.kill(workers[victim])
        workers[victim] = lived.work()
    await rest(town, lived, within_s=240 + orders)
    await town.check()
    assert len(town.ends) >= orders


async def test_killed_when_the_rail_has_acted_and_before_it_answers(town: Town, lived: Lives) -> None:
    lived.serve()
    town.book.victims = [lambda did: did == "pay"] * 6 + [lambda did: did == "status"] * 4
    await town.add([*Way] * 3)
    worker = 0
    while town.book.victims:
        if not lived.lives(worker):
            worker = lived.work()
        if await town.resting():
            await town.add([*Way])
        await asyncio.sleep(0.01)
    lived.kill(worker)
    lived.work()
    await rest(town, lived)
    assert sorted(town.book.killed) == ["pay"] * 6 + ["status"] * 4
    await town.check()
