"""Reads: how far a chain has been scanned, and which addresses are ours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.reorg import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last block scanned, and the last one known final. `halted`: why nothing moves until a person clears it."""

    at: Place
    final: Place
    halted: str | None


_CURSOR = text("SELECT number, hash, finalized_number, finalized_hash, halted FROM chain_cursors WHERE chain_id = :chain_id")
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
    )


async def read_blocks(connection: AsyncConnection, *, chain_id: int, most: int) -> list[Place]:
    """The stored blocks up to number `most`, oldest first: from the last final one to the last one scanned."""
    rows = await connection.execute(_BLOCKS, {"chain_id": chain_id, "most": most})
    return [Place(number=row.number, hash=row.hash) for row in rows]


async def read_block(connection: AsyncConnection, *, chain_id: int, number: int) -> Place | None:
    """One stored block. Every number between the last final and the last scanned block has one."""
    row = (await connection.execute(_BLOCK, {"chain_id": chain_id, "number": number})).one_or_none()
    return None if row is None else Place(number=row.number, hash=row.hash)


async def which_are_ours(connection: AsyncConnection, *, addresses: Collection[str]) -> set[str]:
    """Those of `addresses` (lower-case) that we watch."""
    return set((await connection.execute(_OURS, {"addresses": list(addresses)})).scalars())
