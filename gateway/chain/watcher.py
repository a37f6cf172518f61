"""The watcher of one chain: `step()` does one bounded piece of work, and what it did is in the rows, not in the process.

The path of a scan: newest and final block, by a quorum · addresses of ours · votes on the next stretch: does the stored
cursor still lead there, which blocks, which transfers to us · one transaction. Blocks near the newest one are read one by
one and must be linked by their parents' hashes; blocks that have long been there and are final are crossed in ranges.
Whatever too few providers agree about moves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain import queries, record
from gateway.chain.providers import Provider, Report
from gateway.chain.queries import Cursor
from gateway.chain.quorum import Ends, Quorum
from gateway.chain.reorg import Place, find_ancestor
from gateway.chain.scan import TAIL_MOST, Ahead, Narrowed, Vote, Wanted, final_vote, tail_vote
from gateway.chain.terms import ChainTerms
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import Header, NodeFault
from gateway.clock import Clock
from gateway.db.session import reading, transaction

LOOK_AGAIN_S = 5.0
"""How long a final block stays known while a backfill goes on below it."""

START_BACK_MOST = timedelta(days=1)
"""How far back a first watcher looks for addresses of ours: orders live for minutes; `lastmile chain scan` goes further."""
START_STRIDE = 64
CLOCKS_APART = timedelta(minutes=10)
"""By how much a chain's clock and ours may differ."""

_FIRST_ADDRESS = text("SELECT min(created_at) FROM deposit_addresses WHERE created_at > :since")
_WAITING = text("UPDATE chain_cursors SET waiting = :why WHERE chain_id = :chain_id AND waiting IS DISTINCT FROM :why")


