from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.logs import TRANSFER
from gateway.chain.rpc import BATCH_MOST, CONCURRENT, Node
from gateway.chain.terms import Depth, FinalizedTag
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault, TooMuchAsked
from tests.unit.chain.fake_chain import CHAIN_ID, SENDER, TOKEN, FakeChain, address, topic, transfer


async def test_asks_for_the_newest_and_the_final_block() -> None:
    chain = FakeChain(blocks=11, final_after=3)
    head, final = await Node(chain).ends(FinalizedTag())
    assert (head.number, final.number) == (10, 7)
    assert final.header is not None
    assert final.header.hash == chain.of(7)["hash"]


async def test_a_depth_counts_from_the_newest_block_and_ends_at_the_first() -> None:
    node = Node(FakeChain(blocks=11))
    assert (await node.ends(Depth(4)))[1].number == 6
    assert (await node.ends(Depth(40)))[1].number == 0
    assert (await node.ends(Depth(4)))[1].header is None


async def test_a_block_that_comes_between_the_two_questions_does_no_harm() -> None:
    chain = FakeChain(blocks=11, final_after=0)
    asked = []

    def mine_once(_method: str) -> None:
        asked.append(1)
        if len(asked) == 2:
            chain.mine()

    chain.before = mine_once
    head, final = await Node(chain).ends(FinalizedTag())
    assert (head.number, final.number) == (11, 11)


async def test_a_final_block_above_the_newest_is_a_fault() -> None:
    chain = FakeChain(blocks=11)
    final = dict(chain.of(10)) | {"number": "0x63"}
    chain.lies["eth_getBlockByNumber"] = lambda block: final if block["number"] == "0x5" else block
    chain.final = 5
    with pytest.raises(NodeFault, match="newest"):
        await Node(chain).ends(FinalizedTag())


@pytest.mark.parametrize("answer", [None, "0x1", 31337, "31337", {}])
async def test_a_wrong_chain_id_is_a_fault(answer: object) -> None:
    chain = FakeChain()
    await Node(chain).check_chain_id(CHAIN_ID)
    chain.lies["eth_chainId"] = lambda _: answer
    with pytest.raises(NodeFault):
        await Node(chain).check_chain_id(CHAIN_ID)


async def test_a_block_that_the_node_lacks_is_a_fault() -> None:
    with pytest.raises(NodeFault, match="doesn't have block 99"):
        await Node(FakeChain()).header(99)


async def test_a_node_without_the_finalized_tag_is_a_fault() -> None:
    chain = FakeChain()
    chain.final = 99
    with pytest.raises(NodeFault, match="finalized"):
        await Node(chain).ends(FinalizedTag())


async def test_another_block_than_the_one_asked_for_is_a_fault() -> None:
    chain = FakeChain(blocks=9)
    chain.lies["eth_getBlockByNumber"] = lambda _: chain.of(4)
    with pytest.raises(NodeFault, match="block 5"):
        await Node(chain).header(5)


def watched(*holders: str) -> Watchlist:
    """Needs no database: it isn't refreshed."""
    found = Watchlist(cast("AsyncEngine", None))
    found._add(holders)
    return found


@pytest.mark.parametrize("answer", [None, {}, "[]", 0, [1], [{}], [[]]])
async def test_logs_that_are_no_list_of_logs_are_a_fault(answer: object) -> None:
    chain = FakeChain()
    chain.lies["eth_getLogs"] = lambda _: answer
    with pytest.raises(NodeFault):
        await Node(chain).transfers({"blockHash": chain.of(0)["hash"]}, tokens={TOKEN}, watched=watched())


async def test_transfers_to_watched_addresses_are_found_in_a_range_and_in_a_block() -> None:
    ours, chain = address("ours"), FakeChain(blocks=5)
    number = chain.mine(transfer(to=ours), transfer(to=address("stranger")), blocks=3)
    for where in ({"fromBlock": "0x0", "toBlock": "0x7"}, {"blockHash": chain.of(number)["hash"]}):
        found = await Node(chain).transfers(where, tokens={TOKEN}, watched=watched(ours))
        assert [one.recipient for one in found.transfers] == [ours]
        assert found.hashes == {number: chain.of(number)["hash"]}
        assert found.logs == 2


async def test_topics_are_asked_for_and_nothing_else_is_taken() -> None:
    ours, chain = address("ours"), FakeChain()
    chain.mine(transfer(to=ours))
    asked: list[Any] = []
    ask = chain.ask

    async def noting(method: str, params: Sequence[object]) -> object:
        asked.append(params[0])
        return await ask(method, params)

    chain.ask = noting  # type: ignore[method-assign]
    where = {"fromBlock": "0x0", "toBlock": "0x1"}
    found = await Node(chain).transfers(where, tokens={TOKEN}, watched=watched(ours), topics=[topic(ours)])
    assert len(found.transfers) == 1
    chain.lies["eth_getLogs"] = lambda logs: [log | {"topics": [TRANSFER, topic(ours), topic(SENDER)]} for log in logs]
    assert asked == [{"address": [TOKEN], "topics": [TRANSFER, None, [topic(ours)]], **where}]
    with pytest.raises(NodeFault, match="asked for transfers to"):
        await Node(chain).transfers(where, tokens={TOKEN}, watched=watched(ours), topics=[topic(ours)])


