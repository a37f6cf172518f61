"""A second scan of final blocks under lies: what is missing comes back, and nothing that never was."""

from __future__ import annotations

import pytest

from gateway.chain.backfill import Backfill, Stretch
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from tests.adversary import tables
from tests.adversary.stage import FINAL_AFTER, OTHER_OURS, OURS, STRANGER, Stage, stage
from tests.adversary.tables import Make
from tests.integration.chain.desk import Desk
from tests.unit.chain.fake_chain import TOKEN, FakeChain

OTHER_CHAIN = FakeChain(blocks=80)
LIES: dict[str, Make] = {
    **tables.about_which_logs(ours=OURS, token=TOKEN),
    **tables.about_the_chain(ours=OTHER_OURS, token=TOKEN, first=12, other=OTHER_CHAIN.ask),
    **{name: tables.about_logs()[f"logs: {name}"] for name in ("one unit more", "another recipient", "no data")},
    **{name: tables.about_the_wire()[name] for name in ("another id", "body: HTML", "status 500")},
}


async def told(scene: Stage) -> None:
    """Deposits in final blocks, of which the books have lost two."""
    await scene.catch_up()
    for _ in range(6):
        scene.pay(OURS, STRANGER, OTHER_OURS)
        scene.mine(blocks=3)
    scene.mine(blocks=FINAL_AFTER)
    await scene.catch_up()
    await scene.desk.run("DELETE FROM deposits WHERE log_index = 0 AND block_number IN (10, 18)")


async def scan(scene: Stage) -> list[Stretch]:
    backfill = Backfill(
        terms=scene.terms,
        quorum=scene.watch.quorum,
        engine=scene.desk.engine,
        clock=lambda: scene.desk.now,
        watched=Watchlist(scene.desk.engine),
    )
    return [stretch async for stretch in backfill.scan(first=5, last=20)]


@pytest.mark.parametrize("lie", tables.some(LIES, one_in=4))
async def test_a_liar_of_three_adds_and_hides_nothing(desk: Desk, lie: str) -> None:
    async with stage(desk) as scene:
        await told(scene)
        scene.liar.rules = LIES[lie]()
        stretches = await scan(scene)
        assert sum(stretch.added for stretch in stretches) == 2
        await scene.check()
        await scene.check_end()


@pytest.mark.parametrize("lie", ["all logs omitted", "a deposit invented", "one unit more", "another recipient"])
async def test_of_two_that_must_agree_a_liar_stops_the_scan(desk: Desk, lie: str) -> None:
    async with stage(desk, nodes=2, quorum=2) as scene:
        await told(scene)
        before = await desk.deposits()
        scene.liar.rules = LIES[lie]()
        with pytest.raises(NodeFault, match="agree"):
            await scan(scene)
        assert await desk.deposits() == before
