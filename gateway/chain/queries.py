"""Reads: how far a chain has been scanned, what its watcher thinks of the providers, and which addresses are ours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.reorg import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last block scanned, and the last one known final."""

    at: Place
    final: Place
    halted: str | None
    """Why nothing moves until a person clears it."""
    waiting: str | None = None
    """Why nothing moves at present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """One chain as its watcher, in whatever process, left it last."""

    chain_id: int
    cursor: int
    """The last block scanned."""
    final: int
    """The last block known final and scanned."""
    head: int | None
    """The newest block that a trusted provider knows; None: none is trusted."""
    waiting: str | None
    halted: str | None
    watched_until: datetime | None
    """When the watcher's lease ends, unless it is renewed; None: nobody has watched yet."""
    updated_at: datetime

    @property
    def lag(self) -> int | None:
        """How many blocks there are above the cursor; None: nobody trusted says."""
        return None if self.head is None else max(self.head - self.cursor, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """One provider as its chain's watcher saw it last."""

    chain_id: int
    name: str
    """Host and port: without the path, which may hold a key."""
    trusted: bool
    reason: str | None
    """Why it isn't trusted."""
    since: datetime
    """Since when it is trusted, or isn't."""
    head: int | None
    final: int | None
    faults: int
    asked_at: datetime


_CURSOR = text("""
SELECT number, hash, finalized_number, finalized_hash, halted, waiting FROM chain_cursors WHERE chain_id = :chain_id
""")
_STATES = text("""
SELECT c.chain_id, c.number, c.finalized_number, c.waiting, c.halted, c.updated_at, l.until,
    (SELECT max(p.head) FROM chain_providers AS p WHERE p.chain_id = c.chain_id AND p.state = 'trusted') AS head
FROM chain_cursors AS c LEFT JOIN chain_leases AS l USING (chain_id)
ORDER BY c.chain_id
""")
_PROVIDERS = text("""
SELECT chain_id, name, state = 'trusted' AS trusted, reason, since, head, final, faults, asked_at
FROM chain_providers ORDER BY chain_id, name
""")
_HASHES = text("""
SELECT number, hash FROM chain_blocks WHERE chain_id = :chain_id AND number = ANY(CAST(:numbers AS bigint[]))
""")
_BLOCKS = text("SELECT number, hash FROM chain_blocks WHERE chain_id = :chain_id AND number <= :most ORDER BY number")
_BLOCK = text("SELECT number, hash FROM chain_blocks WHERE chain_id = :chain_id AND number = :number")
_OURS = text("SELECT address FROM deposit_addresses WHERE address = ANY(CAST(:addresses AS text[]))")


async def read_cursor(connection: AsyncConnection, *, chain_id: int) -> Cursor | None:
    """Where the chain's watcher stands; None: it hasn't started yet."""
    row = (await connection.execute(_CURSOR, {"chain_id": chain_id})).one_or_none()
    if row is None:
        return None
    return Cursor(
        at=Place(number=row.number, hash=row.hash),
        final=Place(number=row.finalized_number, hash=row.finalized_hash),
        halted=row.halted,
        waiting=row.waiting,
    )


async def chain_states(connection: AsyncConnection) -> list[ChainState]:
    """All chains that have ever been watched."""
    return [
        ChainState(
            chain_id=row.chain_id,
            cursor=row.number,
            final=row.finalized_number,
            head=row.head,
            waiting=row.waiting,
            halted=row.halted,
            watched_until=row.until,
            updated_at=row.updated_at,
        )
        for row in await connection.execute(_STATES)
    ]


async def provider_states(connection: AsyncConnection) -> list[ProviderState]:
    """All providers of all chains."""
    return [ProviderState(**row._asdict()) for row in await connection.execute(_PROVIDERS)]


async def read_blocks(connection: AsyncConnection, *, chain_id: int, most: int) -> list[Place]:
    """The stored blocks up to number `most`, oldest first: from the last final one to the last one scanned."""
    rows = await connection.execute(_BLOCKS, {"chain_id": chain_id, "most": most})
    return [Place(number=row.number, hash=row.hash) for row in rows]


async def read_block(connection: AsyncConnection, *, chain_id: int, number: int) -> Place | None:
    """One stored block. Every number between the last final and the last scanned block has one."""
    row = (await connection.execute(_BLOCK, {"chain_id": chain_id, "number": number})).one_or_none()
    return None if row is None else Place(number=row.number, hash=row.hash)


async def read_hashes(connection: AsyncConnection, *, chain_id: int, numbers: Collection[int]) -> dict[int, str]:
    """The hashes of stored blocks, by number."""
    rows = await connection.execute(_HASHES, {"chain_id": chain_id, "numbers": list(numbers)})
    return {row.number: row.hash for row in rows}


async def which_are_ours(connection: AsyncConnection, *, addresses: Collection[str]) -> set[str]:
    """Those of `addresses` (lower-case) that we watch."""
    return set((await connection.execute(_OURS, {"addresses": list(addresses)})).scalars())
