"""Scanning final blocks once more adds what is missing, names what differs, and changes nothing that is there."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chain.backfill import Backfill, NoRange, NotFinalYet, Stretch
from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from tests.integration.chain.desk import Desk, catch_up
from tests.unit.chain.fake_chain import USDC, FakeChain, address, quorum_of, terms, transfer, word

OURS, OTHER = address("ours"), address("other ours")


@pytest.fixture
async def chain(desk: Desk) -> FakeChain:
    """Two deposits, scanned and final."""
    await desk.know([USDC], [OURS, OTHER])
    chain = FakeChain(blocks=10)
    chain.mine(transfer(to=OURS, tx=word("one"), units=1), blocks=10)
    chain.mine(transfer(to=OURS, tx=word("two"), units=2), blocks=10)
    await catch_up(desk.watcher(chain, terms(start_block=0)))
    return chain


def backfill(desk: Desk, quorum: Quorum) -> Backfill:
    return Backfill(terms=terms(), quorum=quorum, engine=desk.engine, clock=lambda: desk.now, watched=Watchlist(desk.engine))


async def scan(desk: Desk, chain: FakeChain, first: int, last: int) -> list[Stretch]:
    return [stretch async for stretch in backfill(desk, quorum_of(chain, quorum=1)).scan(first=first, last=last)]


async def test_what_is_there_is_left_alone(desk: Desk, chain: FakeChain) -> None:
    before = await desk.everything()
    (stretch,) = await scan(desk, chain, 0, 25)
    assert (stretch.first, stretch.last, stretch.found, stretch.added, stretch.differences) == (0, 25, 2, 0, ())
    assert await desk.everything() == before


async def test_what_is_missing_is_added_as_final_and_once(desk: Desk, chain: FakeChain) -> None:
    (_, lost) = rows = await desk.deposits()
    await desk.run("DELETE FROM deposits WHERE tx_hash = :lost", lost=lost.tx_hash)
    assert [stretch.added for stretch in await scan(desk, chain, 5, 25)] == [1]
    assert await desk.deposits() == rows
    assert [stretch.added for stretch in await scan(desk, chain, 5, 25)] == [0]


async def test_an_address_that_was_not_known_when_it_was_paid_gets_its_deposit(desk: Desk, chain: FakeChain) -> None:
    late = address("late")
    chain.mine(transfer(to=late, units=3), blocks=10)
    await catch_up(desk.watcher(chain, terms()))
    await desk.know([], [late])
    assert sum(stretch.added for stretch in await scan(desk, chain, 25, 35)) == 1
    (row,) = [row for row in await desk.deposits() if row.address == late]
    assert (row.units, row.status, row.booked) == (3, "final", None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("units = 5", "units is 5 here and 1 in the chain"),
        (f"address = '{OTHER}'", f"address is {OTHER} here and {OURS} in the chain"),
        (f"block_hash = '{word('x')}'", f"block is {word('x')} here"),
        ("status = 'orphaned'", "is in the chain and orphaned here"),
        ("vanished_at = now()", "is in the chain and vanished here"),
        (f"tx_hash = '{word('never')}'", "is final here and isn't in the chain"),
    ],
)
async def test_what_differs_is_named_and_not_changed(desk: Desk, chain: FakeChain, change: str, told: str) -> None:
    await desk.run(f"UPDATE deposits SET {change} WHERE units = 1")
    before = {row.tx_hash: row for row in await desk.deposits()}
    (stretch,) = await scan(desk, chain, 0, 25)
    (difference,) = stretch.differences
    assert told in difference
    after = {row.tx_hash: row for row in await desk.deposits()}
    assert {key: after[key] for key in before} == before


async def test_a_long_range_is_scanned_in_pieces_oldest_first(desk: Desk, chain: FakeChain) -> None:
    chain.range_most = 4
    await desk.run("DELETE FROM deposits")
    stretches = await scan(desk, chain, 3, 25)
    assert stretches[0].first == 3
    assert [a.last + 1 for a in stretches[:-1]] == [b.first for b in stretches[1:]]
    assert stretches[-1].last == 25
    assert len(await desk.deposits()) == 2


async def test_what_the_watcher_adds_meanwhile_is_not_added_twice(
    desk: Desk, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await desk.deposits()

    async def nothing_yet(*_: object) -> dict[tuple[str, int], Any]:
        return {}

    monkeypatch.setattr(Backfill, "_known", nothing_yet)
    await scan(desk, chain, 0, 25)
    assert await desk.deposits() == rows


async def test_stretches_that_do_not_join_are_a_fault(desk: Desk, chain: FakeChain) -> None:
    asked: list[str] = []

    def lie(block: Any) -> Any:
        asked.append(block["number"])
        return block | {"hash": word("another")} if asked.count("0xf") == 2 and block["number"] == "0xf" else block

    chain.lies["eth_getBlockByNumber"] = lie
    reading = backfill(desk, quorum_of(chain, quorum=1))
    reading._quorum.providers[0].reach.width = 16
    with pytest.raises(NodeFault, match="block 15 changed"):
        _ = [stretch async for stretch in reading.scan(first=0, last=25)]


async def test_an_interrupted_scan_can_be_run_again(desk: Desk, chain: FakeChain) -> None:
    chain.range_most = 4
    await desk.run("DELETE FROM deposits")
    running = backfill(desk, quorum_of(chain, quorum=1)).scan(first=0, last=25)
    async for stretch in running:
        if stretch.added:
            break
    await running.aclose()
    assert len(await desk.deposits()) == 1
    await scan(desk, chain, 0, 25)
    assert len(await desk.deposits()) == 2


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (5, 4)])
async def test_a_range_without_blocks_is_refused(desk: Desk, chain: FakeChain, first: int, last: int) -> None:
    with pytest.raises(NoRange):
        await scan(desk, chain, first, last)


async def test_blocks_that_are_not_final_are_the_watcher_s(desk: Desk, chain: FakeChain) -> None:
    with pytest.raises(NotFinalYet, match="give --to 25 at most"):
        await scan(desk, chain, 0, 26)
    await desk.run("DELETE FROM chain_blocks")
    await desk.run("DELETE FROM chain_cursors")
    with pytest.raises(NotFinalYet, match="none has been scanned"):
        await scan(desk, chain, 0, 3)


async def test_one_that_calls_less_final_keeps_nobody_from_scanning(desk: Desk, chain: FakeChain) -> None:
    liar = chain.twin()
    liar.final = 3
    quorum = quorum_of(liar, chain.twin(), chain.twin(), quorum=2)
    assert [stretch.found async for stretch in backfill(desk, quorum).scan(first=0, last=25)] == [2]
    await quorum.close()


async def test_a_liar_adds_nothing(desk: Desk, chain: FakeChain) -> None:
    liar = chain.twin()
    liar.lies["eth_getLogs"] = lambda logs: [log | {"transactionHash": word("forged")} for log in logs]
    with pytest.raises(NoQuorum):
        [stretch async for stretch in backfill(desk, quorum_of(liar, chain, quorum=2)).scan(first=0, last=25)]
    assert len(await desk.deposits()) == 2
    three = quorum_of(liar, chain, chain.twin(), quorum=2)
    (stretch,) = [stretch async for stretch in backfill(desk, three).scan(first=0, last=25)]
    assert (stretch.found, stretch.added) == (2, 0)
    await three.close()
