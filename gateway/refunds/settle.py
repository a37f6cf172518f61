"""What became of the transactions of refunds: the refund's outcome, the order's step, the ledger, as one set at once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.accounts import Receipt, look, read_receipts
from gateway.chain.quorum import Quorum
from gateway.chain.transactions import Result, TransactionState, results
from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.advance import Move, advance
from gateway.orders.postings import REFUND
from gateway.orders.states import E
from gateway.refunds.order import Of
from gateway.refunds.send import SET, next_look, overdue
from gateway.refunds.transfers import arrived

ReadReceipts = Callable[[Sequence[str]], Awaitable[Sequence[Receipt | None]]]
"""The receipts of these transaction hashes, as enough nodes give them; None: in no block."""

PENDING, UNKNOWN, PAID, FAILED = "pending", "unknown", "paid", "failed"
OUTCOMES: Mapping[TransactionState, str] = {
    TransactionState.QUEUED: PENDING,
    TransactionState.SENDING: PENDING,
    TransactionState.MINED: PENDING,
    TransactionState.SUCCEEDED: PAID,
    TransactionState.REVERTED: FAILED,
    TransactionState.DISPLACED: FAILED,
    TransactionState.REFUSED: FAILED,
}
"""The outcome that a transaction's state means. A transaction that nobody knows of means unknown, and stays open."""
WHY = {
    TransactionState.REVERTED: "the transfer was refused on the chain",
    TransactionState.DISPLACED: "another transaction of the wallet took its place, so it can never happen",
    TransactionState.REFUSED: "the transfer would have been refused on the chain, so it was not sent",
}
NOT_FOUND = "the transaction of this refund is missing in our books; find out what the wallet sent before anything else"
NOTHING_MOVED = "the token took the transfer without moving anything"
KEPT = "the token kept a part of what was sent; the evidence says what arrived"
HELD_BECAUSE = "refund_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """An open refund and what is known of it now."""

    row: Row[tuple[Any, ...]]
    result: Result | None
    outcome: str
    """In the words of a payout."""
    note: str | None
    """Why it waits or failed, or what is to be known of it."""
    arrived: int | None = None
    """Smallest units that the address got, where they can be counted."""

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.outcome in (PAID, FAILED)

    @property
    def cause(self) -> str:
        """Of the step or the entry that it makes."""
        return f"refund:{self.row.id}:{self.outcome}"

    @property
    def money(self) -> Money:
        """What left the wallet, if it was paid."""
        return Money(int(self.row.units), Asset(self.row.asset, self.row.decimals))


_DUE = """
SELECT r.*, s.decimals FROM refunds AS r JOIN orders AS o ON o.id = r.order_id JOIN assets AS s ON s.code = r.asset
WHERE r.chain_id = :chain_id AND r.outcome IN ('pending', 'unknown') AND r.due_at <= :now
ORDER BY o.id LIMIT :most
"""
_LOOK = text(_DUE)
# Orders are locked with their refunds, in the order of their ids, as everywhere.
_CLAIM = text(f"{_DUE} FOR UPDATE OF o, r SKIP LOCKED")
_WRITE = text("""
UPDATE refunds AS r SET outcome = n.outcome, note = n.note, tx_hash = n.tx_hash, evidence = n.evidence, due_at = n.due_at,
    updated_at = :now, closed_at = CASE WHEN n.due_at IS NULL THEN CAST(:now AS timestamptz) END
FROM jsonb_to_recordset(CAST(:news AS jsonb))
    AS n (id text, outcome text, note text, tx_hash text, evidence jsonb, due_at timestamptz)
WHERE r.id = n.id
""")


def receipts_from(quorum: Quorum, *, address: str) -> ReadReceipts:
    """Receipts as enough nodes of `quorum` give them. `address`: the wallet's that sends."""

    async def read(hashes: Sequence[str]) -> Sequence[Receipt | None]:
        sight = await look(quorum, address=address)
        return await read_receipts(quorum, hashes=hashes, sight=sight)

    return read


