from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from gateway.chain.plan import Traffic
from gateway.chain.reorg import Place
from gateway.chain.rpc import Node
from gateway.chain.scan import (
    ANSWER_GOOD,
    CALM_LEAST,
    RANGE_FIRST,
    RANGE_MOST,
    Ahead,
    Narrowed,
    Reach,
    Vote,
    Wanted,
    final_vote,
    tail_vote,
)
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import Header, NodeFault, TooMuchAsked, header
from tests.unit.chain.fake_chain import TOKEN, FakeChain, address, topic, transfer

OURS = address("ours")


class Known(Watchlist):
    """A watchlist without a database."""

    def __init__(self, *addresses: str) -> None:
        self._known = {topic(one) for one in addresses}

    def topics(self) -> set[str]:
        return self._known


def wanted(*addresses: str, logs_per_block: int = 0) -> Wanted:
    """Looks for payments to `addresses`; in quiet blocks all of a token is read, in busy ones just ours."""
    traffic = Traffic(blocks=1_000, logs=1_000 * logs_per_block, size=628_000 * logs_per_block)
    return Wanted(tokens=frozenset({TOKEN}), watched=Known(*(addresses or (OURS,))), traffic=traffic)


def final(
    chain: FakeChain, first: int, last: int, reach: Reach | None = None, look: Wanted | None = None
) -> Awaitable[Vote]:
    return final_vote(Node(chain), reach or Reach(), look or wanted(), first=first, last=last)


def tail(chain: FakeChain, at: int, last: int) -> Awaitable[Vote]:
    place = Place(number=at, hash=chain.of(at)["hash"])
    return tail_vote(Node(chain), wanted(), at=place, last=last, head=top(chain))


def top(chain: FakeChain) -> Header:
    return header(chain.of(chain.head))


# Final blocks


async def test_final_blocks_are_crossed_with_one_question_for_logs_and_two_headers() -> None:
    chain = FakeChain(blocks=100)
    vote = await final(chain, 1, 90)
    assert (vote.before, [found.number for found in vote.headers]) == (chain.of(0)["hash"], [90])
    assert chain.calls == ["eth_getLogs", "eth_getBlockByNumber", "eth_getBlockByNumber"]


async def test_a_deposit_in_final_blocks_has_its_block_s_time() -> None:
    chain = FakeChain(blocks=10)
    number = chain.mine(transfer(to=OURS), transfer(to=address("stranger")), blocks=10)
    vote = await final(chain, 1, 15)
    assert [(found.recipient, found.block_hash) for found in vote.transfers] == [(OURS, chain.of(number)["hash"])]
    assert vote.times == {number: header(chain.of(number)).time}


async def test_logs_of_another_fork_than_the_headers_are_a_fault() -> None:
    chain = FakeChain(blocks=10)
    chain.mine(transfer(to=OURS), blocks=10)
    chain.lies["eth_getLogs"] = lambda logs: [log | {"blockHash": "0x" + "f" * 64} for log in logs]
    with pytest.raises(NodeFault, match="which is"):
        await final(chain, 1, 15)


async def test_a_range_that_the_node_does_not_have_is_a_fault_after_the_logs() -> None:
    chain = FakeChain(blocks=10)
    with pytest.raises(NodeFault, match="doesn't have block 15"):
        await final(chain, 1, 15)


async def test_few_addresses_on_a_busy_token_are_asked_for_by_topic() -> None:
    chain = FakeChain(blocks=10)
    chain.mine(transfer(to=OURS), transfer(to=address("stranger")), blocks=10)
    seen = []
    chain.lies["eth_getLogs"] = lambda logs: seen.append(len(logs)) or logs
    busy = await final(chain, 1, 15, look=wanted(logs_per_block=500))
    quiet = await final(chain, 1, 15)
    assert seen == [1, 2]
    assert busy == quiet


async def test_more_addresses_than_a_filter_takes_are_asked_for_in_turn() -> None:
    chain = FakeChain(blocks=10)
    ours = [address(n) for n in range(2_500)]
    chain.mine(*(transfer(to=ours[n]) for n in (2_400, 7, 1_200)), blocks=10)
    vote = await final(chain, 1, 15, look=wanted(*ours, logs_per_block=500_000))
    assert [found.log_index for found in vote.transfers] == [0, 1, 2]
    assert chain.calls.count("eth_getLogs") == 3


