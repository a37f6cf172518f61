"""Go on with a chain that halted, because a block that was final isn't what it was: a person's decision.

The cursor goes back to a block that a quorum has and that lies below all that changed: the newest one with a deposit of
ours that still stands. From there the watcher finds again what is in the chain now. Deposits above it that weren't booked as
final are orphaned like after any reorganisation. Those that were booked are not taken from anybody in silence: each keeps
its booking, is marked as vanished and opens an incident; orders that can still be stopped are held by the caller's `stop`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain import queries
from gateway.chain.queries import Cursor
from gateway.chain.quorum import Quorum
from gateway.chain.reorg import Place, find_ancestor
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import Header, NodeFault
from gateway.clock import Clock
from gateway.db.session import reading, transaction, wake
from gateway.errors import Refusal
from gateway.operators.actions import record_action
from gateway.operators.incidents import Alarm, open_incidents

PLACES_MOST = 10_000
"""Blocks with deposits among which the newest unchanged one is looked for."""
FINAL_VANISHED = "final_deposit_vanished"
"""Kind of the incident of a deposit that was booked as final."""
BACK = 10_000
"""How far to go back below what was final if there is no deposit to go by, in blocks."""


class NotHalted(Refusal):
    """There is nothing to clear."""

    code = "chain_not_halted"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} isn't halted; `lastmile chain status` says how it does")


class AnotherChain(Refusal):
    """The providers don't know anything that we have seen."""

    code = "another_chain"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"none of the last {PLACES_MOST} blocks with deposits on {name} is in the providers' chain: "
            "compare their chain with others, and correct rpc"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """A deposit that was booked as final and isn't known to be in the chain any more."""

    chain_id: int
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    owner: str
    """The order that it was made for."""
    asset: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What was found and done."""

    was: Place
    """The last block that we held final."""
    now: Place
    """What a quorum has there now."""
    anchor: Place
    """From where the chain is scanned again."""
    orphaned: int
    vanished: tuple[Vanished, ...]


Stop = Callable[[AsyncConnection, Sequence[Vanished]], Awaitable[None]]
"""Holds the orders that relied on deposits which vanished, in the transaction that it is given."""

_PLACES = text("""
SELECT block_number AS number, block_hash AS hash FROM deposits
WHERE chain_id = :chain_id AND block_number <= :most AND status = 'final' AND vanished_at IS NULL
GROUP BY 1, 2 ORDER BY 1 DESC LIMIT :limit
""")
_CLEAR = text("""
UPDATE chain_cursors SET number = :number, hash = :hash, finalized_number = :number, finalized_hash = :hash,
    halted = NULL, waiting = NULL, updated_at = :now
