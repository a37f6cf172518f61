"""A watcher with several nodes on a real database: what they disagree about moves nothing, and what it thinks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from gateway.chain import queries
from gateway.chain.health import read_health
from gateway.chain.queries import ChainState, ProviderState
from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.scan import BACKENDS_APART
from gateway.chain.terms import Checkpoint
from gateway.chain.watcher import Did
from gateway.chain.wire import NodeFault, Throttled
from gateway.db.session import transaction
from tests.integration.chain.desk import Desk, catch_up, catch_up_at_last
from tests.unit.chain.fake_chain import USDC, FakeChain, address, quorum_of, terms, transfer, word

OURS, STRANGER = address("ours"), address("stranger")


@pytest.fixture
async def known(desk: Desk) -> Desk:
    await desk.know([USDC], [OURS])
    return desk


async def providers(desk: Desk) -> dict[str, ProviderState]:
    async with transaction(desk.engine) as connection:
        return {state.name: state for state in await queries.provider_states(connection)}


async def state(desk: Desk) -> ChainState:
    async with transaction(desk.engine) as connection:
        (found,) = await queries.chain_states(connection)
    return found


def trio(chain: FakeChain) -> tuple[list[FakeChain], Quorum]:
    nodes = [chain.twin() for _ in range(3)]
    return nodes, quorum_of(*nodes, quorum=2)


LIES: dict[str, Callable[[FakeChain], None]] = {
    "omits": lambda node: node.lies.update(eth_getLogs=lambda _: []),
    "forges": lambda node: node.lies.update(
        eth_getLogs=lambda logs: [
            *logs,
            *(log | {"transactionHash": word("forged"), "logIndex": "0x77"} for log in logs),
        ]
    ),
    "pays more": lambda node: node.lies.update(eth_getLogs=lambda logs: [log | {"data": f"0x{10**9:064x}"} for log in logs]),
    "pays another": lambda node: node.lies.update(
        eth_getLogs=lambda logs: [
            log | {"topics": [*log["topics"][:2], log["topics"][2].replace(OURS[2:], STRANGER[2:])]} for log in logs
        ]
    ),
    "another place": lambda node: node.lies.update(eth_getLogs=lambda logs: [log | {"logIndex": "0x9"} for log in logs]),
    "another transaction": lambda node: node.lies.update(
        eth_getLogs=lambda logs: [log | {"transactionHash": word("other")} for log in logs]
    ),
    "another time": lambda node: node.lies.update(eth_getBlockByNumber=lambda block: block and block | {"timestamp": "0x1"}),
    "another hash": lambda node: node.lies.update(
        eth_getBlockByNumber=lambda block: block and block | {"hash": word(block["number"])}
    ),
    "nonsense": lambda node: node.lies.update(eth_getLogs=lambda _: "0x", eth_getBlockByNumber=lambda _: {}),
    "fails": lambda node: setattr(node, "before", _fail),
    "another chain": lambda node: setattr(node, "chain_id", 5),
    "lags": lambda node: setattr(node, "blocks", node.blocks[:6]),
    "is on a fork": lambda node: setattr(node, "blocks", node.fork(9).mine(blocks=30) and FakeChain(blocks=60).blocks),
}


def _fail(_method: str) -> None:
    raise Throttled("HTTP status 429")


@pytest.mark.parametrize(("final_after", "blocks"), [(0, 8), (4, 8), (4, 2 * BACKENDS_APART)])
@pytest.mark.parametrize("who", [0, 1, 2])
@pytest.mark.parametrize("lie", LIES)
async def test_one_of_three_cannot_change_a_credit(known: Desk, lie: str, who: int, final_after: int, blocks: int) -> None:
    chain = FakeChain(blocks=10, final_after=final_after)
    nodes, quorum = trio(chain)
    watcher = known.watcher_of(quorum, terms(start_block=5))
    chain.mine(transfer(to=OURS, units=7, tx=word("tx")), transfer(to=STRANGER), blocks=blocks)
    LIES[lie](nodes[who])
    await catch_up_at_last(watcher)
    chain.mine(transfer(to=OURS, units=8, tx=word("tx 2")), blocks=blocks)
    await catch_up_at_last(watcher)
    assert {row.tx_hash: (row.units, row.status) for row in await known.deposits()} == {
        word("tx"): (7, "final"),
        word("tx 2"): (8, "final"),
    }
    assert (await known.cursor()).hash == chain.of(chain.head)["hash"]
    await quorum.settle()
    await watcher.step()
    demoted = {name for name, provider in (await providers(known)).items() if not provider.trusted}
    assert demoted <= {"abc"[who]}
    await known.check()
    await quorum.close()


async def test_below_quorum_the_chain_waits_says_why_and_goes_on_by_itself(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    liar = chain.twin()
    quorum = quorum_of(chain.twin(), liar, quorum=2)
    watcher = known.watcher_of(quorum, terms(start_block=5))
    await catch_up(watcher)
    chain.mine(transfer(to=OURS))
    liar.lies["eth_getLogs"] = lambda _: []
    before = await known.everything()
    for _ in range(3):
        with pytest.raises(NoQuorum):
            await watcher.step()
    assert await known.everything() == before
    waiting = (await state(known)).waiting
    assert waiting is not None
    assert waiting.startswith("2 of 2 providers must agree about the blocks above 9 up to 10. a: block 10 is 0x")
    assert "with 1 deposits" in waiting
    assert "with 0 deposits" in waiting
    liar.lies.clear()
    await catch_up(watcher)
    assert (await state(known)).waiting is None
    assert (await known.deposit()).status == "seen"


@pytest.mark.parametrize(
    ("lie", "why"), [("fails", "a: HTTP status 429; b: HTTP status 429"), ("another hash", "agree about where to begin")]
)
async def test_a_chain_that_cannot_begin_says_why(known: Desk, lie: str, why: str) -> None:
    chain = FakeChain(blocks=10)
    nodes = [chain.twin(), chain.twin()] + [chain.twin()] * (lie == "fails")
    quorum = quorum_of(*nodes, quorum=2)
    for node in nodes[: 2 if lie == "fails" else 1]:
        LIES[lie](node)
    with pytest.raises(NoQuorum):
        await known.watcher_of(quorum, terms()).step()
    async with transaction(known.engine) as connection:
        health = await read_health(connection, chains=[terms()], now=known.now)
    assert health.status == "waiting"
    assert why in health.problems[0]
    await quorum.close()


async def test_what_we_think_of_each_provider_is_there_for_other_processes(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    nodes, quorum = trio(chain)
    watcher = known.watcher_of(quorum, terms())
    await catch_up(watcher)
    await quorum.settle()
    known.now += timedelta(seconds=10)
    await watcher.step()
    first = await providers(known)
    told = {name: (one.trusted, one.reason, one.head, one.final) for name, one in first.items()}
    assert told == dict.fromkeys("abc", (True, None, 9, 5))
    nodes[0].before = _fail
    known.now += timedelta(seconds=10)
    await watcher.step()
    broken = (await providers(known))["a"]
    assert (broken.trusted, broken.reason, broken.since, broken.faults) == (False, "HTTP status 429", known.now, 1)
    known.now += timedelta(seconds=10)
    await watcher.step()
    assert (await providers(known))["a"].since == broken.since
    chain_state = await state(known)
    assert (chain_state.cursor, chain_state.final, chain_state.head, chain_state.lag) == (9, 5, 9, 0)
    await quorum.close()


async def test_the_table_of_providers_is_not_written_at_every_step(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    watcher = known.watcher(chain, terms())
    await catch_up(watcher)
    written = (await providers(known))["node"].asked_at
    known.now += timedelta(seconds=4)
    await watcher.step()
    assert (await providers(known))["node"].asked_at == written
    known.now += timedelta(seconds=1)
    await watcher.step()
    assert (await providers(known))["node"].asked_at == known.now


async def test_a_provider_that_is_configured_no_more_is_forgotten(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    _, quorum = trio(chain)
    await catch_up(known.watcher_of(quorum, terms()))
    await quorum.close()
    await catch_up(known.watcher_of(quorum_of(chain, quorum=1), terms()))
    assert set(await providers(known)) == {"a"}


async def test_one_provider_is_enough_for_a_quorum_of_one_and_another_takes_over(known: Desk) -> None:
    chain = FakeChain(blocks=10)
    first, second = chain.twin(), chain.twin()
    quorum = quorum_of(first, second, quorum=1)
    watcher = known.watcher_of(quorum, terms())
    await catch_up(watcher)
    await quorum.settle()
    second.calls.clear()
    chain.mine()
    await catch_up(watcher)
    assert second.calls == []
    first.before = _fail
    chain.mine(transfer(to=OURS))
    await catch_up(watcher)
    assert (await known.deposit()).status == "seen"
    await quorum.close()


async def test_a_halt_needs_a_quorum(known: Desk) -> None:
    chain = FakeChain(blocks=30)
    nodes, quorum = trio(chain)
    watcher = known.watcher_of(quorum, terms())
    await catch_up(watcher)
    nodes[0].blocks = FakeChain(blocks=60).blocks
    chain.mine(blocks=10)
    await catch_up_at_last(watcher)
    assert ((await known.cursor()).halted, (await known.cursor()).number) == (None, 39)
    for node in nodes[1:]:
        node.blocks = nodes[0].blocks
    assert (await catch_up_at_last(watcher))[-1].did is Did.HALTED
    await quorum.close()


async def test_two_forks_of_equal_strength_move_nothing(known: Desk) -> None:
    chain = FakeChain(blocks=30)
    one, other = chain.fork(28), chain.fork(28)
    quorum = quorum_of(one, other, quorum=2)
    watcher = known.watcher_of(quorum, terms())
    await catch_up(watcher)
    for fork in (one, other):
        fork.mine(transfer(to=OURS), blocks=3)
    before = await known.everything()
    with pytest.raises(NoQuorum):
        await watcher.step()
    assert await known.everything() == before
    other.blocks = one.blocks
    await catch_up(watcher)
    assert (await known.deposit()).block_hash == one.of(29)["hash"]


async def test_a_wrong_checkpoint_starts_nothing(known: Desk) -> None:
    chain = FakeChain(blocks=30)
    pinned = terms(checkpoint=Checkpoint(number=3, hash=word("elsewhere")))
    with pytest.raises(NodeFault, match="checkpoint"):
        await known.watcher(chain, pinned).step()
    assert await known.everything() == [[], [], []]


async def test_a_liar_about_what_is_final_is_demoted(known: Desk) -> None:
    chain = FakeChain(blocks=30)
    nodes, quorum = trio(chain)
    watcher = known.watcher_of(quorum, terms())
    await catch_up(watcher)
    chain.mine(blocks=3)
    await catch_up(watcher)

    def lie(block: Any) -> Any:
        return block | {"hash": word("final lie")} if block["number"] == hex(chain.head - 4) else block

    nodes[0].lies["eth_getBlockByNumber"] = lie
    chain.mine()
    await catch_up_at_last(watcher)
    assert (await known.cursor()).finalized_number == chain.head - 4
    assert quorum.providers[0].reason is not None
    await quorum.close()


def _faulty(random: Random) -> Callable[[str], None]:
    def before(_method: str) -> None:
        if random.random() < 0.05:
            raise NodeFault("now and then")

    return before


@pytest.mark.parametrize("seed", range(4))
async def test_credits_are_those_of_the_honest_chain_whatever_two_of_five_say(known: Desk, seed: int) -> None:
    """Random blocks and forks; two nodes lie at random, all fail now and then, and the watcher is started anew."""
    random = Random(seed)
    chain = FakeChain(blocks=10, final_after=12)
    nodes = [chain.twin() for _ in range(5)]
    for node in nodes:
        node.before = _faulty(random)
    for liar in random.sample(nodes, 2):
        liar.lies = {
            "eth_getLogs": lambda logs: random.choice([logs, [], logs[1:], [log | {"data": word(1)} for log in logs]]),
            "eth_getBlockByNumber": lambda block: random.choice([block, block, None, {**(block or {}), "hash": word(2)}]),
        }
    quorum = quorum_of(*nodes, quorum=3)
    watcher = known.watcher_of(quorum, terms(start_block=3))
    await catch_up_at_last(watcher)
    floor = 0
    for _ in range(25):
        floor = max(floor, chain.head - chain.final_after)
        if random.random() < 0.3:
            del chain.blocks[random.randint(max(floor, chain.head - 8), chain.head) + 1 :]
        chain.mine(*(transfer(to=random.choice([OURS, STRANGER])) for _ in range(random.randint(0, 3))), blocks=2)
        if random.random() < 0.1:
            watcher = known.watcher_of(quorum, terms())
        await catch_up_at_last(watcher)
        await known.check()
    rows = {(row.tx_hash, row.block_hash, row.units) for row in await known.deposits() if row.status != "orphaned"}
    assert rows == {
        (log["transactionHash"], log["blockHash"], 5_000_000)
        for node_block in chain.blocks
        for log in node_block["logs"]
        if log["topics"][2].endswith(OURS[2:])
    }
    assert rows
    await quorum.close()


async def test_a_backlog_of_hours_is_caught_up_oldest_first_in_bounded_pieces(known: Desk) -> None:
    """Ten thousand deposits in as many blocks, each answer of the node limited to some hundred logs."""
    chain = FakeChain(blocks=10, final_after=64)
    await catch_up(known.watcher(chain, terms()))
    for _ in range(2_000):
        chain.mine(*(transfer(to=OURS) for _ in range(5)), blocks=2)
    most = 0

    def measure(logs: Sequence[Any]) -> Sequence[Any]:
        nonlocal most
        most = max(most, len(logs))
        return logs

    chain.range_most = 50
    chain.lies["eth_getLogs"] = measure
    steps = await catch_up(known.watcher(chain, terms()))
    places = [step.cursor.number for step in steps if step.did is Did.SCANNED and step.cursor is not None]
    assert places == sorted(places)
    assert len(await known.deposits()) == 10_000
    assert 0 < most <= 5 * 50
    await known.check()
