from __future__ import annotations

import pytest

from gateway.chain.oracle import ChainReader
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault


class Contracts:
    """Answers eth_call alone."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.asked: list[object] = []

    async def ask(self, method: str, params):
        self.asked.append((method, *params))
        if self.answer is None:
            raise NodeFault("execution reverted")
        return self.answer


def reader(*contracts: Contracts, quorum: int = 1) -> ChainReader:
    nodes = [Node(each, name=f"n{number}") for number, each in enumerate(contracts)]
    return ChainReader(Quorum(nodes=nodes, quorum=quorum))


async def test_a_call_is_made_at_the_block_that_is_named():
    node = Contracts("0x08")
    assert await reader(node).call("0xfeed", "0x313ce567", block=31) == b"\x08"
    assert node.asked == [("eth_call", {"to": "0xfeed", "data": "0x313ce567"}, "0x1f")]


async def test_what_one_node_says_alone_is_not_believed():
    with pytest.raises(ConnectionError, match="2 of 2 providers must agree"):
        await reader(Contracts("0x08"), Contracts("0x09"), quorum=2).call("0xfeed", "0x313ce567", block=1)


async def test_a_call_that_reverts_is_a_fault_with_its_reason():
    with pytest.raises(ConnectionError, match="execution reverted"):
        await reader(Contracts(None)).call("0xfeed", "0x313ce567", block=1)
