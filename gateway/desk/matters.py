"""What an order's page has to tell and to ask its sender about money that doesn't fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.desk.requote import RequoteView, open_requote
from gateway.orders.states import S
from gateway.pricing.offer import Offer
from gateway.refunds.addresses import confirmed_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Matters:
    """Nothing of it: the order is like most."""

    requote: RequoteView | None = None
    """A new price that can be agreed to now."""
    could_go_back: bool = False
    """There is money that may have to go back to its sender."""
    refund_address: str | None = None
    """Where it would go (EIP-55); None: nobody has confirmed an address."""
    new_order_token: str | None = None
    """Opens the page of the order that was made of such money last."""


NOTHING = Matters()

_FACTS = text("""
SELECT o.state, (
    SELECT n.tracking_token FROM requotes AS r JOIN orders AS n ON n.id = r.new_order_id
    WHERE r.order_id = o.id ORDER BY r.number DESC LIMIT 1
) AS new_order_token, EXISTS (
    SELECT FROM order_balances WHERE order_id = o.id AND unallocated > 0
) AS beside
FROM orders AS o WHERE o.id = :order_id
""")


async def matters_of(connection: AsyncConnection, *, order_id: str, offer: Offer, now: datetime) -> Matters:
    """What there is to tell and to ask; for most orders one question to the database."""
    facts = (await connection.execute(_FACTS, {"order_id": order_id})).one()
    if not facts.beside and facts.state != S.HELD:
        return NOTHING if facts.new_order_token is None else Matters(new_order_token=facts.new_order_token)
    return Matters(
        requote=await open_requote(connection, order_id=order_id, offer=offer, now=now),
        could_go_back=True,
        refund_address=await confirmed_address(connection, order_id=order_id),
        new_order_token=facts.new_order_token,
    )
