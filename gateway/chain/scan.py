"""Reads a stretch of a chain from one node: what it says of the blocks and of the transfers to us, as a vote.

Ranges adapt to what each provider is willing to answer, and to how long its answers get, so that memory is bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.chain.logs import Found, Transfer, check_hashes
from gateway.chain.plan import Traffic, plan
from gateway.chain.reorg import Place, follows
from gateway.chain.rpc import Node
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import Header, NodeFault, TooMuchAsked

RANGE_FIRST = 2_000
"""Final blocks asked for at once, until a node has shown what it can do."""
RANGE_MOST = 10_000
TAIL_MOST = 64
"""Blocks near the newest one asked for at once; of each the header is read."""
BACKENDS_APART = TAIL_MOST
"""How far nodes behind one URL may be apart, in blocks. The last so many are asked for by their hashes, in one go."""
ANSWER_GOOD = 8 * 2**20
"""Bytes that an answer with logs should have at most: the range that gives more is made narrower."""
CALM_LEAST = 64
"""So many answers of the widest range that was ever granted, before a wider one is tried again."""
AHEAD = 1
"""Stretches of a backfill asked for while the one before is written."""


class Narrowed(NodeFault):
    """The node refused the range; the next one asked for is narrower."""


class Reach:
    """How wide a range one provider answers, in blocks. Falls at once, grows slowly."""

    def __init__(self) -> None:
        self.width = RANGE_FIRST
        self._granted = RANGE_MOST
        self._calm = 0

    def refused(self, fault: TooMuchAsked, *, width: int) -> None:
        """Ask for less: as little as the node's words say, if that's a quarter at least, else half.

        Raises `fault` if one block is too much.
        """
        if width == 1:
            raise fault
        # A node that names next to nothing may lie: it has to refuse again and again to get there.
        named = fault.suggested if fault.suggested is not None and width // 4 <= fault.suggested < width else None
        self.width = max(named or width // 2, 1)
        self._granted = width - 1 if named is None else self.width
        self._calm = 0

    def answered(self, *, width: int, size: int) -> None:
        """Ask for more next time, if this was the widest and its answer of `size` bytes leaves room."""
        fit = max(width * ANSWER_GOOD // max(size, 1), 1)
        if width < self.width:
            self.width = min(self.width, max(fit, width))
            return
        if width >= self._granted:
            self._calm += 1
            if self._calm >= CALM_LEAST:
                self._granted, self._calm = RANGE_MOST, 0
        untried = self._granted == RANGE_MOST and self._calm == 0
        grown = width * 2 if untried else width + width // 16 + 1
        self.width = max(min(grown, fit, self._granted), 1)


@dataclass(slots=True, kw_only=True)
class Wanted:
    """What is looked for, and how: by topics or in all of a token's logs, whichever is less work."""

    tokens: frozenset[str]
    watched: Watchlist
    traffic: Traffic = field(default_factory=Traffic)

    async def read(self, node: Node, where: Mapping[str, object], *, blocks: int) -> Found:
        """The transfers to us. Raises `TooMuchAsked` if a narrower range may succeed."""
        questions = plan(topics=self.watched.topics(), blocks=blocks, traffic=self.traffic)
        parts = [
            await node.transfers(where, tokens=self.tokens, watched=self.watched, topics=topics) for topics in questions
        ]
        return self._noted(_together(parts), questions, blocks)

    async def read_each(self, node: Node, hashes: Sequence[str]) -> Found:
        """The transfers to us in single blocks. From these, a node that doesn't have one of them can't leave any out."""
        questions = plan(topics=self.watched.topics(), blocks=1, traffic=self.traffic)
        parts = [
            await node.transfers_of_blocks(hashes, tokens=self.tokens, watched=self.watched, topics=topics)
            for topics in questions
        ]
        return self._noted(_together([found for part in parts for found in part]), questions, len(hashes))

    def _noted(self, found: Found, questions: Sequence[object], blocks: int) -> Found:
        if questions == [None]:
            self.traffic = self.traffic.plus(blocks=blocks, logs=found.logs, size=found.size)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One provider's word on a stretch of blocks. Providers agree if their votes are equal."""

    before: str
    """Hash of the block below the stretch."""
    headers: tuple[Header, ...] = ()
    """The last block of the stretch, and all others if they aren't final. Empty: the stretch doesn't stand on ours."""
    transfers: tuple[Transfer, ...] = ()
    times: Mapping[int, datetime] = field(default_factory=dict)
    """Of the blocks that `transfers` name, by number."""

    def __str__(self) -> str:
        if not self.headers:
            return f"the block below is {self.before}"
        return f"block {self.headers[-1].number} is {self.headers[-1].hash}, with {len(self.transfers)} deposits up to there"


