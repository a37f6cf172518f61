"""Book deposits: what the chain saw becomes steps of orders and money on the ledger. Nothing that arrived is dropped.

Deposits of a frozen asset are booked like others, but their orders are held: what the coins are worth, and whether they can
be moved, is for a person to say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction, wake
from gateway.ledger.freezes import frozen as frozen_assets
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.orders.advance import Advanced, Move, Verdict, advance
from gateway.orders.states import E, S
from gateway.pricing.exposure import money_arrived
from gateway.pricing.rule import RULE, Cause, Stage, Treatment

SET = 100
"""Deposits booked in one transaction."""

UNDERPAID, FROZEN, DEPEGGED = "underpaid", "frozen", "depegged"
"""Reasons of holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A deposit whose status has changed since it was last booked."""

    chain_id: int
    tx_hash: str
    log_index: int
    block_hash: str
    block_time: datetime
    amount: Money
    status: str
    booked: str | None
    stopped: bool = False
    """Its coin was stopped when it came: it has lost its peg, or a person has stopped it (`gateway.pricing.rule`)."""

    @property
    def cause(self) -> str:
        """The deposit's identity as a cause."""
        return f"deposit:{self.chain_id}:{self.tx_hash}:{self.log_index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an order is owed and has, as far as its deposits go."""

    order_id: str
    state: S
    due: Money
    """What its quote asks for."""
    has: Money
    """Final deposits that count for it."""
    expires_at: datetime
    live: int
    """Its deposits in the quoted asset that are in the chain, final or not."""
    held_for: str | None = None
    """The reason of its last hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What to write for one sighting: steps in this order, and entries beside them."""

    moves: tuple[Move, ...] = ()
    entries: tuple[Entry, ...] = ()
    after: Standing


def book(standing: Standing, seen: Sighting, *, least: Money | None, frozen: bool, now: datetime) -> Booking:
    """Decide about one deposit, without I/O. `frozen`: nothing new is done with its asset.

    A deposit counts for the order if it is in the quoted asset, at least `least` (dust can't move an order) and arrives
    while the order waits for money: the first one, and top-ups of one that was too small. Whether it is in time is judged
    by its block's time. All else is kept for its sender as unallocated.
    """
    counts = seen.amount.asset == standing.due.asset and (least is None or least <= seen.amount)
    if seen.status == "final":
        return _book_final(standing, seen, frozen=frozen, now=now) if counts else _keep(standing, seen)
    if not counts:
        return Booking(after=standing)
    if seen.status == "seen":
        return _book_seen(standing, seen)
    return _book_orphaned(standing, seen)


def _book_seen(standing: Standing, seen: Sighting) -> Booking:
    if standing.state not in (S.AWAITING_DEPOSIT, S.EXPIRED):
        return Booking(after=standing)
    # The block's hash is part of the cause: after a reorganisation the same deposit is seen anew.
    move = Move(order_id=standing.order_id, event=E.DEPOSIT_SEEN, cause=f"{seen.cause}:seen:{seen.block_hash}")
    return Booking(moves=(move,), after=replace(standing, state=S.CONFIRMING))


def _book_orphaned(standing: Standing, seen: Sighting) -> Booking:
    if standing.state is not S.CONFIRMING or standing.live:
        return Booking(after=standing)
    move = Move(
        order_id=standing.order_id,
        event=E.DEPOSIT_DROPPED,
        cause=f"{seen.cause}:dropped:{seen.block_hash}",
        due_at=standing.expires_at,
    )
    return Booking(moves=(move,), after=replace(standing, state=S.AWAITING_DEPOSIT))


def _book_final(standing: Standing, seen: Sighting, *, frozen: bool, now: datetime) -> Booking:
    first = _book_seen(standing, seen)
    standing = first.after
    in_time = seen.block_time < standing.expires_at
    if standing.state is S.CONFIRMING:
        reason = _why_held(standing, seen, frozen=frozen, in_time=in_time)
        return _judge_first(standing, seen, first.moves, reason=reason, now=now)
    if standing.state is S.HELD and in_time and standing.has.units < standing.due.units:
        return _top_up(standing, seen, frozen=frozen, now=now)
    return _keep(standing, seen)


def _why_held(standing: Standing, seen: Sighting, *, frozen: bool, in_time: bool) -> str | None:
    """Why the first deposit doesn't fund the order; None: it does."""
    if frozen:
        return FROZEN
    if not in_time:
        return "late"
    if seen.amount < standing.due:
        return UNDERPAID
    return DEPEGGED if _is_held(seen) else None