# Blocks that can still change


async def test_the_tail_is_all_headers_and_the_newest_is_not_asked_for_again() -> None:
    chain = FakeChain(blocks=20)
    vote = await tail(chain, 17, 19)
    assert [found.number for found in vote.headers] == [18, 19]
    assert chain.calls == ["eth_getBlockByNumber", "eth_getLogs", "eth_getLogs"]


async def test_nothing_above_the_cursor_is_only_a_look_at_the_cursor() -> None:
    chain = FakeChain(blocks=20)
    assert await tail(chain, 19, 19) == Vote(before=chain.of(19)["hash"])
    assert chain.calls == []
    assert await tail(chain, 15, 15) == Vote(before=chain.of(15)["hash"])
    assert chain.calls == ["eth_getBlockByNumber"]


async def test_one_block_is_one_question() -> None:
    chain = FakeChain(blocks=20)
    chain.mine(transfer(to=OURS))
    assert len((await tail(chain, 19, 20)).transfers) == 1
    assert chain.calls == ["eth_getLogs"]


@pytest.mark.parametrize("logs_per_block", [0, 500])
async def test_each_block_of_the_tail_is_asked_for_by_its_hash(logs_per_block: int) -> None:
    chain = FakeChain(blocks=20)
    for _ in range(5):
        chain.mine(transfer(to=OURS), transfer(to=address("stranger")), transfer(to=OURS))
    asked: list[Any] = []
    fetch_all = chain.fetch_all

    async def noting(method: str, each: Sequence[Any], read: Any) -> list[Any]:
        asked.extend(each if method == "eth_getLogs" else ())
        return await fetch_all(method, each, read)

    chain.fetch_all = noting  # type: ignore[method-assign]
    place = Place(number=19, hash=chain.of(19)["hash"])
    vote = await tail_vote(Node(chain), wanted(logs_per_block=logs_per_block), at=place, last=24, head=header(chain.of(24)))
    assert [(found.block_number, found.log_index) for found in vote.transfers] == [
        (number, index) for number in range(20, 25) for index in (0, 2)
    ]
    assert [filtered["blockHash"] for (filtered,) in asked] == [chain.of(number)["hash"] for number in range(20, 25)]
    assert not any("fromBlock" in filtered for (filtered,) in asked)


async def test_a_node_without_a_block_of_the_tail_cannot_leave_its_logs_out() -> None:
    chain = FakeChain(blocks=20)
    chain.mine(transfer(to=OURS), blocks=3)
    behind = chain.fork(20)

    def another_node(method: str) -> None:
        if method == "eth_getLogs":
            chain.blocks = behind.blocks

    chain.before = another_node
    with pytest.raises(NodeFault, match="unknown block"):
        await tail(chain, 19, 22)


async def test_logs_under_another_block_s_number_are_a_fault() -> None:
    chain = FakeChain(blocks=20)
    chain.mine(transfer(to=OURS), blocks=2)
    chain.lies["eth_getLogs"] = lambda logs: [log | {"blockNumber": "0x15"} for log in logs]
    with pytest.raises(NodeFault, match="as block 21, which is"):
        await tail(chain, 19, 21)


async def test_logs_of_a_block_that_nobody_asked_for_are_a_fault() -> None:
    chain = FakeChain(blocks=20)
    chain.mine(transfer(to=OURS))
    chain.lies["eth_getLogs"] = lambda logs: [log | {"blockNumber": "0x7"} for log in logs]
    with pytest.raises(NodeFault, match="one of block 7"):
        await tail(chain, 19, 20)


async def test_a_tail_that_stands_on_another_block_says_so_and_reads_no_logs() -> None:
    chain = FakeChain(blocks=20)
    at = Place(number=15, hash="0x" + "1" * 64)
    vote = await tail_vote(Node(chain), wanted(), at=at, last=19, head=top(chain))
    assert vote == Vote(before=chain.of(15)["hash"])
    assert "eth_getLogs" not in chain.calls


async def test_a_block_that_is_gone_while_its_logs_are_read_is_a_fault() -> None:
    chain = FakeChain(blocks=20)

    def change(method: str) -> None:
        if method == "eth_getLogs":
            chain.reorg(2)
            chain.mine(blocks=2)

    chain.before = change
    with pytest.raises(NodeFault, match="unknown block"):
        await tail(chain, 14, 19)


