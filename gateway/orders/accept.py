"""Turn a quote into an order: our promise, with a deposit address of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.forwarders import forwarder_address, salt_of
from gateway.chain.models import DepositAddress
from gateway.errors import Refusal
from gateway.ids import new_id, new_token
from gateway.ledger.freezes import refuse_frozen
from gateway.orders.models import Order, OrderMessage, RecipientWay
from gateway.orders.models import Recipient as RecipientRow
from gateway.orders.recipients import Recipient, Way
from gateway.orders.states import S
from gateway.pricing.halts import by_subject, corridor_subject, open_stops, refuse_halted


class QuoteNotFound(Refusal):
    """No such quote, or another partner's: one answer for both, so that ids can't be probed."""

    code = "quote_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such quote. Ask for a new quote.", field="quote_id")


class QuoteExpired(Refusal):
    """The quote's time is over."""

    code = "quote_expired"

    def __init__(self, expires_at: datetime) -> None:
        when = expires_at.strftime("%H:%M:%S UTC")
        super().__init__(f"This quote expired at {when}. Ask for a new quote; the rate may differ.", field="quote_id")


class QuoteUsed(Refusal):
    """The quote already has its order."""

    code = "quote_used"

    def __init__(self) -> None:
        super().__init__("This quote was already used for an order. Ask for a new quote.", field="quote_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What the accepting side says. `partner_id` None: a person on the form."""

    quote_id: str
    partner_id: str | None
    recipient: Recipient
    ways: tuple[Way, ...] = ()
    """Other ways to the recipient, best first, for when the quote's own fails."""
    refund_address: str | None = None
    reference: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The new order's names."""

    order_id: str
    tracking_token: str


async def accept_quote(
    connection: AsyncConnection, *, acceptance: Acceptance, factories: Mapping[int, str], now: datetime
) -> Accepted:
    """Make the order of a quote, in the caller's transaction.

    `factories` names the forwarder factory per chain id. Raises `QuoteNotFound`, `QuoteExpired`, `QuoteUsed`,
    `AssetFrozen`, and what `gateway.pricing.halts.refuse_halted` raises; of a hundred callers at once one wins, the others
    get `QuoteUsed`.
    """
    quote = await _open_quote(connection, acceptance=acceptance, now=now)
    order_id, tracking_token = new_id("ord", now=now), new_token()
    factory = factories[quote.chain_id]
    salt = salt_of(order_id)
    address = forwarder_address(factory=factory, salt=salt).lower()
    await connection.execute(
        insert(DepositAddress).values(address=address, factory=factory, salt=salt.hex(), owner=order_id, created_at=now)
    )
    await connection.execute(
        insert(Order).values(
            id=order_id,
            partner_id=acceptance.partner_id,
            quote_id=acceptance.quote_id,
            tracking_token=tracking_token,
            state=S.AWAITING_DEPOSIT,
            version=0,
            due_at=quote.expires_at,
            deposit_address=address,
            refund_address=acceptance.refund_address,
            reference=acceptance.reference,
            details=dict(acceptance.details),
            created_at=now,
            updated_at=now,
        )
    )
    recipient = acceptance.recipient
    await connection.execute(insert(RecipientRow).values(order_id=order_id, **asdict(recipient)))
    if acceptance.ways:
        ways = [{"order_id": order_id, "rank": rank, **asdict(way)} for rank, way in enumerate(acceptance.ways, start=1)]
        await connection.execute(insert(RecipientWay), ways)
    await connection.execute(
        insert(OrderMessage).values(
            order_id=order_id, kind=f"order.{S.AWAITING_DEPOSIT}", payload={"version": 0}, created_at=now
        )
    )
    return Accepted(order_id=order_id, tracking_token=tracking_token)


# Also the order whose quote a later one has replaced: a price is used once, whatever became of it.
_ORDER_OF_QUOTE = text("""
SELECT id, tracking_token FROM orders
WHERE partner_id IS NOT DISTINCT FROM :partner_id
AND (quote_id = :quote_id OR id IN (SELECT order_id FROM order_events WHERE data ->> 'replaced_quote' = :quote_id))
""")
# The lock lets one of several callers pass; the others then see its order.
_QUOTE = text("""
SELECT partner_id, chain_id, send_asset, receive_asset, country, method, expires_at FROM quotes
WHERE id = :quote_id FOR UPDATE
""")


async def order_of_quote(connection: AsyncConnection, *, quote_id: str, partner_id: str | None) -> Accepted | None:
    """The order that a quote already has; for a form that is posted twice."""
    parameters = {"quote_id": quote_id, "partner_id": partner_id}
    found = (await connection.execute(_ORDER_OF_QUOTE, parameters)).one_or_none()
    return None if found is None else Accepted(order_id=found.id, tracking_token=found.tracking_token)


async def _open_quote(connection: AsyncConnection, *, acceptance: Acceptance, now: datetime) -> Row[tuple[Any, ...]]:
    quote = (await connection.execute(_QUOTE, {"quote_id": acceptance.quote_id})).one_or_none()
    if quote is None or quote.partner_id != acceptance.partner_id:
        raise QuoteNotFound
    if await order_of_quote(connection, quote_id=acceptance.quote_id, partner_id=acceptance.partner_id):
        raise QuoteUsed
    if now >= quote.expires_at:
        raise QuoteExpired(quote.expires_at)
    await refuse_frozen(connection, asset=quote.send_asset, field="quote_id")
    refuse_halted(
        by_subject(await open_stops(connection)),
        symbol=quote.send_asset.partition("@")[0],
        corridor=corridor_subject(quote.country, quote.receive_asset, quote.method),
        fields=("quote_id", "quote_id"),
    )
    return quote