async def settle_refunds(engine: AsyncEngine, *, chain_id: int, read: ReadReceipts, clock: Clock) -> int:
    """Take note of what became of one set of a chain's refunds. Returns how many were closed.

    Paid only when the transfer is final and its token says that it moved something. Failed only when it provably never took
    effect; then an order's own money is held again, and the refund may be ordered anew. All else stays open. Raises what
    `read` raises (`NodeFault`), with nothing written.
    """
    due = {"chain_id": chain_id, "now": clock(), "most": SET}
    async with reading(engine) as connection:
        known = await _results(connection, (await connection.execute(_LOOK, due)).all())
    final = [result.hash for row, result in known if row.token and result and result.hash and _succeeded(result)]
    receipts = dict(zip(final, await read(final) if final else (), strict=True))
    now = clock()
    async with transaction(engine, point="settle.record") as connection:
        rows = (await connection.execute(_CLAIM, {**due, "now": now})).all()
        news = [_judged(row, result, receipts) for row, result in await _results(connection, rows)]
        return await _record(connection, news, now=now)


async def _results(
    connection: AsyncConnection, rows: Sequence[Row[tuple[Any, ...]]]
) -> list[tuple[Row[tuple[Any, ...]], Result | None]]:
    found = await results(connection, references=[row.id for row in rows]) if rows else {}
    return [(row, found.get(row.id)) for row in rows]


def _succeeded(result: Result) -> bool:
    return result.state is TransactionState.SUCCEEDED


def _judged(row: Row[tuple[Any, ...]], result: Result | None, receipts: Mapping[str, Receipt | None]) -> _News:
    if result is None:
        return _News(row=row, result=None, outcome=UNKNOWN, note=NOT_FOUND)
    if row.token is None or not _succeeded(result):
        why = ": ".join(part for part in (WHY.get(result.state), result.reason) if part)
        return _News(row=row, result=result, outcome=OUTCOMES[result.state], note=why or None)
    receipt = receipts.get(result.hash or "")
    if receipt is None:  # it was decided after we looked
        return _News(row=row, result=result, outcome=PENDING, note=None)
    units = arrived(receipt, token=row.token, address=row.address)
    note = None if units >= row.units else KEPT if units else NOTHING_MOVED
    return _News(row=row, result=result, outcome=PAID if units else FAILED, note=note, arrived=units)


async def _record(connection: AsyncConnection, news: Collection[_News], *, now: datetime) -> int:
    if not news:
        return 0
    await connection.execute(_WRITE, {"now": now, "news": json.dumps([_written(item, now=now) for item in news])})
    closed = [item for item in news if item.closed]
    # At most one of an order's refunds is of its own money: one move per order.
    moves = [_move(item) for item in closed if item.row.taken_from == Of.FUNDS]
    await advance(connection, moves=moves, now=now, locked=True)
    entries = [_entry(item) for item in closed if item.row.taken_from == Of.UNALLOCATED]
    await post(connection, entries=entries, now=now)
    waiting = [item.row for item in news if not item.closed]
    wrong = [_alarm(item) for item in news if item.outcome in (UNKNOWN, FAILED)]
    await open_incidents(connection, alarms=[*overdue(waiting, now=now), *wrong], now=now)
    return len(closed)


def _written(item: _News, *, now: datetime) -> dict[str, object]:
    facts: dict[str, object] = {"arrived": item.arrived}
    if item.result is not None:
        facts["transaction"] = item.result.hash
        facts["state"] = item.result.state
        facts["block"] = item.result.block_number
        facts["fee_wei"] = item.result.fee_units
    return {
        "id": item.row.id,
        "outcome": item.outcome,
        "note": item.note,
        "tx_hash": item.result and item.result.hash,
        "evidence": {name: str(fact) for name, fact in facts.items() if fact is not None},
        "due_at": None if item.closed else next_look(item.row.created_at, now=now).isoformat(),
    }


def _move(item: _News) -> Move:
    row = item.row
    data = {"refund": row.id, "units": str(item.money.units), "wallet": row.wallet}
    if item.outcome == PAID:
        return Move(order_id=row.order_id, event=E.REFUND_FINAL, cause=item.cause, data=data)
    data = {**data, "reason": HELD_BECAUSE, "note": item.note}
    return Move(order_id=row.order_id, event=E.REFUND_FAILED, cause=item.cause, data=data)


def _entry(item: _News) -> Entry:
    row, own = item.row, f"order:{item.row.order_id}"
    paid = item.outcome == PAID
    template = "unallocated_refund_settled" if paid else "unallocated_refund_released"
    to = row.wallet if paid else f"{own}:{Of.UNALLOCATED}"
    return Entry(item.cause, template, (Transfer(f"{own}:{REFUND}", to, item.money),), row.order_id)


def _alarm(item: _News) -> Alarm:
    row = item.row
    detail = {"refund": row.id, "owner": row.owner, "why": item.note or ""}
    return Alarm(item.cause, f"refund_{item.outcome}", row.order_id, detail)
