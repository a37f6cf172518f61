"""Order a refund: what must hold is asked under locks, then the money is reserved and the refund written, at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import wake
from gateway.ids import new_id
from gateway.ledger.freezes import frozen
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.orders.advance import Move, Verdict, advance
from gateway.orders.postings import REFUND
from gateway.orders.states import TABLE, E, S
from gateway.orders.vanished import refuse_vanished
from gateway.refunds.addresses import check_address, confirmed_address
from gateway.refunds.errors import (
    BadRefundAmount,
    NoConfirmedAddress,
    NothingToRefund,
    OrderNotFound,
    RefundNotPossible,
    RefundOpen,
)
from gateway.refunds.limits import check_limit
from gateway.refunds.wallets import Wallets


class Of(StrEnum):
    """Which of an order's money goes back."""

    FUNDS = auto()
    """What arrived for the order: goes back whole, and ends it."""
    UNALLOCATED = auto()
    """What arrived beyond, late or in another coin: in any state of the order, in parts if wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWish:
    """A refund that somebody orders: an operator or the order's own partner, one of both."""

    order_id: str
    of: Of
    reason: str
    units: int | None = None
    """Smallest units; None: all there is."""
    asset: str | None = None
    """An asset's code; None: the asset that the quote asks for."""
    operator: str | None = None
    """By name."""
    partner: str | None = None
    """By id."""

    def __post_init__(self) -> None:
        if (self.operator is None) == (self.partner is None):
            raise ValueError("a refund is ordered by an operator or by a partner: name one of both")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ordered:
    """A refund that may be written."""

    id: str
    wish: RefundWish
    money: Money
    chain_id: int
    address: str

    @property
    def transfer(self) -> Transfer:
        """The reservation."""
        own = f"order:{self.wish.order_id}"
        return Transfer(f"{own}:{self.wish.of}", f"{own}:{REFUND}", self.money)


# Whoever changes an order's money locks the order first: what is read from here on stays true. By a statement of its own,
# for while it waits the order may get another quote, and the join would be with the old one.
_LOCK = text("SELECT FROM orders WHERE id = :order_id FOR UPDATE")
_ORDER = text("""
SELECT o.state, o.partner_id, q.send_asset FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id WHERE o.id = :order_id
""")
_THERE = text("SELECT units FROM balances WHERE order_id = :order_id AND name = :name AND asset = :asset")
_OPEN = text("SELECT id FROM refunds WHERE order_id = :order_id AND asset = :asset AND closed_at IS NULL")
_WRITE = text("""
INSERT INTO refunds (id, order_id, taken_from, chain_id, asset, units, address, owner, reason, outcome, evidence, due_at,
    created_at, updated_at)
VALUES (:id, :order_id, :taken_from, :chain_id, :asset, :units, :address, :owner, :reason, 'sending', '{}', :now, :now, :now)
""")


async def order_refund(connection: AsyncConnection, *, wish: RefundWish, wallets: Wallets, now: datetime) -> str:
    """Reserve the money and write the refund, in the caller's transaction; gives its id. Loops do the rest.

    It goes back on the chain and in the asset in which it came, to the address that is confirmed now. Raises a `Refusal`
    of `gateway.refunds.errors` or `gateway.operators.actions`, or `DepositVanished`; then the transaction has to be rolled
    back.
    """
    await connection.execute(_LOCK, {"order_id": wish.order_id})
    order = (await connection.execute(_ORDER, {"order_id": wish.order_id})).one_or_none()
    if order is None or (wish.operator is None and order.partner_id != wish.partner):
        raise OrderNotFound
    # The state table's word: never while a payout is open or unknown.
    if wish.of is Of.FUNDS and (S(order.state), E.REFUND_ORDERED) not in TABLE:
        raise RefundNotPossible(S(order.state))
    await refuse_vanished(connection, order_id=wish.order_id)
    asset = wish.asset or order.send_asset
    await _refuse_second(connection, order_id=wish.order_id, asset=asset)
    wallet, coin = wallets.usable(asset, halted=await frozen(connection))
    ordered = _Ordered(
        id=new_id("ref", now=now),
        wish=wish,
        money=await _money(connection, wish, coin.asset),
        chain_id=wallet.chain_id,
        address=await _address(connection, order_id=wish.order_id, wallets=wallets),
    )
    await check_limit(connection, asked=ordered.money, per_day=coin.per_day, now=now)
    await _write(connection, ordered, now=now)
    await _reserve(connection, ordered, now=now)
    await wake(connection, "refunds")
    return ordered.id


async def _refuse_second(connection: AsyncConnection, *, order_id: str, asset: str) -> None:
    refund_id = (await connection.execute(_OPEN, {"order_id": order_id, "asset": asset})).scalar_one_or_none()
    if refund_id is not None:
        raise RefundOpen(refund_id)


async def _money(connection: AsyncConnection, wish: RefundWish, asset: Asset) -> Money:
    values = {"order_id": wish.order_id, "name": wish.of, "asset": asset.code}
    found = (await connection.execute(_THERE, values)).scalar_one_or_none()
    there = Money(int(found or 0), asset)
    if there.units == 0:
        raise NothingToRefund(wish.of, asset.code)
    money = there if wish.units is None else Money(wish.units, asset)
    if not 0 < money.units <= there.units:
        raise BadRefundAmount.too_much(money, there)
    if wish.of is Of.FUNDS and money != there:
        raise BadRefundAmount.not_whole(there)
    return money


async def _address(connection: AsyncConnection, *, order_id: str, wallets: Wallets) -> str:
    address = await confirmed_address(connection, order_id=order_id)
    if address is None:
        raise NoConfirmedAddress
    # Checked again: one that came with the order was checked for its form only, and our own addresses may have changed.
    return await check_address(connection, address=address, wallets=wallets)


async def _write(connection: AsyncConnection, ordered: _Ordered, *, now: datetime) -> None:
    wish = ordered.wish
    if wish.operator is not None:
        detail = {"refund": ordered.id, "of": str(wish.of), "amount": str(ordered.money), "address": ordered.address}
        await record_action(
            connection,
            operator=wish.operator,
            action="refund.order",
            subject=wish.order_id,
            reason=wish.reason,
            detail=detail,
            now=now,
        )
    await connection.execute(
        _WRITE,
        {
            "id": ordered.id,
            "order_id": wish.order_id,
            "taken_from": wish.of,
            "chain_id": ordered.chain_id,
            "asset": ordered.money.asset.code,
            "units": ordered.money.units,
            "address": ordered.address.lower(),
            "owner": f"partner:{wish.partner}" if wish.operator is None else f"operator:{wish.operator}",
            "reason": wish.reason.strip(),
            "now": now,
        },
    )


async def _reserve(connection: AsyncConnection, ordered: _Ordered, *, now: datetime) -> None:
    wish, cause = ordered.wish, f"refund:{ordered.id}:ordered"
    if wish.of is Of.UNALLOCATED:
        entry = Entry(cause, "unallocated_refund_reserved", (ordered.transfer,), wish.order_id)
        await post(connection, entries=[entry], now=now)
        return
    data = {"refund": ordered.id, "units": str(ordered.money.units)}
    move = Move(order_id=wish.order_id, event=E.REFUND_ORDERED, cause=cause, data=data)
    [advanced] = await advance(connection, moves=[move], now=now, locked=True)
    assert advanced.verdict is Verdict.STEPPED, advanced  # asked before, under the same lock
