"""The watcher on a real database and a chain in memory, which can do at will what a real one does seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import psycopg
import pytest

from gateway.chain.models import ChainBlock
from gateway.chain.scan import TAIL_MOST
from gateway.chain.terms import Depth
from gateway.chain.watcher import Did, Progress, Watcher
from gateway.chain.wire import NodeFault
from gateway.db.session import WAKE_CHANNEL
from tests.integration.chain.desk import NOW, Desk, catch_up, catch_up_at_last
from tests.unit.chain.fake_chain import SENDER, START_TIME, USDC, FakeChain, address, terms, transfer, word

OURS, OTHER_OURS, STRANGER = address("ours"), address("other ours"), address("stranger")


@pytest.fixture
async def known(desk: Desk) -> Desk:
    await desk.know([USDC], [OURS, OTHER_OURS])
    return desk


async def test_starts_at_the_final_block_and_sees_nothing_older(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    chain.mine(transfer(to=OURS), blocks=10)
    steps = await catch_up(known.watcher(chain, terms()))
    assert steps[0].did is Did.STARTED
    cursor = await known.cursor()
    assert (cursor.number, cursor.finalized_number, cursor.halted) == (19, 15, None)
    assert await known.deposits() == []
    await known.check()


@pytest.mark.parametrize(("start_block", "seen"), [(0, 1), (10, 1), (11, 0), (500, 0)])
async def test_starts_with_the_configured_block(known: Desk, start_block: int, seen: int) -> None:
    chain = FakeChain(blocks=10)
    assert chain.mine(transfer(to=OURS), blocks=10) == 10
    await catch_up(known.watcher(chain, terms(start_block=start_block)))
    assert len(await known.deposits()) == seen
    await known.check()


async def test_a_deposit_is_seen_then_final(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    number = chain.mine(transfer(to=OURS, units=7_000_001, tx=word("tx")))
    (scanned, *_) = await catch_up(watcher)
    assert (scanned.did, scanned.deposits) == (Did.SCANNED, 1)
    seen = await known.deposit()
    assert (seen.tx_hash, seen.log_index, seen.block_number) == (word("tx"), 0, number)
    assert seen.block_hash == chain.of(number)["hash"]
    assert seen.block_time == datetime.fromtimestamp(START_TIME + number, UTC)
    assert (seen.asset, seen.sender, seen.address, seen.units) == (USDC.code, SENDER, OURS, 7_000_001)
    assert (seen.status, seen.booked, seen.seen_at, seen.updated_at) == ("seen", None, NOW, NOW)

    chain.mine(blocks=3)
    await catch_up(watcher)
    assert (await known.deposit()).status == "seen"
    chain.mine()
    known.now += timedelta(minutes=1)
    await catch_up(watcher)
    final = await known.deposit()
    assert (final.status, final.seen_at, final.updated_at) == ("final", NOW, NOW + timedelta(minutes=1))
    await known.check()


async def test_a_deposit_is_final_when_the_tag_moves_without_a_new_block(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.final = 5
    chain.mine(transfer(to=OURS))
    await catch_up(watcher)
    chain.final = chain.head
    assert [step.did for step in await catch_up(watcher)] == [Did.FINALIZED]
    assert (await known.deposit()).status == "final"
    await known.check()


async def test_a_depth_makes_deposits_final(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms(finality=Depth(2)))
    await catch_up(watcher)
    chain.mine(transfer(to=OURS))
    chain.mine()
    await catch_up(watcher)
    assert (await known.deposit()).status == "seen"
    chain.mine()
    await catch_up(watcher)
    assert (await known.deposit()).status == "final"
    await known.check()


async def test_deposits_in_blocks_that_were_final_before_we_came_are_final_at_once(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    first = chain.mine(transfer(to=OURS), transfer(to=STRANGER), blocks=100)
    second = chain.mine(transfer(to=OTHER_OURS), blocks=100)
    await catch_up(watcher)
    places = {(row.block_number, row.block_hash, row.status) for row in await known.deposits()}
    assert places == {(number, chain.of(number)["hash"], "final") for number in (first, second)}
    assert {row.block_time for row in await known.deposits()} == {
        datetime.fromtimestamp(START_TIME + number, UTC) for number in (first, second)
    }
    await known.check()


async def test_one_transaction_with_many_logs_is_many_deposits(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    tx = word("batch")
    chain.mine(*(transfer(to=to, tx=tx) for to in (OURS, STRANGER, OURS, OTHER_OURS)))
    await catch_up(watcher)
    assert [(row.log_index, row.address) for row in await known.deposits()] == [(0, OURS), (2, OURS), (3, OTHER_OURS)]


async def test_zero_and_strangers_leave_no_row(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, units=0), transfer(to=STRANGER), transfer(to=OURS, token=address("fake token")))
    await catch_up(watcher)
    assert await known.deposits() == []


async def test_the_largest_amount_is_exact(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, units=2**256 - 1), transfer(to=OURS, units=1))
    await catch_up(watcher)
    assert [row.units for row in await known.deposits()] in ([2**256 - 1, 1], [1, 2**256 - 1])


async def test_an_order_of_a_moment_ago_gets_its_deposit(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    late = address("late")
    chain.mine(transfer(to=late))
    await known.know([], [late])
    await catch_up(watcher)
    assert (await known.deposit()).address == late


async def test_empty_new_blocks_cost_three_questions(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine()
    chain.calls.clear()
    await watcher.step()
    assert sorted(chain.calls) == ["eth_getBlockByNumber", "eth_getBlockByNumber", "eth_getLogs"]
    chain.calls.clear()
    assert (await watcher.step()).did is Did.IDLE
    assert chain.calls == ["eth_getBlockByNumber", "eth_getBlockByNumber"]


async def test_the_orders_are_woken_when_a_deposit_changed_and_not_else(known: Desk, database_url: str) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {WAKE_CHANNEL}")

        def heard() -> list[str]:
            """What was told before our own word: notifications come in the order of their commits."""
            listener.execute("SELECT pg_notify(%s, 'over')", [WAKE_CHANNEL])
            told: list[str] = []
            while "over" not in told:
                notices = listener.notifies(timeout=10, stop_after=1)
                told.append(next(notice.payload for notice in notices))
            return told[:-1]

        chain.mine()
        await catch_up(watcher)
        assert heard() == []
        chain.mine(transfer(to=OURS))
        await catch_up(watcher)
        assert set(heard()) == {"deposits"}
        chain.reorg(1)
        chain.mine(blocks=2)
        await catch_up(watcher)
        assert set(heard()) == {"deposits"}


# Reorganisations


async def test_a_deposit_whose_block_vanishes_is_orphaned(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OTHER_OURS, tx=word("stays")))
    chain.mine(transfer(to=OURS, tx=word("goes")))
    await catch_up(watcher)
    chain.reorg(1)
    chain.mine(blocks=2)
    steps = await catch_up(watcher)
    assert (steps[0].did, steps[0].deposits) == (Did.REWOUND, 1)
    assert {row.tx_hash: row.status for row in await known.deposits()} == {word("stays"): "seen", word("goes"): "orphaned"}
    await known.check()
    chain.mine(blocks=10)
    await catch_up(watcher)
    assert {row.tx_hash: row.status for row in await known.deposits()} == {word("stays"): "final", word("goes"): "orphaned"}


async def test_the_same_transaction_mined_again_is_the_same_deposit_at_its_new_place(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, tx=word("tx")))
    await catch_up(watcher)
    chain.reorg(1)
    chain.mine()
    await catch_up(watcher)
    known.now += timedelta(minutes=1)
    number = chain.mine(transfer(to=OURS, tx=word("tx")))
    await catch_up(watcher)
    row = await known.deposit()
    assert (row.block_number, row.block_hash, row.status) == (number, chain.of(number)["hash"], "seen")
    assert row.block_time == datetime.fromtimestamp(START_TIME + number, UTC)
    assert (row.seen_at, row.updated_at) == (NOW, NOW + timedelta(minutes=1))
    await known.check()


async def test_a_transaction_mined_again_with_another_index_is_credited_once(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, tx=word("tx")))
    await catch_up(watcher)
    chain.reorg(1)
    chain.mine(transfer(to=STRANGER), transfer(to=OURS, tx=word("tx")), blocks=6)
    await catch_up(watcher)
    assert [(row.log_index, row.status) for row in await known.deposits()] == [(0, "orphaned"), (1, "final")]


async def test_a_log_that_became_another_order_s_waits_until_the_first_one_was_told(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, tx=word("tx")))
    await catch_up(watcher)
    await known.run("UPDATE deposits SET booked = status")
    chain.reorg(1)
    chain.mine(transfer(to=OTHER_OURS, tx=word("tx")), blocks=2)
    with pytest.raises(NodeFault, match="learn"):
        await catch_up(watcher)
    assert ((await known.deposit()).address, (await known.deposit()).status) == (OURS, "orphaned")
    await known.run("UPDATE deposits SET booked = status")
    await catch_up(watcher)
    assert ((await known.deposit()).address, (await known.deposit()).status) == (OTHER_OURS, "seen")


async def test_a_log_that_stays_the_same_order_s_waits_for_nobody(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, tx=word("tx")))
    await catch_up(watcher)
    await known.run("UPDATE deposits SET booked = status")
    chain.reorg(1)
    number = chain.mine(transfer(to=OURS, tx=word("tx")))
    await catch_up(watcher)
    row = await known.deposit()
    assert (row.block_hash, row.status, row.booked) == (chain.of(number)["hash"], "seen", "seen")


async def test_what_was_orphaned_before_is_not_touched_again(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS))
    await catch_up(watcher)
    for depth, changed in ((1, 1), (1, 0)):
        chain.reorg(depth)
        chain.mine()
        assert (await catch_up(watcher))[0].deposits == changed
        known.now += timedelta(minutes=1)
    assert (await known.deposit()).updated_at == NOW


async def test_a_log_that_is_there_already_in_another_block_is_refused(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, tx=word("tx")), blocks=6)
    await catch_up(watcher)
    before = await known.everything()
    chain.mine(transfer(to=OURS, tx=word("tx")))
    with pytest.raises(NodeFault, match="there already"):
        await catch_up(watcher)
    assert await known.everything() == before


@pytest.mark.parametrize("blocks", [50, 200])
async def test_a_reorganisation_while_we_were_away_is_found(known: Desk, blocks: int) -> None:
    chain = FakeChain(blocks=10)
    await catch_up(known.watcher(chain, terms()))
    chain.mine(transfer(to=OURS))
    await catch_up(known.watcher(chain, terms()))
    chain.reorg(1)
    chain.mine(blocks=blocks)
    steps = await catch_up(known.watcher(chain, terms()))
    assert steps[0].did is Did.REWOUND
    assert (await known.deposit()).status == "orphaned"
    await known.check()


async def test_a_reorganisation_among_empty_blocks_is_found(known: Desk) -> None:
    chain = FakeChain(blocks=10, final_after=100)
    watcher = known.watcher(chain, terms())
    chain.mine(blocks=50)
    await catch_up(watcher)
    chain.reorg(40)
    chain.mine(transfer(to=OURS), blocks=45)
    steps = await catch_up(watcher)
    assert steps[0].did is Did.REWOUND
    assert (await known.deposit()).block_number == 20
    await known.check()


async def test_a_shorter_chain_is_a_reorganisation_if_its_blocks_differ(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.final = 5
    chain.mine(transfer(to=OURS), blocks=3)
    await catch_up(watcher)
    chain.reorg(3)
    chain.mine(blocks=2)
    assert (await catch_up(watcher))[0].did is Did.REWOUND
    assert (await known.deposit()).status == "orphaned"
    await known.check()


@pytest.mark.parametrize("behind", [1, 3, 8])
async def test_a_node_that_is_behind_is_waited_for(known: Desk, behind: int) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS), blocks=2)
    await catch_up(watcher)
    before = await known.everything()
    blocks = chain.blocks
    chain.blocks = blocks[:-behind]
    assert (await watcher.step()).did is Did.LAGGING
    assert await known.everything() == before
    chain.blocks = blocks
    assert (await watcher.step()).did is Did.IDLE


async def test_final_never_moves_back(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    before = await known.everything()
    chain.final = 3
    assert (await watcher.step()).did is Did.IDLE
    assert await known.everything() == before
    chain.mine()
    await catch_up(watcher)
    assert (await known.cursor()).finalized_number == 15


@pytest.mark.parametrize("away", [False, True])
async def test_a_change_below_what_was_final_halts_until_a_person_clears_it(known: Desk, *, away: bool) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS), blocks=6)
    await catch_up(watcher)
    deposits = await known.deposits()
    chain.reorg(7)
    chain.mine(transfer(to=OTHER_OURS), blocks=200 if away else 7)
    step = (await catch_up(watcher))[-1]
    assert step.did is Did.HALTED
    cursor = await known.cursor()
    assert cursor.halted == step.why
    assert f"Block {cursor.finalized_number} was final" in cursor.halted
    assert (cursor.number, await known.deposits()) == (25, deposits)
    chain.calls.clear()
    assert (await known.watcher(chain, terms()).step()).did is Did.HALTED
    assert chain.calls == []
    assert await known.cursor() == cursor


async def test_a_node_of_another_chain_does_not_halt_ours(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    before = await known.everything()
    chain.blocks = FakeChain(blocks=30).blocks
    chain.chain_id = 5
    for _ in range(3):
        with pytest.raises(NodeFault, match="id 5"):
            await watcher.step()
    assert await known.everything() == before


async def test_a_first_start_asks_which_chain_it_is(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    chain.chain_id = 5
    with pytest.raises(NodeFault, match="id 5"):
        await known.watcher(chain, terms()).step()
    assert await known.everything() == [[], [], []]


async def test_after_a_fault_we_ask_again_which_chain_it_is(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.lies["eth_getBlockByNumber"] = lambda _: None
    with pytest.raises(NodeFault):
        await watcher.step()
    chain.lies.clear()
    chain.chain_id = 5
    chain.mine()
    with pytest.raises(NodeFault, match="id 5"):
        await watcher.step()


async def test_a_node_that_contradicts_itself_does_not_halt_ours(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    before = await known.everything()
    truth, fork = chain.blocks, FakeChain(blocks=30).blocks
    chain.calls.clear()

    def flip(_method: str) -> None:
        # Both ends, the stretch's nine and three steps of the search come from the fork; the last look is at our chain.
        chain.blocks = fork if chain.calls.count("eth_getBlockByNumber") <= 14 else truth

    chain.before = flip
    with pytest.raises(NodeFault, match="in turn"):
        await watcher.step()
    assert await known.everything() == before


async def test_a_new_block_with_a_wrong_parent_moves_nothing(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    before = await known.everything()
    chain.mine()
    chain.lies["eth_getBlockByNumber"] = lambda block: (
        block | {"parentHash": word("elsewhere")} if block["number"] == hex(chain.head) else block
    )
    with pytest.raises(NodeFault, match="changed"):
        await watcher.step()
    assert await known.everything() == before


async def test_a_chain_that_changes_while_we_read_it_is_read_again(known: Desk) -> None:
    chain = FakeChain(blocks=20)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    random = Random(3)

    def shake(_method: str) -> None:
        if random.random() < 0.2 and chain.head > 20:
            chain.reorg(random.randint(1, 3))
            chain.mine(blocks=random.randint(1, 5))

    chain.final = 15
    chain.mine(transfer(to=STRANGER), blocks=10)
    chain.before = shake
    await catch_up_at_last(watcher)
    chain.before = lambda _method: None
    chain.mine(transfer(to=OURS))
    await catch_up_at_last(watcher)
    assert (await known.cursor()).hash == chain.of(chain.head)["hash"]
    assert (await known.deposit()).status == "seen"
    await known.check()


@pytest.mark.parametrize("seed", range(5))
async def test_credits_depend_on_the_last_chain_only(known: Desk, seed: int) -> None:
    """Any path of blocks, forks, restarts and faults ends with the deposits of the chain that is left."""
    random = Random(seed)
    chain = FakeChain(blocks=10, final_after=12)
    pool: list[dict[str, Any]] = []

    def faults(_method: str) -> None:
        if random.random() < 0.03:
            raise NodeFault("now and then")

    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.before = faults
    floor = 0
    for _ in range(60):
        floor = max(floor, chain.head - chain.final_after)
        if random.random() < 0.3:
            kept = random.randint(max(floor, chain.head - 8), chain.head) + 1
            pool += [log for block in chain.blocks[kept:] for log in block["logs"]]
            del chain.blocks[kept:]
        again, pool = pool[: random.randint(0, 2)], pool[random.randint(0, 2) :]
        new = [transfer(to=random.choice([OURS, OTHER_OURS, STRANGER])) for _ in range(random.randint(0, 2))]
        mined = {log["transactionHash"] for block in chain.blocks for log in block["logs"]}
        chain.mine(*(log for log in [*again, *new] if log["transactionHash"] not in mined), blocks=random.randint(1, 4))
        if random.random() < 0.1:
            watcher = known.watcher(chain, terms())
        if random.random() < 0.7:
            await catch_up_at_last(watcher)
            await known.check()
    chain.before = lambda _method: None
    await catch_up(watcher)
    logs = [log for block in chain.blocks for log in block["logs"]]
    expected = {
        (log["transactionHash"], int(log["logIndex"], 16), log["blockHash"])
        for log in logs
        if log["topics"][2][-40:] in {OURS[2:], OTHER_OURS[2:]}
    }
    rows = await known.deposits()
    assert expected
    assert {(row.tx_hash, row.log_index, row.block_hash) for row in rows if row.status != "orphaned"} == expected
    assert any(row.status == "orphaned" for row in rows)


# Ranges, two watchers, lies


async def test_a_long_tail_is_crossed_in_bounded_steps(known: Desk) -> None:
    chain = FakeChain(blocks=10, final_after=500)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS), blocks=3 * TAIL_MOST)
    numbers = [step.cursor.number for step in await catch_up(watcher) if step.cursor]
    assert all(later - earlier <= TAIL_MOST for earlier, later in pairwise(numbers))
    assert numbers[-1] == chain.head
    await known.check()


async def test_ranges_that_a_node_refuses_are_halved_without_hole_or_double(known: Desk) -> None:
    chain = FakeChain(blocks=10, final_after=100)
    await catch_up(known.watcher(chain, terms()))
    for _ in range(100):
        chain.mine(transfer(to=OURS), transfer(to=STRANGER), blocks=3)
    chain.range_most = 7
    steps = await catch_up(known.watcher(chain, terms()))
    assert Did.NARROWED in {step.did for step in steps}
    assert len(await known.deposits()) == 100
    await known.check()


async def test_two_watchers_at_once_write_each_deposit_once(known: Desk) -> None:
    chain = FakeChain(blocks=10, final_after=30)
    for _ in range(40):
        chain.mine(transfer(to=OURS), transfer(to=OTHER_OURS), blocks=5)
    watchers = [known.watcher(chain, terms(start_block=5)) for _ in range(4)]
    runs = await asyncio.gather(*map(catch_up, watchers))
    assert Did.OVERTAKEN in {step.did for steps in runs for step in steps}
    assert sum(step.did is Did.STARTED for steps in runs for step in steps) == 1
    assert len(await known.deposits()) == 80
    await known.check()


class Held(FakeChain):
    """A chain whose node can be made to wait before it gives an answer of one kind."""

    held: str | None = None

    def hold(self, method: str) -> None:
        self.held, self.reached, self.go_on = method, asyncio.Event(), asyncio.Event()

    async def ask(self, method: str, params: Any) -> object:
        answer = await super().ask(method, params)
        if method == self.held:
            self.held = None
            self.reached.set()
            await self.go_on.wait()
        return answer


async def overtaken(slow: Watcher, chain: Held, meanwhile: Callable[[], Awaitable[object]], *, at: str) -> Progress:
    """A step that stands still at an answer while something else is done."""
    chain.hold(at)
    pending = asyncio.create_task(slow.step())
    await chain.reached.wait()
    await meanwhile()
    chain.go_on.set()
    return await pending


@pytest.fixture
async def held(known: Desk) -> tuple[Held, Watcher, Watcher]:
    chain = Held(blocks=10)
    slow, quick = known.watcher(chain, terms()), known.watcher(chain, terms())
    await catch_up(slow)
    await catch_up(quick)
    return chain, slow, quick


async def test_a_watcher_that_was_overtaken_writes_nothing(known: Desk, held: tuple[Held, Watcher, Watcher]) -> None:
    chain, slow, quick = held
    chain.mine(transfer(to=OURS))
    before = []

    async def meanwhile() -> None:
        chain.mine(blocks=10)
        await catch_up(quick)
        before.extend(await known.everything())

    assert (await overtaken(slow, chain, meanwhile, at="eth_getLogs")).did is Did.OVERTAKEN
    assert await known.everything() == before
    assert (await known.deposit()).status == "final"


async def test_a_halt_stops_a_step_that_is_under_way(known: Desk, held: tuple[Held, Watcher, Watcher]) -> None:
    chain, slow, _ = held
    chain.mine(transfer(to=OURS))

    async def meanwhile() -> None:
        await known.run("UPDATE chain_cursors SET halted = 'by hand'")

    assert (await overtaken(slow, chain, meanwhile, at="eth_getLogs")).did is Did.OVERTAKEN
    assert (await known.cursor()).number == 9
    assert await known.deposits() == []


async def test_a_watcher_that_rests_notices_a_halt_and_its_end(known: Desk, held: tuple[Held, Watcher, Watcher]) -> None:
    _, watcher, _ = held
    await known.run("UPDATE chain_cursors SET halted = 'by hand'")
    assert [step.did for step in await catch_up(watcher)] == [Did.OVERTAKEN, Did.HALTED]
    await known.run("UPDATE chain_cursors SET halted = NULL")
    assert [step.did for step in await catch_up(watcher)] == [Did.IDLE]


@pytest.mark.parametrize("reorganised", [False, True])
async def test_a_watcher_that_rested_while_another_went_on_follows_it(
    known: Desk, held: tuple[Held, Watcher, Watcher], *, reorganised: bool
) -> None:
    chain, slow, quick = held
    if reorganised:
        chain.reorg(1)
    chain.mine(transfer(to=OURS), blocks=2)
    await catch_up(quick)
    everything = await known.everything()
    assert [step.did for step in await catch_up(slow)] == [Did.OVERTAKEN, Did.IDLE]
    assert await known.everything() == everything
    await known.check()


async def test_a_slow_watcher_does_not_take_back_what_is_final(known: Desk, held: tuple[Held, Watcher, Watcher]) -> None:
    chain, slow, quick = held
    chain.mine(transfer(to=OURS))

    async def meanwhile() -> None:
        newest = chain.blocks.pop()
        chain.final = chain.head
        assert [step.did for step in await catch_up(quick)] == [Did.FINALIZED]
        chain.blocks.append(newest)

    assert (await overtaken(slow, chain, meanwhile, at="eth_getLogs")).did is Did.OVERTAKEN
    assert (await known.cursor()).finalized_number == 9
    await known.check()


async def test_a_block_that_another_has_forgotten_meanwhile_is_no_error(held: tuple[Held, Watcher, Watcher]) -> None:
    chain, slow, quick = held
    chain.final = 7

    async def meanwhile() -> None:
        chain.final = 9
        await catch_up(quick)

    assert (await overtaken(slow, chain, meanwhile, at="eth_getBlockByNumber")).did is Did.OVERTAKEN


async def test_a_halt_that_was_overtaken_does_not_halt(known: Desk, held: tuple[Held, Watcher, Watcher]) -> None:
    chain, slow, _ = held
    chain.blocks = FakeChain(blocks=30).blocks

    async def meanwhile() -> None:
        await known.run("UPDATE chain_cursors SET number = number - 1")

    assert (await overtaken(slow, chain, meanwhile, at="eth_chainId")).did is Did.OVERTAKEN
    assert (await known.cursor()).halted is None


def zeroed(block: Any) -> Any:
    return block | {"hash": "0x" + "0" * 64} if block["number"] == "0x10" else block


LIES: dict[str, tuple[str, Any]] = {
    "no head": ("eth_getBlockByNumber", lambda _: None),
    "a head without hash": ("eth_getBlockByNumber", lambda block: block | {"hash": None}),
    "another number": ("eth_getBlockByNumber", lambda block: block and block | {"number": "0x12"}),
    "a number as number": ("eth_getBlockByNumber", lambda block: block | {"number": int(block["number"], 16)}),
    "logs null": ("eth_getLogs", lambda _: None),
    "logs of another fork": ("eth_getLogs", lambda logs: [log | {"blockHash": word("fork")} for log in logs]),
    "logs of a later block": ("eth_getLogs", lambda logs: [log | {"blockNumber": "0x63"} for log in logs]),
    "logs of an older block": ("eth_getLogs", lambda logs: [log | {"blockNumber": "0x1"} for log in logs]),
    "another token": ("eth_getLogs", lambda logs: [log | {"address": address("fake")} for log in logs]),
    "a removed log": ("eth_getLogs", lambda logs: [log | {"removed": True} for log in logs]),
    "a log twice": ("eth_getLogs", lambda logs: logs * 2),
    "an ERC-721 transfer": ("eth_getLogs", lambda logs: [log | {"topics": [*log["topics"], word(1)]} for log in logs]),
    "no data": ("eth_getLogs", lambda logs: [log | {"data": "0x"} for log in logs]),
}


LIES_ABOUT_THE_TAIL: dict[str, tuple[str, Any]] = {
    "broken links": ("eth_getBlockByNumber", lambda block: block | {"parentHash": word("elsewhere")}),
    "one forged block": ("eth_getBlockByNumber", zeroed),
    "another final block": (
        "eth_getBlockByNumber",
        lambda block: block | {"hash": word("fork")} if block["number"] == "0xd" else block,
    ),
}


@pytest.mark.parametrize(
    ("final_after", "lie"), [*((0, lie) for lie in LIES), *((4, lie) for lie in LIES | LIES_ABOUT_THE_TAIL)]
)
async def test_a_lie_moves_nothing_and_the_truth_goes_on(known: Desk, final_after: int, lie: str) -> None:
    chain = FakeChain(blocks=15, final_after=final_after)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS), blocks=3)
    before = await known.everything()
    method, change = (LIES | LIES_ABOUT_THE_TAIL)[lie]
    chain.lies[method] = change
    for _ in range(3):
        with pytest.raises(NodeFault):
            await watcher.step()
    assert await known.everything() == before
    chain.lies.clear()
    await catch_up(watcher)
    assert (await known.deposit()).status == ("seen" if final_after else "final")
    assert (await known.rows(ChainBlock))[-1].hash == chain.of(chain.head)["hash"]


async def test_the_cursor_goes_on_where_it_stood(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    await catch_up(known.watcher(chain, terms()))
    before = await known.everything()
    chain.calls.clear()
    assert [step.did for step in await catch_up(known.watcher(chain, terms(start_block=2)))] == [Did.IDLE]
    assert await known.everything() == before
    assert "eth_getLogs" not in chain.calls
