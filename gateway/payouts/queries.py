"""Reads: the outside's view of orders."""

from __future__ import annotations

from datetime import datetime

from eth_utils.address import to_checksum_address
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.orders.postings import FUNDS
from gateway.orders.recipients import masked, masked_name
from gateway.orders.states import S
from gateway.payouts.tracking import DepositView, Facts, OrderView, PastStep, RefundView, progress

_ORDER = text("""
SELECT o.*, COALESCE(w.address, o.refund_address) AS confirmed_address,
    q.chain_id, q.send_asset, q.send_units, q.receive_asset, q.receive_units, q.country, q.method, q.expires_at,
    send.decimals AS send_decimals, receive.decimals AS receive_decimals, r.name, r.account,
    COALESCE((SELECT units FROM balances WHERE account = 'order:' || o.id || '\\:unallocated' AND asset = q.send_asset), 0)
        AS unallocated,
    COALESCE((SELECT sum(p.units) FROM journal AS j JOIN postings AS p ON p.journal_id = j.id
              WHERE j.order_id = o.id
              AND j.template IN ('deposit_received', 'top_up_received', 'requote_credited', 'credit_applied')
              AND p.destination = 'order:' || o.id || '\\:funds'), 0) AS received,
    (SELECT data ->> 'reason' FROM order_events AS e WHERE e.order_id = o.id AND e.to_state = 'held'
     ORDER BY e.version DESC LIMIT 1) AS hold_reason,
    a.adapter, a.outcome, a.receipt
FROM orders AS o
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS send ON send.code = q.send_asset
JOIN assets AS receive ON receive.code = q.receive_asset
JOIN recipients AS r ON r.order_id = o.id
LEFT JOIN LATERAL (SELECT * FROM attempts WHERE order_id = o.id ORDER BY id DESC LIMIT 1) AS a ON true
LEFT JOIN LATERAL (SELECT address FROM refund_addresses WHERE order_id = o.id ORDER BY id DESC LIMIT 1) AS w ON true
WHERE o.id = :order_id OR o.tracking_token = :tracking_token
""")
_DEPOSITS = text("""
SELECT d.*, a.decimals FROM deposits AS d JOIN assets AS a ON a.code = d.asset
WHERE d.address = :address ORDER BY d.block_number, d.log_index LIMIT 100
""")
_REFUNDS = text("""
SELECT r.*, a.decimals FROM refunds AS r JOIN assets AS a ON a.code = r.asset
WHERE r.order_id = :order_id ORDER BY r.id LIMIT 100
""")
_STEPS = text("SELECT to_state, at FROM order_events WHERE order_id = :order_id ORDER BY version LIMIT 200")


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
    past = tuple(PastStep(state=s.to_state, at=s.at) for s in steps)
    return _view(row, tuple(map(_deposit, deposits)), past, tuple(map(_refund, refunds)), now)


def _view(
    row: Row[tuple[object, ...]],
    deposits: tuple[DepositView, ...],
    steps: tuple[PastStep, ...],
    refunds: tuple[RefundView, ...],
    now: datetime,
) -> OrderView:
    send, receive = Asset(row.send_asset, row.send_decimals), Asset(row.receive_asset, row.receive_decimals)
    facts = Facts(
        state=S(row.state),
        hold_reason=row.hold_reason,
        outcome=row.outcome,
        due=Money(int(row.send_units), send),
        received=Money(int(row.received), send),
        expires_at=row.expires_at,
        recipient=masked_name(row.name),
        receive=Money(int(row.receive_units), receive),
        refund=next((refund for refund in reversed(refunds) if refund.of == FUNDS), None),
    )
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
        unallocated=Money(int(row.unallocated), send),
        receive=facts.receive,
        country=row.country,
        method=row.method,
        recipient_name=row.name,
        recipient_account_masked=masked(row.account),
        expires_at=row.expires_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deposits=deposits,
        steps=steps,
        adapter=row.adapter,
        receipt=row.receipt,
        reference=row.reference,
        refund_address=row.confirmed_address and to_checksum_address(row.confirmed_address),
        details=row.details,
        refunds=refunds,
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