async def final_vote(node: Node, reach: Reach, wanted: Wanted, *, first: int, last: int) -> Vote:
    """Blocks that are final already: just the last header is read, the one below, and those of deposits.

    All after the logs: so the node had the whole range when it gave them. Behind one URL there may be several nodes, though,
    and one that doesn't have the last blocks gives the logs of those before as if they were all. So this is only for blocks
    that lie `BACKENDS_APART` below the newest one. What a URL's node leaves out that is still further behind, a vote of
    several operators finds out; a single one can't be proved complete.
    """
    found = await _logs(node, reach, wanted, {"fromBlock": hex(first), "toBlock": hex(last)}, width=last - first + 1)
    with_deposits = {transfer.block_number for transfer in found.transfers}
    below = max(first - 1, 0)
    headers = {header.number: header for header in await node.headers(sorted({below, last} | with_deposits))}
    check_hashes(found.hashes, headers=headers.values())
    return Vote(
        before=headers[below].hash,
        headers=(headers[last],),
        transfers=found.transfers,
        times={number: headers[number].time for number in with_deposits},
    )


async def tail_vote(node: Node, wanted: Wanted, *, at: Place, last: int, head: Header) -> Vote:
    """The newest blocks, from the one above `at`: all headers, linked, and the logs of just these blocks, by their hashes.

    So a node can't answer from another fork, nor with nothing for a block that it doesn't have. `head` is the node's newest
    block. If the stretch doesn't stand on `at`, no logs are read.
    """
    known = [head] if head.number == last and last >= at.number else []
    if last == at.number:
        (newest,) = known or await node.headers([last])
        return Vote(before=newest.hash)
    headers = [*await node.headers(range(at.number + 1, last + 1 - len(known))), *known]
    if not follows(at, headers):
        return Vote(before=headers[0].parent_hash)
    found = await wanted.read_each(node, [header.hash for header in headers])
    check_hashes(found.hashes, headers=headers)
    times = {header.number: header.time for header in headers}
    if strange := found.hashes.keys() - times.keys():
        raise NodeFault(f"asked for logs of blocks {at.number + 1} to {last}, the node gives one of block {min(strange)}")
    with_deposits = {transfer.block_number for transfer in found.transfers}
    return Vote(
        before=at.hash,
        headers=tuple(headers),
        transfers=found.transfers,
        times={number: times[number] for number in with_deposits},
    )


async def _logs(node: Node, reach: Reach, wanted: Wanted, where: Mapping[str, object], *, width: int) -> Found:
    try:
        found = await wanted.read(node, where, blocks=width)
    except TooMuchAsked as fault:
        reach.refused(fault, width=width)
        raise Narrowed(str(fault)) from None
    reach.answered(width=width, size=found.size)
    return found


def _together(parts: Sequence[Found]) -> Found:
    """Answers to several questions as one."""
    if len(parts) == 1:
        return parts[0]
    hashes: dict[int, str] = {}
    for part in parts:
        for number, found in part.hashes.items():
            if hashes.setdefault(number, found) != found:
                raise NodeFault(f"the node gives logs of two blocks {number}: {found} and {hashes[number]}")
    transfers = [transfer for part in parts for transfer in part.transfers]
    return Found(
        transfers=tuple(sorted(transfers, key=lambda transfer: (transfer.block_number, transfer.log_index))),
        hashes=hashes,
        times={number: time for part in parts for number, time in part.times.items()},
        logs=sum(part.logs for part in parts),
        size=sum(part.size for part in parts),
    )


class Ahead:
    """Stretches of a backfill that are being read while earlier ones are written.

    Each was asked for before the one below it was written, so its reader has to compare what it stands on. Whoever sees
    anything unexpected calls `drop`: what was read ahead is thrown away then, never trusted.
    """

    def __init__(self, read: Callable[[int, int], Coroutine[Any, Any, Vote]]) -> None:
        self._read = read
        self._running: deque[tuple[int, int, asyncio.Task[Vote]]] = deque()

    async def next(self, *, first: int, final: int, width: int) -> Vote:
        """The stretch from block `first` on, up to `final` at most; starts reading the one above it, too."""
        if self._running and self._running[0][0] != first:
            await self.drop()
        begin = self._running[-1][1] + 1 if self._running else first
        while begin <= final and len(self._running) <= AHEAD:
            last = min(begin + width - 1, final)
            self._running.append((begin, last, asyncio.create_task(self._read(begin, last))))
            begin = last + 1
        _, _, task = self._running[0]
        vote = await task
        self._running.popleft()
        return vote

    async def drop(self) -> None:
        """Stop all reading."""
        tasks = [task for _, _, task in self._running]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
