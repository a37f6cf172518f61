"""Every point of the payouts' loops, each with a real process that is killed there, and then everybody is paid once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.crash.lives import Lives
from tests.crash.points import points_of
from tests.crash.rail import Way
from tests.crash.world import Town, before

pytestmark = pytest.mark.slow

WITHIN_S = 400
"""How long nothing may come: a busy machine may take long for all of it."""
AGAIN_S, AGAIN_MOST_S = 4, 30
"""How often more orders come, at first: ever less often while nobody dies, for a busy machine needs longer for them."""
ODD = frozenset({"dispatch.park", "dispatch.tell", "inbox.park"})
"""Where only orders come whose books were robbed."""


@pytest.mark.timeout(2400)
async def test_every_point_is_survived(town: Town, lived: Lives) -> None:
    todo = points_of("payouts")
    await until_hit(town, lived, todo)
    lived.work()
    lived.serve()
    town.give_back()
    await town.coins_recover()
    await town.rail_comes_back()
    await rest(town, lived)
    assert set(lived.deaths()) == set(todo)
    assert lived.nameless() == []
    await town.check()


async def until_hit(town: Town, lived: Lives, todo: Sequence[str]) -> None:
    """Orders, and processes that die at the first point at which none has died, until there is no such point."""
    worker = server = person = died = 0
    ends, added, pause = before(WITHIN_S), 0.0, AGAIN_S
    while left := sorted(set(todo) - set(lived.deaths())):
        if len(lived.deaths()) > died:
            died, ends, pause = len(lived.deaths()), before(WITHIN_S), AGAIN_S
        assert before(0) < ends, f"nobody came to {left}\n{lived.log.read_text()[-3000:]}"
        if before(0) > added:
            lived.kill(worker)
            await feed(town, left)
            added, pause = before(pause), min(2 * pause, AGAIN_MOST_S)
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
    if "depegged.hold" in rooms:
        await town.add_depegged(1)
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
