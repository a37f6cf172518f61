"""The watcher of one chain: `step()` does one bounded piece of work, and what it did is in the rows, not in the process.

The path of a scan: newest and final block · does the stored cursor still lead there? · logs of the next range · to
addresses of ours? · one transaction. Blocks that can still change are read one by one and must be linked by their
parents' hashes; blocks that are final already are crossed in ranges. Any fault of the node moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain import queries, record
from gateway.chain.logs import Transfer, block_hashes, check_hashes, recipients, transfers_to
from gateway.chain.queries import Cursor
from gateway.chain.reorg import Place, find_ancestor, follows
from gateway.chain.rpc import Final, Node
from gateway.chain.scan import Narrowed, Scanner, Stretch
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import Header, NodeFault
from gateway.clock import Clock
from gateway.db.session import transaction


class Did(StrEnum):
    """What a step did."""

    STARTED = "started"
    SCANNED = "scanned"
    FINALIZED = "finalized"
    """No new block, but blocks scanned before have become final."""
    REWOUND = "rewound"
    NARROWED = "narrowed"
    """The node refused the range; the next step asks for half of it."""
    OVERTAKEN = "overtaken"
    """Another watcher moved the cursor meanwhile; nothing was written."""
    IDLE = "idle"
    LAGGING = "lagging"
    """The node is behind our cursor, in the same chain as far as it goes."""
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Outcome of a step: where the cursor is now, and the node's newest block if it was asked."""

    did: Did
    cursor: Place | None
    head: int | None = None
    deposits: int = 0
    """How many changed."""
    why: str | None = None
    """Of HALTED and NARROWED: the reason, as a sentence."""

    @property
    def more(self) -> bool:
        """Whether another step is due at once, without waiting for the chain."""
        if self.did is Did.SCANNED and self.cursor is not None and self.head is not None:
            return self.cursor.number < self.head
        return self.did not in {Did.IDLE, Did.LAGGING, Did.HALTED, Did.FINALIZED}


