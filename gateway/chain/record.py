"""Writes of the watcher. Each compares the cursor with what the caller saw and raises `Overtaken` if another moved it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.logs import Transfer
from gateway.chain.models import ChainBlock
from gateway.chain.queries import Cursor
from gateway.chain.reorg import Place
from gateway.chain.wire import Header, NodeFault
from gateway.db.session import WAKE_CHANNEL, quick, wake
from gateway.money import Asset


class Overtaken(Exception):
    """Another watcher has moved the cursor since it was read. The caller's transaction has to be rolled back."""


class UnsettledDeposit(NodeFault):
    """A log can't be written over the deposit that has its identity: that one stands, or an order still counts on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What a step found: the cursor goes to `at`, all up to `final` can't change any more."""

    at: Place
    final: Place
    blocks: Sequence[Header]
    """Blocks to keep for finding reorganisations; every one above `final` has to be here or stored already."""
    transfers: Sequence[Transfer] = ()
    times: Mapping[int, datetime]
    """Time of each block that `transfers` name."""


_START = text("""
INSERT INTO chain_cursors (chain_id, number, hash, finalized_number, finalized_hash, halted, updated_at)
VALUES (:chain_id, :number, :hash, :number, :hash, NULL, :now) ON CONFLICT (chain_id) DO NOTHING
""")
# The row lock makes two watchers queue here; the second then finds the cursor elsewhere.
_MOVE = text("""
UPDATE chain_cursors
SET number = :number, hash = :hash, finalized_number = :final_number, finalized_hash = :final_hash, updated_at = :now
WHERE chain_id = :chain_id AND number = :was_number AND hash = :was_hash AND finalized_number = :was_final
AND halted IS NULL
""")
# One statement, because each costs a way to the server and back. All of it does nothing unless the cursor moves.
# A log whose transaction was mined again has its old identity. It may only change whose or how much it is after the orders
# took note that it was gone; else the old order would wait for ever for what has become another's.
# One that was booked as final and vanished (`gateway.chain.resume`) keeps its status: it has been credited already.
# Columns come as one text each, a value per line: an array's values would be quoted one by one, which took half of the time.
# What has just arrived isn't settled besides: a statement can't change a row twice, and it's the insertion that must fail.
_ADVANCE = text("""
WITH moved AS (
    UPDATE chain_cursors
    SET number = :number, hash = :hash, finalized_number = :final_number, finalized_hash = :final_hash, updated_at = :now
    WHERE chain_id = :chain_id AND number = :was_number AND hash = :was_hash AND finalized_number = :was_final
    AND halted IS NULL
    RETURNING chain_id
), kept AS (
    INSERT INTO chain_blocks (chain_id, number, hash, parent_hash, time)
    SELECT moved.chain_id, b.number, b.hash, b.parent_hash, b.time
    FROM moved, unnest(CAST(:numbers AS bigint[]), CAST(:hashes AS text[]), CAST(:parent_hashes AS text[]),
        CAST(:times AS timestamptz[])) AS b (number, hash, parent_hash, time)
    WHERE b.number >= :final_number
), forgotten AS (
    DELETE FROM chain_blocks USING moved
    WHERE chain_blocks.chain_id = moved.chain_id AND chain_blocks.number < :final_number
), settled AS (
    UPDATE deposits SET status = 'final', updated_at = :now FROM moved
    WHERE deposits.chain_id = moved.chain_id AND status = 'seen' AND block_number <= :final_number
    AND (tx_hash, log_index) NOT IN (
        SELECT * FROM unnest(string_to_array(:tx_hash, E'\\n'), CAST(string_to_array(:log_index, E'\\n') AS integer[]))
    )
    RETURNING 1
), arrived AS (
    INSERT INTO deposits (chain_id, tx_hash, log_index, block_number, block_hash, block_time, asset, sender, address, units,
        status, seen_at, updated_at)
    SELECT moved.chain_id, d.tx_hash, d.log_index, d.block_number, d.block_hash, d.block_time, d.asset, d.sender, d.address,
        d.units, CASE WHEN d.block_number <= :final_number THEN 'final' ELSE 'seen' END, :now, :now
    FROM moved, unnest(string_to_array(:tx_hash, E'\\n'), CAST(string_to_array(:log_index, E'\\n') AS integer[]),
        CAST(string_to_array(:block_number, E'\\n') AS bigint[]), string_to_array(:block_hash, E'\\n'),
        CAST(string_to_array(:block_time, E'\\n') AS timestamptz[]), string_to_array(:asset, E'\\n'),
        string_to_array(:sender, E'\\n'), string_to_array(:address, E'\\n'),
        CAST(string_to_array(:units, E'\\n') AS numeric[]))
        AS d (tx_hash, log_index, block_number, block_hash, block_time, asset, sender, address, units)
    ON CONFLICT (chain_id, tx_hash, log_index) DO UPDATE
    SET block_number = excluded.block_number, block_hash = excluded.block_hash, block_time = excluded.block_time,
        asset = excluded.asset, sender = excluded.sender, address = excluded.address, units = excluded.units,
        status = CASE deposits.status WHEN 'final' THEN 'final' ELSE excluded.status END, vanished_at = NULL,
        updated_at = excluded.updated_at
    WHERE deposits.status = 'orphaned' AND deposits.booked IS DISTINCT FROM 'seen'
        OR (deposits.status = 'orphaned' OR deposits.vanished_at IS NOT NULL) AND
        (deposits.asset, deposits.address, deposits.units) = (excluded.asset, excluded.address, excluded.units)
    RETURNING 1
), counted AS (
    SELECT (SELECT count(*) FROM settled) AS settled, (SELECT count(*) FROM arrived) AS arrived FROM moved
)
SELECT settled, arrived, CASE WHEN settled + arrived > 0 THEN pg_notify(:channel, 'deposits') END FROM counted
""")
_HALT = text("""
UPDATE chain_cursors SET halted = :why, updated_at = :now
WHERE chain_id = :chain_id AND number = :was_number AND hash = :was_hash AND finalized_number = :was_final
AND halted IS NULL
""")
_FORGET_ABOVE = text("DELETE FROM chain_blocks WHERE chain_id = :chain_id AND number > :number")

