"""Reads the next stretch of a chain from its node, in ranges that the node is willing to answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.logs import TRANSFER
from gateway.chain.rpc import Final, Node
from gateway.chain.wire import Header, NodeFault, TooMuchAsked

RANGE_MOST = 2_000
"""Final blocks asked for at once; halved when a node won't answer for so many."""
TAIL_MOST = 64
"""Blocks not yet final asked for at once; each costs a question of its own."""


class Narrowed(Exception):
    """The node refused the range; the next one asked for is half as wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A range of blocks: transfers of our tokens in it, unread, and headers: the last one at least."""

    headers: Sequence[Header]
    logs: Sequence[Any]


class Scanner:
    """Asks one node for logs. Remembers how wide a range it answers. Raises `NodeFault` and `Narrowed`."""

    def __init__(self, *, node: Node, tokens: Collection[str]) -> None:
        self._node = node
        self._filter = {"address": sorted(tokens), "topics": [TRANSFER]}
        self._range = RANGE_MOST

    async def final(self, *, first: int, final: Final) -> Stretch:
        """Blocks from `first` on, up to the final one at most. None of them can change, so only the last header is read."""
        last = min(first + self._range - 1, final.number)
        logs = await self._logs({"fromBlock": hex(first), "toBlock": hex(last)}, width=last - first + 1)
        end = final.header if final.header is not None and final.number == last else await self._node.header(last)
        return Stretch(headers=[end], logs=logs)

    async def tail(self, *, first: int, head: Header) -> list[Header]:
        """All headers from `first` on, up to the newest block at most. None: there is nothing above it."""
        last = min(first + min(TAIL_MOST, self._range) - 1, head.number)
        if last < head.number:
            return await self._node.headers(range(first, last + 1))
        return [*await self._node.headers(range(first, last)), head] if first <= last else []

    async def tail_logs(self, headers: Sequence[Header]) -> Stretch:
        """The logs of just these blocks: checked to be in the chain after the logs were read, too."""
        first, last = headers[0], headers[-1]
        if first is last:
            # By hash a node can't answer from another fork, nor with nothing for a block that it doesn't have.
            return Stretch(headers=headers, logs=await self._logs({"blockHash": last.hash}, width=1))
        logs = await self._logs({"fromBlock": hex(first.number), "toBlock": hex(last.number)}, width=len(headers))
        if (await self._node.header(last.number)).hash != last.hash:
            raise NodeFault(f"block {last.number} changed while its logs were read")
        return Stretch(headers=headers, logs=logs)

    async def _logs(self, where: dict[str, object], *, width: int) -> list[Any]:
        try:
            logs = await self._node.logs({**self._filter, **where})
        except TooMuchAsked as fault:
            if width == 1:
                raise
            self._range = width // 2
            raise Narrowed(str(fault)) from None
        if width == self._range:
            self._range = min(width + width // 16 + 1, RANGE_MOST)
        return logs
