"""Contracts read for others, by a quorum's word and at one block: what price feeds say."""

from __future__ import annotations

from datetime import datetime

from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault, data


class ChainReader:
    """Reads through a quorum of its own. Both raise ConnectionError with the nodes' fault, which holds no URL."""

    def __init__(self, quorum: Quorum) -> None:
        self._quorum = quorum

    async def newest(self) -> tuple[int, datetime]:
        """Number and time of the newest block that enough nodes have."""
        try:
            ends = await self._quorum.ends(beyond=0)
            found = await self._quorum.agreed(lambda node: node.header(ends.head))
        except NodeFault as fault:
            raise ConnectionError(str(fault)) from None
        return found.number, found.time

    async def call(self, to: str, data: str, *, block: int) -> bytes:
        """What a contract returned for `data` (hex with 0x) at a block."""
        try:
            return await self._quorum.agreed(lambda node: _call(node, to, data, block))
        except NodeFault as fault:
            raise ConnectionError(str(fault)) from None


async def _call(node: Node, to: str, asked: str, block: int) -> bytes:
    answer = await node.ask("eth_call", ({"to": to, "data": asked}, hex(block)))
    return data(answer, f"the answer of {to} to {asked[:10]}")