def _is_held(seen: Sighting) -> bool:
    return seen.stopped and RULE[Cause.COIN, Stage.AWAITING_DEPOSIT].treatment is Treatment.HELD


def _judge_first(
    standing: Standing, seen: Sighting, before: tuple[Move, ...], *, reason: str | None, now: datetime
) -> Booking:
    funds = min(standing.due, seen.amount)
    data = {
        "funds": str(funds.units),
        "unallocated": str((seen.amount - funds).units),
        "deposit": seen.cause,
    }
    if reason is None:
        event, state, due_at = E.DEPOSIT_FINAL, S.FUNDED, now
    else:
        data["reason"] = reason
        event, state, due_at = E.DEPOSIT_MISMATCHED, S.HELD, None
    move = Move(order_id=standing.order_id, event=event, cause=f"{seen.cause}:final", data=data, due_at=due_at)
    return Booking(moves=(*before, move), after=replace(standing, state=state, has=funds, held_for=reason))


def _top_up(standing: Standing, seen: Sighting, *, frozen: bool, now: datetime) -> Booking:
    missing = standing.due - standing.has
    funds = min(missing, seen.amount)
    chain, own = f"chain:{seen.chain_id}", f"order:{standing.order_id}"
    entry = Entry(
        seen.cause,
        "top_up_received",
        (Transfer(chain, f"{own}:funds", funds), Transfer(chain, f"{own}:unallocated", seen.amount - funds)),
        standing.order_id,
    )
    after = replace(standing, has=standing.has + funds)
    # Only what was held for too little goes on by itself; from every other hold a person leads.
    if after.has < after.due or standing.held_for != UNDERPAID:
        return Booking(entries=(entry,), after=after)
    lift = Move(order_id=standing.order_id, event=E.HOLD_LIFTED, cause=f"{seen.cause}:topped_up", due_at=now)
    if not frozen and not _is_held(seen):
        return Booking(moves=(lift,), entries=(entry,), after=replace(after, state=S.FUNDED))
    # Whole now, and held again in the same transaction: its reason is another one.
    reason = FROZEN if frozen else DEPEGGED
    hold = hold_frozen(standing.order_id, cause=f"{seen.cause}:{reason}", reason=reason)
    return Booking(moves=(lift, hold), entries=(entry,), after=replace(after, held_for=reason))


def hold_frozen(order_id: str, *, cause: str, reason: str = FROZEN) -> Move:
    """The step that holds a funded order because its asset is frozen, or has lost its peg."""
    return Move(order_id=order_id, event=E.HOLD_PLACED, cause=cause, data={"reason": reason})


def _keep(standing: Standing, seen: Sighting) -> Booking:
    transfer = Transfer(f"chain:{seen.chain_id}", f"order:{standing.order_id}:unallocated", seen.amount)
    return Booking(entries=(Entry(seen.cause, "unallocated", (transfer,), standing.order_id),), after=standing)