# A final one above the last final block was found again after it had vanished, and vanishes once more.
_ORPHAN = text("""
UPDATE deposits SET updated_at = :now,
    status = CASE status WHEN 'seen' THEN 'orphaned' ELSE status END,
    vanished_at = CASE status WHEN 'final' THEN CAST(:now AS timestamptz) END
WHERE chain_id = :chain_id AND status <> 'orphaned' AND block_number > :number
""")


async def start_cursor(connection: AsyncConnection, *, chain_id: int, header: Header, now: datetime) -> None:
    """Put the first cursor on a final block. Raises `Overtaken` if there is one already."""
    place = {"chain_id": chain_id, "number": header.number, "hash": header.hash, "now": now}
    await _changed(connection, _START, place)
    row = {"number": header.number, "hash": header.hash, "parent_hash": header.parent_hash, "time": header.time}
    await connection.execute(insert(ChainBlock), [{"chain_id": chain_id, **row}])


async def write_scanned(
    connection: AsyncConnection, *, chain_id: int, was: Cursor, scanned: Scanned, assets: Mapping[str, Asset], now: datetime
) -> int:
    """Move the cursor, with blocks and deposits. `assets` by token address. Returns how many deposits changed.

    Raises `Overtaken` and `UnsettledDeposit`.
    """
    values = {**_was(chain_id, was), **_to(scanned.at, scanned.final, now), **_blocks(scanned), **_deposits(scanned, assets)}
    done = await quick(connection, _ADVANCE, {**values, "channel": WAKE_CHANNEL})
    if done is None:
        raise Overtaken
    settled, arrived, _ = done
    if arrived < len(scanned.transfers):
        raise UnsettledDeposit(
            f"{len(scanned.transfers) - arrived} of {len(scanned.transfers)} deposits up to block {scanned.at.number} "
            "are there already: in the chain, or counted by an order that has yet to learn that they were gone"
        )
    return int(settled + arrived)


async def rewind(connection: AsyncConnection, *, chain_id: int, was: Cursor, ancestor: Place, now: datetime) -> int:
    """Take the cursor back; deposits of the blocks that vanished are orphaned. Returns how many. Raises `Overtaken`."""
    await _move(connection, chain_id=chain_id, was=was, at=ancestor, final=was.final, now=now)
    await connection.execute(_FORGET_ABOVE, {"chain_id": chain_id, "number": ancestor.number})
    vanished = {"chain_id": chain_id, "number": ancestor.number, "now": now}
    orphaned = (await connection.execute(_ORPHAN, vanished)).rowcount
    if orphaned:
        await wake(connection, "deposits")
    return orphaned


async def halt(connection: AsyncConnection, *, chain_id: int, was: Cursor, why: str, now: datetime) -> None:
    """Stop the chain until a person clears it. Raises `Overtaken`."""
    await _changed(connection, _HALT, {**_was(chain_id, was), "why": why, "now": now})


def _was(chain_id: int, was: Cursor) -> dict[str, object]:
    return {"chain_id": chain_id, "was_number": was.at.number, "was_hash": was.at.hash, "was_final": was.final.number}


def _to(at: Place, final: Place, now: datetime) -> dict[str, object]:
    return {"number": at.number, "hash": at.hash, "final_number": final.number, "final_hash": final.hash, "now": now}


async def _move(connection: AsyncConnection, *, chain_id: int, was: Cursor, at: Place, final: Place, now: datetime) -> None:
    await _changed(connection, _MOVE, {**_was(chain_id, was), **_to(at, final, now)})


async def _changed(connection: AsyncConnection, statement: TextClause, parameters: Mapping[str, object]) -> None:
    if (await connection.execute(statement, parameters)).rowcount == 0:
        raise Overtaken


def _blocks(scanned: Scanned) -> dict[str, object]:
    return {
        "numbers": [header.number for header in scanned.blocks],
        "hashes": [header.hash for header in scanned.blocks],
        "parent_hashes": [header.parent_hash for header in scanned.blocks],
        "times": [header.time for header in scanned.blocks],
    }


def _deposits(scanned: Scanned, assets: Mapping[str, Asset]) -> dict[str, object]:
    transfers = scanned.transfers
    codes = {token: asset.code for token, asset in assets.items()}
    times = {number: time.isoformat() for number, time in scanned.times.items()}
    columns = {
        "tx_hash": [t.tx_hash for t in transfers],
        "log_index": [str(t.log_index) for t in transfers],
        "block_number": [str(t.block_number) for t in transfers],
        "block_hash": [t.block_hash for t in transfers],
        "block_time": [times[t.block_number] for t in transfers],
        "asset": [codes[t.token] for t in transfers],
        "sender": [t.sender for t in transfers],
        "address": [t.recipient for t in transfers],
        "units": [str(t.units) for t in transfers],
    }
    return {name: "\n".join(values) for name, values in columns.items()}