WHERE chain_id = :chain_id AND halted = :halted AND number = :was_number AND hash = :was_hash
""")
_GO_ON = text("""
UPDATE chain_cursors SET halted = NULL, waiting = NULL, updated_at = :now
WHERE chain_id = :chain_id AND halted = :halted AND number = :was_number AND hash = :was_hash
""")
_FORGET = text("DELETE FROM chain_blocks WHERE chain_id = :chain_id")
_KEEP = text("""
INSERT INTO chain_blocks (chain_id, number, hash, parent_hash, time) VALUES (:chain_id, :number, :hash, :parent_hash, :time)
""")
_ORPHAN = text("""
UPDATE deposits SET status = 'orphaned', updated_at = :now
WHERE chain_id = :chain_id AND block_number > :number
AND (status = 'seen' OR (status = 'final' AND booked IS DISTINCT FROM 'final'))
""")
_VANISH = text("""
UPDATE deposits SET vanished_at = :now, updated_at = :now FROM deposit_addresses AS a
WHERE a.address = deposits.address AND chain_id = :chain_id AND block_number > :number AND status = 'final'
AND vanished_at IS NULL
RETURNING chain_id, tx_hash, log_index, block_number, block_hash, owner, asset, units
""")


async def resume(
    *, terms: ChainTerms, quorum: Quorum, engine: AsyncEngine, clock: Clock, operator: str, reason: str, stop: Stop
) -> Resumed:
    """Clear the halt of a chain, on the word of `operator`.

    Raises `NotHalted` (also if somebody else was quicker), `AnotherChain`, `UnknownOperator` and `ReasonMissing`, and
    `NodeFault` if too few providers agree. Nothing has changed then.
    """
    async with reading(engine) as connection:
        cursor = await queries.read_cursor(connection, chain_id=terms.chain_id)
    if cursor is None or cursor.halted is None:
        raise NotHalted(terms.name)
    if (await quorum.ends(beyond=0, final=cursor.final.number - 1)).final < cursor.final.number:
        raise NodeFault(f"the providers don't call block {cursor.final.number} final yet: wait until they do.")
    now_there = await _header(quorum, cursor.final.number)
    same = now_there.hash == cursor.final.hash
    anchor = now_there if same else await _anchor(terms, quorum, engine, most=cursor.final.number)
    async with transaction(engine) as connection:
        now = clock()
        orphaned, vanished = await _clear(connection, terms, cursor, None if same else anchor, now)
        await stop(connection, vanished)
        await record_action(
            connection,
            operator=operator,
            action="chain.resume",
            subject=f"chain:{terms.chain_id}",
            reason=reason,
            now=now,
            detail={
                "was_final": f"{cursor.final.number} {cursor.final.hash}",
                "is_now": f"{now_there.number} {now_there.hash}",
                "goes_on_after": f"{anchor.number} {anchor.hash}",
                "vanished": str(len(vanished)),
            },
        )
        await wake(connection, "deposits")
    return Resumed(was=cursor.final, now=_place(now_there), anchor=_place(anchor), orphaned=orphaned, vanished=vanished)


async def _anchor(terms: ChainTerms, quorum: Quorum, engine: AsyncEngine, *, most: int) -> Header:
    """A final block below all that changed: the newest one with a deposit that a quorum has unchanged."""
    values = {"chain_id": terms.chain_id, "most": most, "limit": PLACES_MOST}
    async with reading(engine) as connection:
        rows = (await connection.execute(_PLACES, values)).all()
    search = find_ancestor([Place(number=row.number, hash=row.hash) for row in reversed(rows)])
    try:
        number = next(search)
        while True:
            number = search.send((await _header(quorum, number)).hash)
    except StopIteration as end:
        ancestor: Place | None = end.value
    if ancestor is not None:
        return await _header(quorum, ancestor.number)
    if len(rows) == PLACES_MOST:
        raise AnotherChain(terms.name)
    lowest = min([most, *(row.number - 1 for row in rows)])
    return await _header(quorum, max(lowest - BACK, (terms.start_block or 1) - 1, 0))


async def _clear(
    connection: AsyncConnection, terms: ChainTerms, cursor: Cursor, anchor: Header | None, now: datetime
) -> tuple[int, tuple[Vanished, ...]]:
    """Let the watcher go on, from `anchor` if there is one. Returns how many deposits are orphaned, and which vanished."""
    was = {"chain_id": terms.chain_id, "halted": cursor.halted, "now": now}
    was |= {"was_number": cursor.at.number, "was_hash": cursor.at.hash}
    place = {} if anchor is None else {"number": anchor.number, "hash": anchor.hash}
    if (await connection.execute(_GO_ON if anchor is None else _CLEAR, {**was, **place})).rowcount == 0:
        raise NotHalted(terms.name)
    if anchor is None:
        return 0, ()
    await connection.execute(_FORGET, {"chain_id": terms.chain_id})
    kept = {"parent_hash": anchor.parent_hash, "time": anchor.time}
    await connection.execute(_KEEP, {"chain_id": terms.chain_id, **place, **kept})
    above = {"chain_id": terms.chain_id, "number": anchor.number, "now": now}
    orphaned = (await connection.execute(_ORPHAN, above)).rowcount
    rows = await connection.execute(_VANISH, above)
    vanished = tuple(Vanished(**{**row._asdict(), "units": int(row.units)}) for row in rows)
    await open_incidents(connection, alarms=[_alarm(deposit) for deposit in vanished], now=now)
    return orphaned, vanished


def _alarm(deposit: Vanished) -> Alarm:
    identity = f"deposit:{deposit.chain_id}:{deposit.tx_hash}:{deposit.log_index}"
    return Alarm(
        cause=f"{identity}:vanished:{deposit.block_hash}",
        kind=FINAL_VANISHED,
        order_id=deposit.owner,
        detail={
            "deposit": identity,
            "asset": deposit.asset,
            "units": str(deposit.units),
            "block": f"{deposit.block_number} {deposit.block_hash}",
        },
    )


async def _header(quorum: Quorum, number: int) -> Header:
    return await quorum.decide(lambda provider: provider.node.header(number), what=f"block {number}")


def _place(header: Header) -> Place:
    return Place(number=header.number, hash=header.hash)