_CLAIM = text("""
SELECT chain_id, tx_hash, log_index, owner AS order_id
FROM deposits JOIN deposit_addresses USING (address)
WHERE booked IS DISTINCT FROM status
ORDER BY block_number, log_index
LIMIT :most
FOR UPDATE OF deposits SKIP LOCKED
""")
_LOCK_ORDERS = text("SELECT FROM orders WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
# Read after the locks are held, so that nothing here can change under our hands.
_READ = text("""
SELECT d.*, o.id AS order_id, o.state, q.send_asset, q.send_units, q.expires_at,
    a.decimals, send.decimals AS send_decimals,
    COALESCE((SELECT funds FROM order_balances WHERE order_id = o.id AND asset = q.send_asset), 0) AS has,
    (SELECT count(*) FROM deposits AS l
     WHERE l.address = d.address AND l.asset = q.send_asset AND l.status <> 'orphaned') AS live,
    CASE WHEN o.state = 'held' THEN (SELECT e.data ->> 'reason' FROM order_events AS e
     WHERE e.order_id = o.id AND e.to_state = 'held' ORDER BY e.version DESC LIMIT 1) END AS held_for,
    EXISTS (SELECT FROM market_stops AS m WHERE m.lifted_at IS NULL AND m.breaker IN ('depeg', 'by_hand')
     AND m.subject = split_part(d.asset, '@', 1) AND m.since <= d.block_time) AS stopped
FROM deposits AS d
JOIN deposit_addresses AS w USING (address)
JOIN orders AS o ON o.id = w.owner
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS a ON a.code = d.asset
JOIN assets AS send ON send.code = q.send_asset
WHERE (d.chain_id, d.tx_hash, d.log_index) IN (
    SELECT * FROM unnest(CAST(:chains AS bigint[]), CAST(:hashes AS text[]), CAST(:indexes AS integer[])))
ORDER BY d.block_number, d.log_index
""")
_BOOKED = text("""
UPDATE deposits SET booked = b.status FROM unnest(
    CAST(:chains AS bigint[]), CAST(:hashes AS text[]), CAST(:indexes AS integer[]), CAST(:statuses AS text[])
) AS b (chain_id, tx_hash, log_index, status)
WHERE (deposits.chain_id, deposits.tx_hash, deposits.log_index) = (b.chain_id, b.tx_hash, b.log_index)
""")


async def book_deposits(engine: AsyncEngine, *, least: Mapping[str, Money], now: datetime) -> int:
    """Book one set of deposits. `least` gives the smallest amount that counts, per asset code. Returns how many."""
    async with transaction(engine, point="deposits.book") as connection:
        claimed = (await connection.execute(_CLAIM, {"most": SET})).all()
        if not claimed:
            return 0
        await connection.execute(_LOCK_ORDERS, {"ids": sorted({row.order_id for row in claimed})})
        keys = {
            "chains": [row.chain_id for row in claimed],
            "hashes": [row.tx_hash for row in claimed],
            "indexes": [row.log_index for row in claimed],
        }
        rows = (await connection.execute(_READ, keys)).all()
        bookings = _book_all(rows, least=least, frozen=await frozen_assets(connection), now=now)
        # Money first: a top-up has to be there before the step that relies on it.
        await post(connection, entries=[entry for booking in bookings for entry in booking.entries], now=now)
        advanced = []
        for wave in _waves(move for booking in bookings for move in booking.moves):
            advanced += await advance(connection, moves=wave, now=now)
        await _free_promises(connection, advanced, now=now)
        await connection.execute(_BOOKED, {**_keys(rows), "statuses": [row.status for row in rows]})
        await wake(connection, "orders")
        return len(rows)


async def _free_promises(connection: AsyncConnection, advanced: Iterable[Advanced], *, now: datetime) -> None:
    """Who has paid isn't promised anything any more, until a reorganisation takes the money back."""
    came: Counter[str] = Counter()
    for one in advanced:
        if one.verdict is Verdict.STEPPED:
            came[one.move.order_id] += (one.move.event is E.DEPOSIT_SEEN) - (one.move.event is E.DEPOSIT_DROPPED)
    arrived, dropped = [one for one in came if came[one] > 0], [one for one in came if came[one] < 0]
    await money_arrived(connection, arrived=arrived, dropped=dropped, now=now)


def _keys(rows: Sequence[Row[tuple[object, ...]]]) -> dict[str, list[object]]:
    return {
        "chains": [row.chain_id for row in rows],
        "hashes": [row.tx_hash for row in rows],
        "indexes": [row.log_index for row in rows],
    }


def _book_all(
    rows: Sequence[Row[tuple[object, ...]]], *, least: Mapping[str, Money], frozen: Collection[str], now: datetime
) -> list[Booking]:
    standings: dict[str, Standing] = {}
    bookings = []
    for row in rows:
        standing = standings.get(row.order_id) or _standing(row)
        seen = _sighting(row)
        code = seen.amount.asset.code
        booking = book(standing, seen, least=least.get(code), frozen=code in frozen, now=now)
        standings[row.order_id] = booking.after
        bookings.append(booking)
    return bookings


def _standing(row: Row[tuple[object, ...]]) -> Standing:
    asset = Asset(row.send_asset, row.send_decimals)
    return Standing(
        order_id=row.order_id,
        state=S(row.state),
        due=Money(int(row.send_units), asset),
        has=Money(int(row.has), asset),
        expires_at=row.expires_at,
        live=row.live,
        held_for=row.held_for,
    )


def _sighting(row: Row[tuple[object, ...]]) -> Sighting:
    return Sighting(
        chain_id=row.chain_id,
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        block_hash=row.block_hash,
        block_time=row.block_time,
        amount=Money(int(row.units), Asset(row.asset, row.decimals)),
        status=row.status,
        booked=row.booked,
        stopped=row.stopped,
    )


def _waves(moves: Iterable[Move]) -> list[list[Move]]:
    """Moves in sets with at most one per order, each order's in its own sequence."""
    waves: defaultdict[int, list[Move]] = defaultdict(list)
    taken: defaultdict[str, int] = defaultdict(int)
    for move in moves:
        waves[taken[move.order_id]].append(move)
        taken[move.order_id] += 1
    return [waves[number] for number in sorted(waves)]
