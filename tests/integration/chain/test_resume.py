"""A halted chain goes on by a person's word; no booking is taken back in silence, and nothing is credited twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.models import ChainBlock
from gateway.chain.quorum import NoQuorum
from gateway.chain.resume import NotHalted, Resumed, Vanished, resume
from gateway.chain.watcher import Did, Watcher
from gateway.chain.wire import NodeFault
from gateway.operators.actions import ReasonMissing, UnknownOperator
from tests.integration.chain.desk import Desk, catch_up
from tests.unit.chain.fake_chain import USDC, FakeChain, address, quorum_of, terms, transfer, word

OURS, OTHER = address("ours"), address("other ours")
WHY = "Compared with three other providers."


class Replaced(FakeChain):
    """Remembers the blocks that were replaced, and those below."""

    undone: list[dict[str, Any]]


@pytest.fixture
async def known(desk: Desk) -> Desk:
    await desk.know([USDC], [OURS, OTHER])
    await desk.run("DELETE FROM incidents")
    await desk.run(
        "INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now()) ON CONFLICT DO NOTHING"
    )
    return desk


async def go_on(desk: Desk, *nodes: FakeChain, enough: int = 1, by: str = "amina", reason: str = WHY) -> Resumed:
    stopped: list[Vanished] = []

    async def stop(_connection: AsyncConnection, deposits: Sequence[Vanished]) -> None:
        stopped.extend(deposits)

    quorum = quorum_of(*nodes, quorum=enough)
    try:
        done = await resume(
            terms=terms(),
            quorum=quorum,
            engine=desk.engine,
            clock=lambda: desk.now,
            operator=by,
            reason=reason,
            stop=stop,
        )
    finally:
        await quorum.close()
    assert tuple(stopped) == done.vanished
    return done


async def booked(desk: Desk) -> None:
    await desk.run("UPDATE deposits SET booked = status")


async def halted(desk: Desk, chain: Replaced) -> Watcher:
    """Deposits old (stays), lost (final and booked), young (not final); then all from the lost one on is replaced."""
    chain.mine(transfer(to=OURS, tx=word("old")), blocks=5)
    watcher = desk.watcher(chain, terms(start_block=0))
    lost = chain.mine(transfer(to=OURS, tx=word("lost"), units=9), blocks=6)
    chain.mine(transfer(to=OTHER, tx=word("young")))
    await catch_up(watcher)
    await booked(desk)
    chain.undone = list(chain.blocks)
    chain.reorg(chain.head - lost + 1)
    chain.mine(blocks=20)
    assert (await catch_up(watcher))[-1].did is Did.HALTED
    return watcher


async def statuses(desk: Desk) -> dict[str, tuple[str, bool]]:
    names = {word(name): name for name in ("old", "lost", "young", "new")}
    return {names[row.tx_hash]: (row.status, row.vanished_at is not None) for row in await desk.deposits()}


async def test_the_chain_goes_on_from_the_newest_deposit_that_still_stands(known: Desk) -> None:
    chain = Replaced(blocks=10)
    watcher = await halted(known, chain)
    done = await go_on(known, chain)
    assert (done.anchor.number, done.anchor.hash) == (10, chain.of(10)["hash"])
    assert (done.was.number, done.was.hash != done.now.hash) == (17, True)
    assert (done.orphaned, [gone.tx_hash for gone in done.vanished]) == (1, [word("lost")])
    assert await statuses(known) == {"old": ("final", False), "lost": ("final", True), "young": ("orphaned", False)}
    blocks = await known.rows(ChainBlock)
    assert [(block.number, block.hash) for block in blocks] == [(10, chain.of(10)["hash"])]
    await catch_up(watcher)
    cursor = await known.cursor()
    assert (cursor.halted, cursor.hash) == (None, chain.of(chain.head)["hash"])


async def test_what_vanished_opens_an_incident_and_keeps_its_booking(known: Desk) -> None:
    chain = Replaced(blocks=10)
    await halted(known, chain)
    await go_on(known, chain)
    async with known.engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT kind, order_id, detail FROM incidents")).all()
        action = (await connection.exec_driver_sql("SELECT * FROM operator_actions ORDER BY id DESC LIMIT 1")).one()
    ((kind, order_id, detail),) = rows
    assert (kind, order_id, detail["units"]) == ("final_deposit_vanished", f"ord_{OURS}", "9")
    assert (action.operator, action.action, action.subject, action.reason) == ("amina", "chain.resume", "chain:31337", WHY)
    assert action.detail["vanished"] == "1"
    (lost,) = [row for row in await known.deposits() if row.tx_hash == word("lost")]
    assert (lost.status, lost.booked) == ("final", "final")


async def test_found_again_at_another_place_it_is_the_same_deposit_and_booked_no_more(known: Desk) -> None:
    chain = Replaced(blocks=10)
    watcher = await halted(known, chain)
    await go_on(known, chain)
    await catch_up(watcher)
    number = chain.mine(transfer(to=OURS, tx=word("lost"), units=9), transfer(to=OTHER, tx=word("new")))
    await catch_up(watcher)
    (lost,) = [row for row in await known.deposits() if row.tx_hash == word("lost")]
    assert (lost.block_number, lost.status, lost.booked, lost.vanished_at) == (number, "final", "final", None)
    chain.reorg(1)
    chain.mine(blocks=2)
    await catch_up(watcher)
    assert (await statuses(known))["lost"] == ("final", True)
    chain.mine(transfer(to=OURS, tx=word("lost"), units=9), blocks=9)
    await catch_up(watcher)
    assert (await statuses(known))["lost"] == ("final", False)


async def test_a_chain_that_has_come_back_just_goes_on(known: Desk) -> None:
    chain = Replaced(blocks=10)
    watcher = await halted(known, chain)
    before = await known.deposits()
    fork, chain.blocks[:] = list(chain.blocks), chain.undone
    done = await go_on(known, chain)
    assert (done.was, done.vanished, done.orphaned) == (done.now, (), 0)
    assert await known.deposits() == before
    chain.mine(blocks=2)
    await catch_up(watcher)
    assert (await known.cursor()).hash == chain.of(chain.head)["hash"] != fork[-1]["hash"]


async def test_what_was_final_but_not_yet_booked_is_orphaned_like_any_other(known: Desk) -> None:
    chain = Replaced(blocks=10)
    await halted(known, chain)
    await known.run("UPDATE deposits SET booked = 'seen'")
    done = await go_on(known, chain)
    assert (done.orphaned, done.vanished) == (2, ())
    assert (await statuses(known))["lost"] == ("orphaned", False)


async def test_without_deposits_it_goes_back_to_the_start(known: Desk) -> None:
    chain = FakeChain(blocks=30)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.blocks[3:] = FakeChain(blocks=60).blocks[3:]
    chain.blocks[3]["parentHash"] = chain.blocks[2]["hash"]
    assert (await catch_up(watcher))[-1].did is Did.HALTED
    assert (await go_on(known, chain)).anchor.number == 0
    await catch_up(watcher)
    assert (await known.cursor()).hash == chain.of(chain.head)["hash"]


async def test_one_node_s_word_is_not_enough_where_two_are_asked_for(known: Desk) -> None:
    chain = Replaced(blocks=10)
    await halted(known, chain)
    other = chain.fork(12)
    with pytest.raises(NodeFault, match="wait until they do"):
        await go_on(known, chain, other, enough=2)
    other.mine(blocks=30)
    with pytest.raises(NoQuorum):
        await go_on(known, chain, other, enough=2)
    assert (await known.cursor()).halted is not None


async def test_one_node_that_calls_less_final_does_not_keep_it_from_going_on(known: Desk) -> None:
    chain = Replaced(blocks=10)
    await halted(known, chain)
    liar = chain.twin()
    liar.final = 3
    await go_on(known, liar, chain.twin(), chain.twin(), enough=2)
    assert (await known.cursor()).halted is None


async def test_it_takes_a_known_person_a_reason_and_a_halt(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    with pytest.raises(NotHalted):
        await go_on(known, chain)
    await catch_up(watcher)
    with pytest.raises(NotHalted):
        await go_on(known, FakeChain())  # nobody needs to be asked
    await known.run("UPDATE chain_cursors SET halted = 'by hand'")
    before = await known.everything()
    with pytest.raises(UnknownOperator):
        await go_on(known, chain, by="nobody")
    with pytest.raises(ReasonMissing):
        await go_on(known, chain, reason=" ")
    assert await known.everything() == before
    done = await go_on(known, chain)
    assert (done.vanished, done.orphaned, (await known.cursor()).halted) == ((), 0, None)
    await known.check()
