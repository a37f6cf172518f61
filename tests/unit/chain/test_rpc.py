from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.chain.rpc import CONCURRENT, Node
from gateway.chain.terms import Depth, FinalizedTag
from gateway.chain.wire import NodeFault
from tests.unit.chain.fake_chain import CHAIN_ID, FakeChain


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


@pytest.mark.parametrize("answer", [None, {}, "[]", 0])
async def test_logs_that_are_no_list_are_a_fault(answer: object) -> None:
    chain = FakeChain()
    chain.lies["eth_getLogs"] = lambda _: answer
    with pytest.raises(NodeFault):
        await Node(chain).logs({"blockHash": chain.of(0)["hash"], "address": [], "topics": []})


class Crowded(FakeChain):
    """Counts how many questions are open at once."""

    now = most = 0

    async def ask(self, method: str, params: Sequence[object]) -> object:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return await super().ask(method, params)


async def test_headers_come_in_order_and_a_few_at_a_time() -> None:
    chain = Crowded(blocks=100)
    headers = await Node(chain).headers(range(90, 10, -1))
    assert [header.number for header in headers] == list(range(90, 10, -1))
    assert chain.most == CONCURRENT


async def test_the_first_fault_among_many_questions_is_raised_as_itself() -> None:
    with pytest.raises(NodeFault, match="doesn't have block"):
        await Node(FakeChain(blocks=3)).headers(range(50))
