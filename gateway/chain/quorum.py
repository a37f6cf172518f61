"""Several nodes of one chain, believed only where enough of them say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.chain.rpc import Node, connect
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault

T = TypeVar("T")


class NoQuorum(NodeFault):
    """Too few nodes gave the same answer. Nothing has moved; the sentence says who said what."""


class Quorum:
    """The nodes of one chain; each is another operator's."""

    def __init__(self, *, nodes: Sequence[Node], quorum: int) -> None:
        self._nodes = tuple(nodes)
        self._quorum = quorum

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are trusted now."""
        return self._nodes

    async def agreed(self, question: Callable[[Node], Awaitable[T]]) -> T:
        """The answer that enough nodes give alike (`==`). Raises `NoQuorum`."""
        answers = await asyncio.gather(*(question(node) for node in self.nodes), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                if not isinstance(answer, NodeFault):
                    raise answer
            elif sum(1 for other in answers if other == answer) >= self._quorum:
                return answer
        raise NoQuorum(f"fewer than {self._quorum} nodes gave the same answer")

    async def close(self) -> None:
        """Close all connections."""
        for node in self._nodes:
            await node.disconnect()


def connect_all(terms: ChainTerms) -> Quorum:
    """The chain's nodes, connected at the first question. Imports web3, which takes a second: call it in a thread."""
    return Quorum(nodes=[connect(url) for url in terms.rpc], quorum=terms.quorum)