class Watcher:
    """Watches one chain through one node. Any number may run at once: of two that move the cursor, one does nothing."""

    def __init__(self, *, terms: ChainTerms, node: Node, engine: AsyncEngine, clock: Clock) -> None:
        self._terms = terms
        self._chain_id = terms.chain_id
        self._node = node
        self._engine = engine
        self._clock = clock
        self._scanner = Scanner(node=node, tokens=terms.tokens)
        self._right_chain = False

    async def step(self) -> Progress:
        """Do the next piece of work. Raises `NodeFault` when the node can't be believed or reached; nothing moved then."""
        async with transaction(self._engine) as connection:
            cursor = await queries.read_cursor(connection, chain_id=self._chain_id)
        if cursor is not None and cursor.halted is not None:
            return Progress(did=Did.HALTED, cursor=cursor.at, why=cursor.halted)
        try:
            return await self._step(cursor)
        except Narrowed as refusal:
            return Progress(did=Did.NARROWED, cursor=cursor.at if cursor else None, why=str(refusal))
        except record.Overtaken:
            return Progress(did=Did.OVERTAKEN, cursor=cursor.at if cursor else None)
        except NodeFault:
            # What answers at this URL after a fault may be another node.
            self._right_chain = False
            raise

    async def _step(self, cursor: Cursor | None) -> Progress:
        if not self._right_chain:
            await self._node.check_chain_id(self._chain_id)
            self._right_chain = True
        head, final = await self._node.ends(self._terms.finality)
        if cursor is None:
            return await self._start(final)
        if head.number < cursor.at.number:
            return await self._behind(cursor, head)
        if cursor.at.number < final.number:
            return await self._cross_final(cursor, head, final)
        return await self._follow_tail(cursor, head, final)

    async def _start(self, final: Final) -> Progress:
        start = self._terms.start_block
        header = await self._node.header(final.number if start is None else min(max(start - 1, 0), final.number))
        async with transaction(self._engine) as connection:
            await record.start_cursor(connection, chain_id=self._chain_id, header=header, now=self._clock())
        return Progress(did=Did.STARTED, cursor=_place(header))

    async def _behind(self, cursor: Cursor, head: Header) -> Progress:
        """A node with fewer blocks than we have seen lags, unless its newest one isn't the one that we know."""
        if head.number >= cursor.final.number and (await self._stored(head.number)).hash != head.hash:
            return await self._rewind(cursor, head)
        return Progress(did=Did.LAGGING, cursor=cursor.at, head=head.number)

    async def _cross_final(self, cursor: Cursor, head: Header, final: Final) -> Progress:
        """Scan a range of blocks that are all final by now. Deposits in it are final at once."""
        if (await self._node.header(cursor.at.number)).hash != cursor.at.hash:
            return await self._rewind(cursor, head)
        stretch = await self._scanner.final(first=cursor.at.number + 1, final=final)
        return await self._scan(cursor, head, stretch, final=_place(stretch.headers[-1]))

    async def _follow_tail(self, cursor: Cursor, head: Header, final: Final) -> Progress:
        """Scan blocks that can still change, and see which of those scanned before have become final."""
        headers = await self._scanner.tail(first=cursor.at.number + 1, head=head)
        if not (follows(cursor.at, headers) if headers else head.hash == cursor.at.hash):
            return await self._rewind(cursor, head)
        now_final = await self._now_final(cursor, final)
        if headers:
            return await self._scan(cursor, head, await self._scanner.tail_logs(headers), final=now_final)
        if now_final == cursor.final:
            return Progress(did=Did.IDLE, cursor=cursor.at, head=head.number)
        settled = record.Scanned(at=cursor.at, final=now_final, blocks=[], times={})
        return await self._write(cursor, head, settled, did=Did.FINALIZED)

    async def _now_final(self, cursor: Cursor, final: Final) -> Place:
        """The last final block that we have scanned; it never moves back, whatever a node says."""
        if final.number < cursor.final.number:
            return cursor.final
        stored = await self._stored(final.number)
        if final.header is not None and final.header.hash != stored.hash:
            raise NodeFault(f"the node has another block {final.number} among the final ones than in its chain")
        return stored

    async def _scan(self, cursor: Cursor, head: Header, stretch: Stretch, *, final: Place) -> Progress:
        """Pick what is ours and write the step."""
        hashes = block_hashes(stretch.logs, first=cursor.at.number + 1, last=stretch.headers[-1].number)
        transfers = await self._ours(stretch.logs)
        headers = {header.number: header for header in stretch.headers}
        others = sorted({transfer.block_number for transfer in transfers} - headers.keys())
        headers |= {header.number: header for header in await self._node.headers(others)}
        check_hashes(hashes, headers=headers.values())
        scanned = record.Scanned(
            at=_place(stretch.headers[-1]),
            final=final,
            blocks=stretch.headers,
            transfers=transfers,
            times={number: header.time for number, header in headers.items()},
        )
        return await self._write(cursor, head, scanned, did=Did.SCANNED)

    async def _ours(self, logs: Sequence[Any]) -> list[Transfer]:
        addresses = recipients(logs, tokens=self._terms.tokens)
        # An address is committed before anybody is shown it, so it was there before its first payment could be mined, and
        # before the node could answer with it. Asking our table after the node therefore misses none.
        async with transaction(self._engine) as connection:
            ours = await queries.which_are_ours(connection, addresses=addresses)
        return transfers_to(logs, ours=ours)

    async def _write(self, cursor: Cursor, head: Header, scanned: record.Scanned, *, did: Did) -> Progress:
        async with transaction(self._engine) as connection:
            changed = await record.write_scanned(
                connection,
                chain_id=self._chain_id,
                was=cursor,
                scanned=scanned,
                assets=self._terms.tokens,
                now=self._clock(),
            )
        return Progress(did=did, cursor=scanned.at, head=head.number, deposits=changed)

    async def _rewind(self, cursor: Cursor, head: Header) -> Progress:
        """The chain isn't the one that we scanned: go back to where they part, but never below what was final."""
        async with transaction(self._engine) as connection:
            most = min(cursor.at.number, head.number)
            stored = await queries.read_blocks(connection, chain_id=self._chain_id, most=most)
        ancestor = await self._ancestor(stored)
        if ancestor is None:
            return await self._halt(cursor)
        if ancestor == cursor.at:
            raise NodeFault(f"the chain above block {ancestor.number} changed while it was read")
        async with transaction(self._engine) as connection:
            changed = await record.rewind(
                connection, chain_id=self._chain_id, was=cursor, ancestor=ancestor, now=self._clock()
            )
        return Progress(did=Did.REWOUND, cursor=ancestor, head=head.number, deposits=changed)

    async def _ancestor(self, stored: Sequence[Place]) -> Place | None:
        search = find_ancestor(stored)
        try:
            number = next(search)
            while True:
                number = search.send((await self._node.header(number)).hash)
        except StopIteration as end:
            ancestor: Place | None = end.value
            return ancestor

    async def _halt(self, cursor: Cursor) -> Progress:
        """Asked twice, and only a node of this chain: a halt needs a person to end it."""
        await self._node.check_chain_id(self._chain_id)
        found = await self._node.header(cursor.final.number)
        if found.hash == cursor.final.hash:
            raise NodeFault(f"the node gives two blocks {found.number} in turn")
        why = (
            f"Block {found.number} was final as {cursor.final.hash} and is {found.hash} now. "
            "Compare with other nodes: either this node is wrong, or all that was paid on that block's word must be checked."
        )
        async with transaction(self._engine) as connection:
            await record.halt(connection, chain_id=self._chain_id, was=cursor, why=why, now=self._clock())
        return Progress(did=Did.HALTED, cursor=cursor.at, why=why)

    async def _stored(self, number: int) -> Place:
        async with transaction(self._engine) as connection:
            stored = await queries.read_block(connection, chain_id=self._chain_id, number=number)
        if stored is None:
            # Between the last final block and the cursor there are no gaps, so the cursor isn't where it was.
            raise record.Overtaken
        return stored


def _place(header: Header) -> Place:
    return Place(number=header.number, hash=header.hash)
