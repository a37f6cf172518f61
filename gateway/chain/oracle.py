"""Contracts read for others, by a quorum's word and at one block: what price feeds say."""

from __future__ import annotations

import asyncio
from datetime import datetime

from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.rpc import Node
from gateway.chain.terms import ChainTerms
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


class ConnectingReader:
    """A chain's reader, with nodes of its own that are connected when it is first asked."""

    def __init__(self, terms: ChainTerms) -> None:
        self._terms = terms
        self._quorum: Quorum | None = None
        self._connecting = asyncio.Lock()
        """Several sources may read one chain, and ask for the first time at once."""

    async def newest(self) -> tuple[int, datetime]:
        """As `ChainReader.newest`."""
        return await (await self._reader()).newest()

    async def call(self, to: str, data: str, *, block: int) -> bytes:
        """As `ChainReader.call`."""
        return await (await self._reader()).call(to, data, block=block)

    async def close(self) -> None:
        """Close the connections."""
        if self._quorum is not None:
            await self._quorum.close()

    async def _reader(self) -> ChainReader:
        async with self._connecting:
            if self._quorum is None:
                try:
                    self._quorum = await asyncio.to_thread(connect_all, self._terms)
                except NodeFault as fault:
                    raise ConnectionError(str(fault)) from None
            return ChainReader(self._quorum)
