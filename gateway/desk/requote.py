"""A new firm price for money that an order's own price doesn't fit, paid out only if the sender agrees in time.

A held order (late, underpaid, frozen) gets the new price itself: its old quote becomes history, what lies beside is moved
into its funds, and it goes on. Money beside any other order becomes a new order for the same recipient. Either way the
payout takes exactly what the new quote says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.desk.case import Case, asset_called, open_case, read_case
from gateway.desk.errors import (
    ConsentUnproven,
    NothingThere,
    NotTaken,
    OrderChanged,
    RequoteExpired,
    RequoteNotFound,
    RequoteReplaced,
)
from gateway.ids import new_id
from gateway.ledger.freezes import refuse_frozen
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.orders.vanished import open_vanished, refuse_vanished
from gateway.pricing.drops import corridor_lane
from gateway.pricing.offer import Offer, Speed
from gateway.pricing.quotes import QuoteView, find_quote, make_quote
from gateway.pricing.requests import QuoteRequest


class Channel(StrEnum):
    """Through whom an agreement reached us."""

    TRACKER = auto()
    """Whoever has the order's link."""
    PARTNER = auto()
    """The order's partner, by the API."""
    OPERATOR = auto()
    """A named person of ours, who has evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """An agreement to an offer, and how we know of it."""

    channel: Channel
    name: str = ""
    """PARTNER: its id. OPERATOR: the operator's name."""
    evidence: str = ""
    """What shows it; an operator has to say."""

    @property
    def by(self) -> str:
        """As it is kept."""
        return f"{self.channel}:{self.name}" if self.name else str(self.channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequoteView:
    """An offer, as pages, API and commands show it."""

    id: str
    order_id: str
    quote: QuoteView
    """The new price: what is sent is what is there already. Its expiry is the offer's."""
    makes_order: bool
    """A new order is made of it; else the held order goes on."""
    offered_at: datetime
    consent_at: datetime | None
    new_order_id: str | None


_OFFER = text("""
INSERT INTO requotes (id, order_id, quote_id, order_version, offered_by, offered_at)
VALUES (:id, :order_id, :quote_id, :order_version, :operator, :now)
""")
_TELL = text("""
INSERT INTO order_messages (order_id, kind, payload, created_at)
VALUES (:order_id, 'order.requote_offered', jsonb_build_object('requote', CAST(:id AS text)), :now)
""")
_FIND = """
SELECT r.*, q.send_asset, q.send_units, q.expires_at, a.decimals AS send_decimals
FROM requotes AS r JOIN quotes AS q ON q.id = r.quote_id JOIN assets AS a ON a.code = q.send_asset
WHERE r.order_id = :order_id
"""
_NEWEST = text(f"{_FIND} ORDER BY r.number DESC LIMIT 1")
_ONE = text(f"{_FIND} AND r.id = :id")


async def offer_requote(
    connection: AsyncConnection,
    *,
    order_id: str,
    offer: Offer,
    operator: str,
    reason: str,
    now: datetime,
    asset: str | None = None,
    holds_for: timedelta | None = None,
) -> RequoteView:
    """Offer a new price for all that an order has in one asset, in the caller's transaction.

    `asset`: its code, by default the quoted one. `holds_for`: how long the price holds, by default as long as any quote.
    An older offer of the order no longer counts. Raises `OrderNotFound`, `UnknownAsset`, `NothingThere`, `NotTaken`,
    `DepositVanished`, `AssetFrozen`, `UnknownOperator`, `ReasonMissing`, and what `make_quote` raises (too little, too
    much, no rate).
    """
    case = await open_case(connection, order_id=order_id)
    coin = case.due.asset if asset is None else await asset_called(connection, code=asset)
    amount = case.usable(coin)
    if amount.units == 0:
        raise NothingThere(order_id, coin.code)
    await refuse_vanished(connection, order_id=order_id)
    await refuse_frozen(connection, asset=coin.code)
    ttl = holds_for or offer.rules.quote_ttl
    # What lies here already is priced at what it is worth, whatever that is, for as long as a person says.
    rules = replace(
        offer.rules,
        quote_ttl=ttl,
        ttl=offer.rules.ttl if holds_for is None else replace(offer.rules.ttl, least=ttl),
        takes_depegged=case.goes_on(coin),
    )
    request = _request(case, amount, offer=offer)
    quote = await make_quote(connection, request=request, offer=replace(offer, rules=rules), now=now)
    requote_id = new_id("rqt", now=now)
    await record_action(
        connection,
        operator=operator,
        action="deposits.requote",
        subject=order_id,
        reason=reason,
        detail={"requote": requote_id, "quote": quote.id, "amount": str(amount), "receive": str(quote.receive)},
        now=now,
    )
    values = {"id": requote_id, "order_id": order_id, "now": now}
    version = case.version if case.goes_on(coin) else None
    await connection.execute(_OFFER, {**values, "quote_id": quote.id, "order_version": version, "operator": operator})
    await connection.execute(_TELL, values)
    return RequoteView(
        id=requote_id,
        order_id=order_id,
        quote=quote,
        makes_order=version is None,
        offered_at=now,
        consent_at=None,
        new_order_id=None,
    )


def _request(case: Case, amount: Money, *, offer: Offer) -> QuoteRequest:
    token = offer.token_of(amount.asset)
    if token is None:
        raise NotTaken(amount.asset.code)
    return QuoteRequest(
        partner_id=case.partner_id,
        chain=token.chain,
        asset=token.asset.symbol,
        send_amount=amount.decimal(),
        country=case.country,
        currency=case.currency,
        method=case.method,
        receive_amount=None,
        # What chose to wait for a drop waits for one again, if there still are any.
        speed=Speed.ECONOMY if corridor_lane(case.lane) in offer.drops() else Speed.STANDARD,
    )


async def newest_requote(connection: AsyncConnection, *, order_id: str, offer: Offer) -> RequoteView | None:
    """The order's newest offer, whatever became of it; None: there never was one."""
    row = (await connection.execute(_NEWEST, {"order_id": order_id})).one_or_none()
    if row is None:
        return None
    quote = await find_quote(connection, quote_id=row.quote_id, offer=offer)
    assert quote is not None
    return RequoteView(
        id=row.id,
        order_id=row.order_id,
        quote=quote,
        makes_order=row.order_version is None,
        offered_at=row.offered_at,
        consent_at=row.consent_at,
        new_order_id=row.new_order_id,
    )


async def open_requote(connection: AsyncConnection, *, order_id: str, offer: Offer, now: datetime) -> RequoteView | None:
    """The offer that can be agreed to now, to be shown; None: there is none. Raises `OrderNotFound`."""
    case = await read_case(connection, order_id=order_id)
    row = (await connection.execute(_NEWEST, {"order_id": order_id})).one_or_none()
    if row is None or row.consent_at is not None or now >= row.expires_at or not fits(case, row):
        return None
    if await open_vanished(connection, order_id=order_id) is not None:
        return None
    return await newest_requote(connection, order_id=order_id, offer=offer)


async def judged(
    connection: AsyncConnection, *, case: Case, requote_id: str, consent: Consent, now: datetime
) -> tuple[Row[tuple[Any, ...]], bool]:
    """The offer that `consent` is about, and whether it was agreed to before.

    Raises `RequoteNotFound`, `RequoteReplaced`, `RequoteExpired`, `OrderChanged`, `ConsentUnproven`, `DepositVanished` and
    `AssetFrozen`.
    """
    row = (await connection.execute(_ONE, {"order_id": case.order_id, "id": requote_id})).one_or_none()
    if row is None or (consent.channel is Channel.PARTNER and case.partner_id != consent.name):
        raise RequoteNotFound
    if row.consent_at is not None:
        return row, True
    newest = (await connection.execute(_NEWEST, {"order_id": case.order_id})).one()
    if newest.id != row.id:
        raise RequoteReplaced
    if now >= row.expires_at:
        raise RequoteExpired(row.expires_at)
    if not fits(case, row):
        raise OrderChanged
    if consent.channel is Channel.OPERATOR and not consent.evidence.strip():
        raise ConsentUnproven
    await refuse_vanished(connection, order_id=case.order_id)
    await refuse_frozen(connection, asset=row.send_asset)
    return row, False


def fits(case: Case, requote: Row[tuple[Any, ...]]) -> bool:
    """Whether the order still is and has what the offer was made for.

    More money beside it doesn't matter: anybody could send some to spoil an offer.
    """
    price = Money(int(requote.send_units), Asset(requote.send_asset, requote.send_decimals))
    if requote.order_version is None:
        return price <= case.beside(price.asset)
    whole = case.version == requote.order_version and case.goes_on(price.asset)
    return whole and case.funds <= price <= case.usable(price.asset)
