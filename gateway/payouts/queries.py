"""Reads: the outside's view of orders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from eth_utils.address import to_checksum_address
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.offramp import Outcome
from gateway.orders.postings import FUNDS
from gateway.orders.recipients import masked, masked_name
from gateway.orders.states import S
from gateway.payouts.redirect import ANSWERABLE
from gateway.payouts.tracking import Facts, progress
from gateway.payouts.views import AttemptView, DepositView, OrderView, PastStep, PickupView, RefundView, WayView
from gateway.pricing.drops import next_drop

_ORDER = text("""
SELECT o.*, COALESCE(w.address, o.refund_address) AS confirmed_address,
    q.chain_id, q.send_asset, q.send_units, q.receive_asset, q.receive_units, q.country, q.method, q.expires_at,
    send.decimals AS send_decimals, receive.decimals AS receive_decimals, r.name,
    COALESCE((SELECT unallocated FROM order_balances WHERE order_id = o.id AND asset = q.send_asset), 0) AS unallocated,
    COALESCE((SELECT sum(p.units) FROM postings AS p
              WHERE p.order_id = o.id
              AND p.template IN ('deposit_received', 'top_up_received', 'requote_credited', 'credit_applied')
              AND p.destination = 'order:' || o.id || '\\:funds'), 0) AS received,
    (SELECT data ->> 'reason' FROM order_events AS e WHERE e.order_id = o.id AND e.to_state = 'held'
     ORDER BY e.version DESC LIMIT 1) AS hold_reason,
    q.speed, q.drop_every_s, q.delivery_p95_s,
    COALESCE((SELECT units FROM owed_to_recipients WHERE order_id = o.id AND asset = q.receive_asset), 0) AS owed
FROM orders AS o
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS send ON send.code = q.send_asset
JOIN assets AS receive ON receive.code = q.receive_asset
JOIN recipients AS r ON r.order_id = o.id
LEFT JOIN LATERAL (SELECT address FROM refund_addresses WHERE order_id = o.id ORDER BY id DESC LIMIT 1) AS w ON true
WHERE o.id = :order_id OR o.tracking_token = :tracking_token
""")
_DEPOSITS = text("""
SELECT d.*, a.decimals FROM deposits AS d JOIN assets AS a ON a.code = d.asset
WHERE d.address = :address ORDER BY d.block_number, d.log_index, d.tx_hash LIMIT 100
""")
_REFUNDS = text("""
SELECT r.*, a.decimals FROM refunds AS r JOIN assets AS a ON a.code = r.asset
WHERE r.order_id = :order_id ORDER BY r.id LIMIT 100
""")
_WAYS = text("""
SELECT 0 AS rank, q.method, r.account, false AS given_later
FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id JOIN recipients AS r ON r.order_id = o.id WHERE o.id = :order_id
UNION ALL
SELECT w.rank, w.method, w.account, d.rank IS NOT NULL
FROM recipient_ways AS w LEFT JOIN order_redirects AS d ON d.order_id = w.order_id AND d.rank = w.rank
WHERE w.order_id = :order_id
ORDER BY rank
""")
_ATTEMPTS = text("""
SELECT adapter, way, outcome, fault, receipt, claimed, created_at, closed_at FROM attempts
WHERE order_id = :order_id ORDER BY id DESC LIMIT :most
""")
_PICKUP = text("""
SELECT p.code, p.expires_at, p.place FROM pickups AS p JOIN attempts AS a ON a.id = p.attempt_id
WHERE a.order_id = :order_id AND a.outcome = 'available'
""")
_STEPS = text("SELECT to_state, at FROM order_events WHERE order_id = :order_id ORDER BY version LIMIT 200")


ATTEMPTS_MOST = 20
"""How many of an order's attempts are shown, the latest."""

WAITS_FOR_DROP = frozenset({S.AWAITING_DEPOSIT, S.CONFIRMING, S.FUNDED})
"""States in which an economy order has a drop to wait for."""