# How wide


async def test_a_refused_range_is_halved_until_the_node_answers_and_grows_again() -> None:
    chain = FakeChain(blocks=1_000)
    chain.range_most = 100
    reach, widths, first = Reach(), [], 1
    while first <= 900:
        last = min(first + reach.width - 1, 900)
        try:
            await final(chain, first, last, reach)
        except Narrowed:
            continue
        widths.append(last - first + 1)
        first = last + 1
    assert sum(widths) == 900
    assert max(widths) <= 100
    assert max(widths) > min(widths[:-1])
    assert chain.calls.count("eth_getLogs") < 30


async def test_a_node_that_refuses_a_single_block_is_a_fault() -> None:
    chain = FakeChain(blocks=1_000)
    chain.range_most = 0
    reach = Reach()
    for _ in range(20):
        try:
            await final(chain, 1, reach.width, reach)
        except Narrowed:
            continue
        except TooMuchAsked:
            break
    else:
        pytest.fail("never gave up")
    assert reach.width == 1
    assert chain.calls.count("eth_getLogs") <= 12


def test_a_width_that_the_node_names_is_taken_and_not_exceeded_for_long() -> None:
    reach = Reach()
    reach.refused(TooMuchAsked("at most 500", suggested=500), width=2_000)
    widths = []
    for _ in range(CALM_LEAST + 2):
        widths.append(reach.width)
        reach.answered(width=reach.width, size=0)
    assert set(widths[:CALM_LEAST]) == {500}
    assert reach.width > 500


@pytest.mark.parametrize("suggested", [None, 0, 1, 499, 2_000, 5_000])
def test_a_named_width_that_is_no_narrower_or_next_to_nothing_is_halved_instead(suggested: int | None) -> None:
    reach = Reach()
    reach.refused(TooMuchAsked("less", suggested=suggested), width=2_000)
    assert reach.width == 1_000


def test_never_refused_a_range_doubles_up_to_our_limit() -> None:
    reach = Reach()
    for _ in range(10):
        reach.answered(width=reach.width, size=1_000)
    assert reach.width == RANGE_MOST


def test_a_long_answer_narrows_the_range_so_that_memory_is_bounded() -> None:
    reach = Reach()
    reach.answered(width=RANGE_FIRST, size=4 * ANSWER_GOOD)
    assert reach.width == RANGE_FIRST // 4
    reach.answered(width=1, size=4 * ANSWER_GOOD)
    assert reach.width == 1


def test_a_short_range_says_nothing_about_wider_ones() -> None:
    reach = Reach()
    reach.answered(width=3, size=100)
    assert reach.width == RANGE_FIRST


# Reading ahead


def reader(asked: list[tuple[int, int]]) -> Ahead:
    async def read(first: int, last: int) -> Vote:
        asked.append((first, last))
        await asyncio.sleep(0)
        if last > 1_000:
            raise NodeFault("no more")
        return Vote(before=str(first), headers=())

    return Ahead(read)


async def test_the_next_stretch_is_read_while_one_is_used() -> None:
    asked: list[tuple[int, int]] = []
    ahead = reader(asked)
    assert (await ahead.next(first=1, final=250, width=100)).before == "1"
    assert asked == [(1, 100), (101, 200)]
    assert (await ahead.next(first=101, final=250, width=100)).before == "101"
    assert (await ahead.next(first=201, final=250, width=100)).before == "201"
    assert asked == [(1, 100), (101, 200), (201, 250)]


async def test_what_was_read_ahead_is_thrown_away_when_the_cursor_went_elsewhere() -> None:
    asked: list[tuple[int, int]] = []
    ahead = reader(asked)
    await ahead.next(first=1, final=250, width=100)
    assert (await ahead.next(first=51, final=250, width=100)).before == "51"
    assert asked[2] == (51, 150)
    await ahead.drop()


async def test_a_fault_ahead_is_met_when_its_turn_comes() -> None:
    ahead = reader([])
    await ahead.next(first=901, final=2_000, width=100)
    with pytest.raises(NodeFault):
        await ahead.next(first=1_001, final=2_000, width=100)
    await ahead.drop()
