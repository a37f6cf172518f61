"""Every point of the payouts' loops, each with a real process that is killed there, and then everybody is paid once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.crash.lives import Lives
from tests.crash.points import points
from tests.crash.rail import Way
from tests.crash.world import Town, before

pytestmark = pytest.mark.slow

WITHIN_S = 240
AGAIN_S = 4
"""How often more orders come."""
ODD = frozenset({"dispatch.park", "dispatch.tell", "inbox.park"})
"""Where only orders come whose books were robbed: those points are visited by name, for they take as long as the others."""
CHAIN_S = (
    "lease", "market", "rates", "reconcile", "refunds", "settle", "strays", "submit", "sweeper", "tokenwatch", "watcher",
)  # fmt: skip
"""Rooms whose loops need a chain, or prices."""
OTHERS = (*CHAIN_S, "backlog", "codes", "floats", "offers", "legs", "routes")
"""And those that need hundreds of orders, old decisions, agents, partners, a rail that tells balances, or one in legs."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("without", [ODD, pytest.param(frozenset[str](), id="all", marks=pytest.mark.slow)])
async def test_every_point_is_survived(town: Town, lived: Lives, without: frozenset[str]) -> None:
    there = [point for point in points() if point.split(".")[0].split(":")[0] not in OTHERS]
    todo = [point for point in there if point.rpartition(":")[0] not in without]
    await until_hit(town, lived, todo)
    lived.work()
    lived.serve()
    town.give_back()
    await town.rail_comes_back()
    await rest(town, lived)
    assert set(lived.deaths()) == set(todo)
    assert lived.nameless() == []
    await town.check()


async def until_hit(town: Town, lived: Lives, todo: Sequence[str]) -> None:
    """Orders, and processes that die at the first point at which none has died, until there is no such point."""
    ends = before(WITHIN_S)
    worker = server = person = 0
    added = 0.0
    while left := sorted(set(todo) - set(lived.deaths())):
        assert before(0) < ends, f"nobody came to {left}\n{lived.log.read_text()[-3000:]}"
        if before(0) > added:
            lived.kill(worker)
            await feed(town, left)
            added = before(AGAIN_S)
        if not lived.lives(worker):
            await town.clocks_go_wrong()
            if any(point.startswith("poll.shelve") for point in left):
                await town.rail_goes()
            worker = lived.work(points=left)
        if not lived.lives(server):
            server = lived.serve(points=left)
        if not lived.lives(person) and (stoppable := await town.stoppable()):
            person = lived.stop_payment(stoppable[0], points=left)
        await asyncio.sleep(0.01)
    for pid in (worker, server, person):
        lived.kill(pid)


async def feed(town: Town, left: Sequence[str]) -> None:
    """Orders of every kind, and the odd ones as long as they are needed. No worker is alive."""
    rooms = {point.rpartition(":")[0] for point in left}
    if rooms - ODD:
        await town.add([*Way])
    if "frozen.hold" in rooms:
        await town.add_frozen(1)
    if "deadlines.expire" in rooms:
        await town.add_late(1)
    if "dispatch.park" in rooms:
        await town.add_empty(1)
    if ODD & rooms:
        await town.add_robbed([Way.AT_ONCE, Way.PROOF])


async def rest(town: Town, lived: Lives, *, within_s: float = WITHIN_S) -> None:
    """Wait until all is done; a person stops what only a person can stop."""
    ends = before(within_s)
    person = 0
    await town.ring()
    while not await town.resting():
        assert before(0) < ends, f"{await town.unlike()}\n{lived.log.read_text()[-2000:]}"
        if not lived.lives(person) and (stoppable := await town.stoppable()):
            person = lived.stop_payment(stoppable[0])
        await asyncio.sleep(0.02)