class Did(StrEnum):
    """What a step did."""

    STARTED = "started"
    SCANNED = "scanned"
    FINALIZED = "finalized"
    """No new block, but blocks scanned before have become final."""
    REWOUND = "rewound"
    NARROWED = "narrowed"
    """Nodes refused the range; the next step asks for less."""
    OVERTAKEN = "overtaken"
    """Another watcher moved the cursor meanwhile; nothing was written."""
    IDLE = "idle"
    LAGGING = "lagging"
    """The nodes are behind our cursor, in the same chain as far as they go."""
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Outcome of a step: where the cursor is now, and the newest block if it was asked for."""

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
    """Watches one chain through a quorum of nodes. `watched` may serve several watchers.

    Any number may run at once: of two that move the cursor, one does nothing.
    """

    def __init__(self, *, terms: ChainTerms, quorum: Quorum, engine: AsyncEngine, clock: Clock, watched: Watchlist) -> None:
        quorum.expect(chain_id=terms.chain_id, checkpoint=terms.checkpoint, finality=terms.finality)
        self._terms = terms
        self._chain_id = terms.chain_id
        self._quorum = quorum
        self._engine = engine
        # Single reads: without a transaction around them each takes one round trip instead of three.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        self._wanted = Wanted(tokens=frozenset(terms.tokens), watched=watched)
        self._report = Report(chain_id=terms.chain_id, providers=quorum.providers)
        self._ahead = Ahead(self._final_vote)
        self._ends: Ends | None = None
        self._looked_s = 0.0
        self._stood: int | None = None
        self._settled = 0
        self._refused = False
        self._ours: Cursor | None = None
        """The cursor as we wrote it; None: something else came between. Others may have moved it since all the same."""
        self._hashes: dict[int, str] = {}
        """Of the blocks below it that we wrote ourselves, from the last final one on. They are as true as it is."""

    async def step(self) -> Progress:
        """Do the next piece of work. Raises `NodeFault` when too few nodes can be reached or agree; nothing moved then."""
        ours, self._ours = self._ours, None
        if ours is None:
            self._hashes.clear()
            return await self._from(None)
        progress = await self._from(ours)
        if progress.did in {Did.IDLE, Did.LAGGING}:
            # No write has compared the cursor with the stored one.
            if await self._cursor() != ours:
                return Progress(did=Did.OVERTAKEN, cursor=ours.at)
            self._ours = ours
        return progress

    async def _from(self, ours: Cursor | None) -> Progress:
        """A step from the cursor `ours`; None: from the stored one."""
        cursor = ours
        glance = asyncio.create_task(self._glance())
        try:
            cursor = ours or await self._cursor()
            if cursor is not None and cursor.halted is not None:
                await self.close()
                return Progress(did=Did.HALTED, cursor=cursor.at, why=cursor.halted)
            progress = await self._step(cursor, await glance)
        except BaseException as error:
            # What was read ahead is thrown away with what it was based on.
            await self.close()
            if isinstance(error, Narrowed):
                self._refused = True
                return Progress(did=Did.NARROWED, cursor=cursor.at if cursor else None, why=str(error))
            if isinstance(error, record.Overtaken):
                return Progress(did=Did.OVERTAKEN, cursor=cursor.at if cursor else None)
            if isinstance(error, NodeFault):
                await self._tell(waiting=str(error))
            raise
        finally:
            glance.cancel()
            await asyncio.gather(glance, return_exceptions=True)
        self._refused = False
        self._stood = None if progress.cursor is None else progress.cursor.number
        await self._tell(waiting=None, was=cursor)
        return progress

    async def close(self) -> None:
        """Drop what is being read ahead. The connections are the quorum's."""
        self._ends = self._ours = None
        await self._ahead.drop()

    async def _step(self, cursor: Cursor | None, ends: Ends | None) -> Progress:
        ends = await self._look(cursor, ends)
        if cursor is None:
            return await self._start(ends)
        if ends.head < cursor.at.number:
            return await self._behind(cursor, ends)
        if cursor.at.number < ends.deep:
            return await self._cross_final(cursor, ends)
        return await self._follow_tail(cursor, ends)

    async def _glance(self) -> Ends | None:
        """How far the chain goes, asked while the cursor is read; None at the first step, and while the last look is good.

        What was final stays final, so a backfill needn't ask at each step.
        """
        if self._stood is None:
            return None
        looked_s_ago = asyncio.get_running_loop().time() - self._looked_s
        if self._ends is not None and self._stood < self._ends.deep and looked_s_ago < LOOK_AGAIN_S:
            return None
        return await self._quorum.ends(beyond=self._stood, final=self._settled)

    async def _look(self, cursor: Cursor | None, ends: Ends | None) -> Ends:
        if ends is None and self._ends is not None and cursor is not None and cursor.at.number < self._ends.deep:
            return self._ends
        self._settled = cursor.final.number if cursor else 0
        self._ends = ends or await self._quorum.ends(beyond=cursor.at.number if cursor else 0, final=self._settled)
        self._looked_s = asyncio.get_running_loop().time()
        if cursor is None or cursor.at.number < self._ends.head:
            # An address is committed before anybody is shown it, so it was there before its first payment could be mined,
            # and before the nodes could have that block. Reading our table after their newest block misses none.
            await self._wanted.watched.refresh()
        return self._ends

    async def _start(self, ends: Ends) -> Progress:
        start = self._terms.start_block
        if start is None:
            header = await self._before_first_address(await self._header(ends.final))
        else:
            header = await self._header(min(max(start - 1, 0), ends.final))
        async with transaction(self._engine, point="watcher.start") as connection:
            await record.start_cursor(connection, chain_id=self._chain_id, header=header, now=self._clock())
        return Progress(did=Did.STARTED, cursor=_place(header))

    async def _before_first_address(self, header: Header) -> Header:
        """That block, or an earlier one from before the first address: orders may be paid before any watcher has started."""
        async with reading(self._engine) as connection:
            values = {"since": self._clock() - START_BACK_MOST}
            first = (await connection.execute(_FIRST_ADDRESS, values)).scalar_one()
        back = START_STRIDE
        while first is not None and header.number and first - CLOCKS_APART < header.time:
            header = await self._header(max(header.number - back, 0))
            back *= 2
        return header

    async def _behind(self, cursor: Cursor, ends: Ends) -> Progress:
        """Nodes with fewer blocks than we have seen lag, unless their newest one isn't the one that we know."""
        if ends.head >= cursor.final.number:
            stored = await self._stored({ends.head})
            if (await self._header(ends.head)).hash != stored[ends.head]:
                return await self._rewind(cursor, ends)
        return Progress(did=Did.LAGGING, cursor=cursor.at, head=ends.head)

    async def _cross_final(self, cursor: Cursor, ends: Ends) -> Progress:
        """Scan a range of blocks that have long been final by now. Deposits in it are final at once."""
        vote = await self._ahead.next(first=cursor.at.number + 1, final=ends.deep, width=self._width())
        if vote.before != cursor.at.hash:
            return await self._rewind(cursor, ends)
        return await self._scan(cursor, ends, vote, final=_place(vote.headers[-1]))

    async def _follow_tail(self, cursor: Cursor, ends: Ends) -> Progress:
        """Scan the newest blocks, and see which of those scanned by now have become final."""
        last = min(cursor.at.number + TAIL_MOST, ends.head)
        vote = await self._tail_vote(cursor.at, last)
        if vote.before != cursor.at.hash:
            return await self._rewind(cursor, ends)
        now_final = await self._now_final(cursor, ends, vote.headers)
        if vote.headers:
            return await self._scan(cursor, ends, vote, final=now_final)
        if now_final == cursor.final:
            return Progress(did=Did.IDLE, cursor=cursor.at, head=ends.head)
        settled = record.Scanned(at=cursor.at, final=now_final, blocks=[], times={})
        return await self._write(cursor, ends, settled, did=Did.FINALIZED)

    async def _now_final(self, cursor: Cursor, ends: Ends, scanned: Sequence[Header]) -> Place:
        """The last final block, among those stored and those `scanned` now; it never moves back, whatever nodes say."""
        if ends.final <= cursor.final.number:
            return cursor.final
        last = scanned[-1].number if scanned else cursor.at.number
        named = {p: p.final.header for p in self._quorum.providers if p.final is not None and p.final.header is not None}
        within = {p: header for p, header in named.items() if cursor.final.number <= header.number <= last}
        hashes = {header.number: header.hash for header in scanned}
        hashes |= await self._stored(({ends.final} | {header.number for header in within.values()}) - hashes.keys())
        for provider, header in within.items():
            if hashes[header.number] != header.hash:
                fault = NodeFault(f"has another block {header.number} among the final ones than in its chain")
                self._quorum.demote(provider, fault)
                raise NodeFault(f"{provider.name} {fault}")
        return Place(number=ends.final, hash=hashes[ends.final])

    async def _scan(self, cursor: Cursor, ends: Ends, vote: Vote, *, final: Place) -> Progress:
        scanned = record.Scanned(
            at=_place(vote.headers[-1]), final=final, blocks=vote.headers, transfers=vote.transfers, times=vote.times
        )
        return await self._write(cursor, ends, scanned, did=Did.SCANNED)

    async def _write(self, cursor: Cursor, ends: Ends, scanned: record.Scanned, *, did: Did) -> Progress:
        async with transaction(self._engine, point="watcher.write") as connection:
            changed = await record.write_scanned(
                connection,
                chain_id=self._chain_id,
                was=cursor,
                scanned=scanned,
                assets=self._terms.tokens,
                now=self._clock(),
            )
        self._ours = Cursor(at=scanned.at, final=scanned.final, halted=None)
        hashes = self._hashes | {header.number: header.hash for header in scanned.blocks}
        self._hashes = {number: found for number, found in hashes.items() if number >= scanned.final.number}
        return Progress(did=did, cursor=scanned.at, head=ends.head, deposits=changed)

    async def _rewind(self, cursor: Cursor, ends: Ends) -> Progress:
        """The chain isn't the one that we scanned: go back to where they part, but never below what was final."""
        await self.close()
        async with reading(self._engine) as connection:
            most = min(cursor.at.number, ends.head)
            stored = await queries.read_blocks(connection, chain_id=self._chain_id, most=most)
        ancestor = await self._ancestor(stored)
        if ancestor is None:
            return await self._halt(cursor)
        if ancestor == cursor.at:
            raise NodeFault(f"the chain above block {ancestor.number} changed while it was read")
        async with transaction(self._engine, point="watcher.rewind") as connection:
            changed = await record.rewind(
                connection, chain_id=self._chain_id, was=cursor, ancestor=ancestor, now=self._clock()
            )
        return Progress(did=Did.REWOUND, cursor=ancestor, head=ends.head, deposits=changed)

    async def _ancestor(self, stored: Sequence[Place]) -> Place | None:
        search = find_ancestor(stored)
        try:
            number = next(search)
            while True:
                number = search.send((await self._header(number)).hash)
        except StopIteration as end:
            ancestor: Place | None = end.value
            return ancestor

    async def _halt(self, cursor: Cursor) -> Progress:
        """Asked twice, and only nodes of this chain: a halt needs a person to end it."""
        self._quorum.check_again()
        found = await self._header(cursor.final.number)
        if found.hash == cursor.final.hash:
            raise NodeFault(f"the nodes give two blocks {found.number} in turn")
        why = (
            f"Block {found.number} was final as {cursor.final.hash} and is {found.hash} now. "
            "Compare with other nodes: either these are wrong, or all that was paid on that block's word must be checked. "
            "`lastmile chain resume` goes on afterwards."
        )
        async with transaction(self._engine, point="watcher.halt") as connection:
            await record.halt(connection, chain_id=self._chain_id, was=cursor, why=why, now=self._clock())
        return Progress(did=Did.HALTED, cursor=cursor.at, why=why)

    async def _header(self, number: int) -> Header:
        return await self._quorum.decide(lambda provider: provider.node.header(number), what=f"block {number}")

    async def _final_vote(self, first: int, last: int) -> Vote:
        async def vote(provider: Provider) -> Vote:
            await self._quorum.newest(provider, least=last)
            return await final_vote(provider.node, provider.reach, self._wanted, first=first, last=last)

        return await self._quorum.decide(vote, what=f"blocks {first} to {last}", wide=True)

    async def _tail_vote(self, at: Place, last: int) -> Vote:
        async def vote(provider: Provider) -> Vote:
            head = await self._quorum.newest(provider, least=last)
            return await tail_vote(provider.node, self._wanted, at=at, last=last, head=head)

        return await self._quorum.decide(vote, what=f"the blocks above {at.number} up to {last}")

    def _width(self) -> int:
        """How many blocks enough providers answer for in one go; all of them, after some have refused."""
        return self._quorum.width(everybody=self._refused)

    async def _stored(self, numbers: set[int]) -> dict[int, str]:
        if numbers <= self._hashes.keys():
            return {number: self._hashes[number] for number in numbers}
        async with transaction(self._reading) as connection:
            stored = await queries.read_hashes(connection, chain_id=self._chain_id, numbers=numbers)
        if stored.keys() != numbers:
            # Between the last final block and the cursor there are no gaps, so the cursor isn't where it was.
            raise record.Overtaken
        return stored

    async def _cursor(self) -> Cursor | None:
        async with transaction(self._reading) as connection:
            return await queries.read_cursor(connection, chain_id=self._chain_id)

    async def _tell(self, *, waiting: str | None, was: Cursor | None = None) -> None:
        """Write down, for other processes, why the chain waits and how the providers do; nothing if nothing is new."""
        now = self._clock()
        news = waiting is not None or (was is not None and was.waiting is not None)
        if not news and not self._report.due(now=now):
            return
        async with transaction(self._engine, point="watcher.tell") as connection:
            if news:
                await connection.execute(_WAITING, {"chain_id": self._chain_id, "why": waiting})
            if self._report.due(now=now):
                await self._report.write(connection, now=now)


def _place(header: Header) -> Place:
    return Place(number=header.number, hash=header.hash)