class Counting(FakeChain):
    """Counts how many questions are open at once, and takes batches up to a length."""

    now = most = 0
    batch_most: int | None = None
    batches: list[int]

    async def fetch(self, method: str, params: Sequence[object], read: Any) -> tuple[Any, int]:
        async with self._counted():
            return await super().fetch(method, params, read)

    async def fetch_all(self, method: str, each: Sequence[Sequence[object]], read: Any) -> list[Any]:
        self.batches.append(len(each))
        async with self._counted():
            if self.batch_most is not None and len(each) > self.batch_most:
                raise TooMuchAsked("batches are not for you")
            return await super().fetch_all(method, each, read)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            yield
        finally:
            self.now -= 1


def counting(**options: Any) -> Counting:
    chain = Counting(blocks=1_000)
    chain.batches = []
    vars(chain).update(options)
    return chain


async def test_headers_come_in_order_in_batches_and_a_few_at_a_time() -> None:
    chain = counting()
    headers = await Node(chain).headers(range(990, 10, -1))
    assert [header.number for header in headers] == list(range(990, 10, -1))
    assert max(chain.batches) == BATCH_MOST
    assert chain.most == CONCURRENT


@pytest.mark.parametrize("takes", [0, 2, 10, 40])
async def test_shorter_batches_are_asked_for_where_long_ones_are_refused_and_this_is_remembered(takes: int) -> None:
    chain = counting(batch_most=takes)
    node = Node(chain)
    assert len(await node.headers(range(200))) == 200
    refused = sum(1 for length in chain.batches if length > takes)
    assert refused <= 4 * CONCURRENT
    chain.batches.clear()
    assert len(await node.headers(range(200))) == 200
    assert all(length <= max(takes, 1) for length in chain.batches)
    assert chain.most <= CONCURRENT


@pytest.mark.parametrize("takes", [0, 2, 40])
async def test_logs_of_blocks_come_in_order_in_batches_as_long_as_the_node_takes(takes: int) -> None:
    chain = counting(batch_most=takes)
    ours = address("ours")
    for number in range(1, 100):
        chain.blocks[number]["logs"] = []
    for _ in range(60):
        chain.mine(transfer(to=ours), transfer(to=address("stranger")))
    hashes = [chain.of(number)["hash"] for number in range(1_000, 1_060)]
    node = Node(chain)
    found = await node.transfers_of_blocks(hashes, tokens={TOKEN}, watched=watched(ours))
    assert [[log.block_hash for log in one.transfers] for one in found] == [[one] for one in hashes]
    assert [one.logs for one in found] == [2] * 60
    assert all(one.size > 0 for one in found)
    chain.batches.clear()
    await node.headers(range(60))
    assert max(chain.batches) == BATCH_MOST


async def test_one_error_for_a_batch_of_logs_is_the_node_s_error() -> None:
    chain = FakeChain(blocks=9)

    async def refuse(_method: str, _each: object, read: Any) -> list[Any]:
        [answer] = read(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}')
        raise TooMuchAsked(answer.error["message"])

    chain.fetch_all = refuse  # type: ignore[method-assign]
    hashes = [chain.of(number)["hash"] for number in (4, 5)]
    assert len(await Node(chain).transfers_of_blocks(hashes, tokens={TOKEN}, watched=watched())) == 2


@pytest.mark.parametrize("lie", ["[", "[1]", '[{"id":1,"result":[{}]},{"id":2,"result":[]}]', "[" * 5_000])
async def test_a_batch_of_logs_that_is_none_is_a_fault(lie: str) -> None:
    chain = FakeChain(blocks=9)

    async def answer(_method: str, _each: object, read: Any) -> list[Any]:
        return [one.result for one in read(lie.encode())]

    chain.fetch_all = answer  # type: ignore[method-assign]
    hashes = [chain.of(number)["hash"] for number in (4, 5)]
    with pytest.raises((NodeFault, ValueError)):
        await Node(chain).transfers_of_blocks(hashes, tokens={TOKEN}, watched=watched())


async def test_one_header_needs_no_batch() -> None:
    chain = counting()
    assert (await Node(chain).headers([7]))[0].hash == chain.of(7)["hash"]
    assert chain.batches == []


async def test_another_block_than_the_one_asked_for_is_a_fault_in_a_batch_too() -> None:
    chain = FakeChain(blocks=9)
    chain.lies["eth_getBlockByNumber"] = lambda _: chain.of(4)
    with pytest.raises(NodeFault, match="asked for block"):
        await Node(chain).headers([4, 5])


async def test_the_first_fault_among_many_questions_is_raised_as_itself() -> None:
    with pytest.raises(NodeFault, match="doesn't have block"):
        await Node(FakeChain(blocks=3)).headers(range(50))