async def order_view(
    connection: AsyncConnection,
    *,
    now: datetime,
    order_id: str | None = None,
    tracking_token: str | None = None,
) -> OrderView | None:
    """The view of one order, by its id or by its tracking token; None if there is none."""
    row = (await connection.execute(_ORDER, {"order_id": order_id, "tracking_token": tracking_token})).one_or_none()
    if row is None:
        return None
    deposits = (await connection.execute(_DEPOSITS, {"address": row.deposit_address})).all()
    steps = (await connection.execute(_STEPS, {"order_id": row.id})).all()
    refunds = (await connection.execute(_REFUNDS, {"order_id": row.id})).all()
    ways = (await connection.execute(_WAYS, {"order_id": row.id})).all()
    attempts = (await connection.execute(_ATTEMPTS, {"order_id": row.id, "most": ATTEMPTS_MOST})).all()
    pickup = (await connection.execute(_PICKUP, {"order_id": row.id})).one_or_none()
    parts = _Parts(
        pickup=None if pickup is None else PickupView(code=pickup.code, expires_at=pickup.expires_at, place=pickup.place),
        deposits=tuple(map(_deposit, deposits)),
        steps=tuple(PastStep(state=step.to_state, at=step.at) for step in steps),
        refunds=tuple(map(_refund, refunds)),
        ways=tuple(map(_way, ways)),
        attempts=tuple(_attempt(attempt) for attempt in reversed(attempts)),
    )
    return _view(row, parts, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    deposits: tuple[DepositView, ...]
    steps: tuple[PastStep, ...]
    refunds: tuple[RefundView, ...]
    ways: tuple[WayView, ...]
    attempts: tuple[AttemptView, ...]
    pickup: PickupView | None

    @property
    def latest(self) -> AttemptView | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def redirected(self) -> bool:
        """A way was given after the latest attempt: ranks only grow."""
        tried = self.latest.way if self.latest else 0
        return any(way.given_later and tried < way.rank for way in self.ways)

    @property
    def way(self) -> WayView:
        """The one that counts now: given since the latest attempt, or tried by it."""
        if self.redirected or self.latest is None:
            return self.ways[-1 if self.redirected else 0]
        return next((way for way in self.ways if way.rank == self.latest.way), self.ways[0])


def _facts(row: Row[tuple[object, ...]], parts: _Parts, now: datetime) -> Facts:
    send, receive = Asset(row.send_asset, row.send_decimals), Asset(row.receive_asset, row.receive_decimals)
    latest = parts.latest
    return Facts(
        state=S(row.state),
        hold_reason=row.hold_reason,
        outcome=latest.outcome if latest else None,
        fault=latest.fault if latest else None,
        another_way=any((tried.rail, tried.way) != (latest.rail, latest.way) for tried in parts.attempts if latest),
        redirected=parts.redirected,
        drop_at=_drop_at(row, now),
        owed=Money(int(row.owed), receive) if row.owed else None,
        due=Money(int(row.send_units), send),
        received=Money(int(row.received), send),
        expires_at=row.expires_at,
        recipient=masked_name(row.name),
        receive=Money(int(row.receive_units), receive),
        refund=next((refund for refund in reversed(parts.refunds) if refund.of == FUNDS), None),
    )


def _drop_at(row: Row[tuple[object, ...]], now: datetime) -> datetime | None:
    """The drop with which an economy order goes: the first one from when it is due; from now while its money isn't there."""
    if row.drop_every_s is None or row.state not in WAITS_FOR_DROP:
        return None
    due_at = row.due_at if row.state == S.FUNDED and row.due_at else now
    return next_drop(due_at, every=timedelta(seconds=row.drop_every_s))


def _there_by(row: Row[tuple[object, ...]], parts: _Parts, drop_at: datetime | None, now: datetime) -> datetime | None:
    """When the money is there by what the quote said, from when it was sent, or is to be."""
    if row.delivery_p95_s is None or row.state not in (S.FUNDED, S.PAYING):
        return None
    sent_at = drop_at or max((step.at for step in parts.steps if step.state == row.state), default=now)
    there_by = sent_at + timedelta(seconds=row.delivery_p95_s)
    return there_by if now < there_by else None


def _view(row: Row[tuple[object, ...]], parts: _Parts, now: datetime) -> OrderView:
    facts = _facts(row, parts, now)
    told = next((attempt for attempt in parts.attempts if attempt.counts), parts.latest)
    return OrderView(
        id=row.id,
        tracking_token=row.tracking_token,
        partner_id=row.partner_id,
        quote_id=row.quote_id,
        progress=progress(facts, now=now),
        state=row.state,
        chain_id=row.chain_id,
        deposit_address=to_checksum_address(row.deposit_address),
        send=facts.due,
        received=facts.received,
        unallocated=Money(int(row.unallocated), facts.due.asset),
        receive=facts.receive,
        country=row.country,
        method=row.method,
        recipient_name=row.name,
        recipient_account_masked=parts.way.account_masked,
        expires_at=row.expires_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deposits=parts.deposits,
        steps=parts.steps,
        adapter=told.rail if told else None,
        receipt=told.receipt if told else None,
        reference=row.reference,
        refund_address=row.confirmed_address and to_checksum_address(row.confirmed_address),
        details=row.details,
        refunds=parts.refunds,
        ways=parts.ways,
        attempts=parts.attempts,
        pickup=parts.pickup,
        speed=row.speed,
        drop_at=facts.drop_at,
        there_by=_there_by(row, parts, facts.drop_at, now),
        owed=facts.owed,
        answerable=row.state == S.HELD and row.hold_reason in ANSWERABLE,
    )


def _way(row: Row[tuple[object, ...]]) -> WayView:
    return WayView(rank=row.rank, method=row.method, account_masked=masked(row.account), given_later=row.given_later)


def _attempt(row: Row[tuple[object, ...]]) -> AttemptView:
    return AttemptView(
        rail=row.adapter,
        way=row.way,
        outcome=row.outcome,
        fault=row.fault,
        receipt=row.receipt,
        counts=row.outcome == Outcome.PAID and not row.claimed,
        created_at=row.created_at,
        closed_at=row.closed_at,
    )


def _refund(row: Row[tuple[object, ...]]) -> RefundView:
    return RefundView(
        id=row.id,
        of=row.taken_from,
        amount=Money(int(row.units), Asset(row.asset, row.decimals)),
        address=to_checksum_address(row.address),
        outcome=row.outcome,
        note=row.note,
        tx_hash=row.tx_hash,
        created_at=row.created_at,
    )


def _deposit(row: Row[tuple[object, ...]]) -> DepositView:
    return DepositView(
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        amount=Money(int(row.units), Asset(row.asset, row.decimals)),
        status=row.status,
        block_number=row.block_number,
        block_time=row.block_time,
    )
