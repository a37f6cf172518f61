"""Pay an order's recipient another way than the one that was refused: the answer to our question to them.

Only the account or the method changes: name, country, currency and amount stay what was promised. It is possible only while
the order is held because the recipient could not be paid, so that nobody turns money round that is on its way. The refused
way stays in the order's history, the new one is added to it; an attempt names the way that it took by its rank.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto
from typing import Any, ClassVar

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import wake
from gateway.errors import Refusal
from gateway.ledger.freezes import AssetFrozen, refuse_frozen
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.orders.accounts import BY_PHONE
from gateway.orders.advance import Move, Verdict, advance
from gateway.orders.recipients import GivenWay, SameWayTwice, Way, masked, read_way
from gateway.orders.states import E, S
from gateway.orders.vanished import DepositVanished, refuse_vanished
from gateway.pricing.offer import Offer
from gateway.routing.choose import RECIPIENT_REFUSED, RETURNED

ANSWERABLE = frozenset({RECIPIENT_REFUSED, RETURNED})
"""Reasons of a hold to which another way to the recipient is the answer."""
TRACKER_MOST = 5
"""How often whoever has the order's link may redirect it."""


class Channel(StrEnum):
    """Through whom a redirect reached us."""

    TRACKER = auto()
    """Whoever has the order's link."""
    PARTNER = auto()
    """The order's partner, by the API."""
    OPERATOR = auto()
    """A named person of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """What is asked for: pay by this way instead."""

    order_id: str
    way: GivenWay = field(repr=False)
    channel: Channel
    name: str = ""
    """PARTNER: its id. OPERATOR: the operator's name."""
    reason: str = ""
    """Why; an operator has to say."""

    @property
    def by(self) -> str:
        """As it is kept."""
        return f"{self.channel}:{self.name}" if self.name else str(self.channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirected:
    """The way that will be tried next. `replayed`: it was given before, and nothing changed now."""

    order_id: str
    rank: int
    method: str
    account_masked: str
    replayed: bool


class OrderNotFound(Refusal):
    """No such order, or another partner's: one answer for both."""

    code = "order_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such order. Check the id that it was given when it was made.")


class RecipientFixed(Refusal):
    """The order isn't held for its recipient, so whom it pays stays as it is."""

    code = "recipient_fixed"

    _WHY: ClassVar = {
        S.PAYING: "The payment is on its way, so whom it goes to can't be changed.",
        S.UNCERTAIN: "The payment may have been made, so whom it goes to can't be changed.",
        S.PAID: "The payment was delivered; it can't be sent elsewhere.",
        S.FUNDED: "The payment is being sent already, so whom it goes to can't be changed.",
        S.REFUNDING: "The money is being sent back.",
        S.REFUNDED: "The money was sent back.",
    }

    def __init__(self, state: S) -> None:
        why = self._WHY.get(state, "The order doesn't wait for another account.")
        super().__init__(f"{why} Another account can be given only after the recipient's was refused.")


class TooManyRedirects(Refusal):
    """The link's holder has tried often enough."""

    code = "too_many_redirects"

    def __init__(self) -> None:
        super().__init__(
            f"The account of this payment was changed {TRACKER_MOST} times already. The money is safe with us: contact us."
        )


class NotNow(Refusal):
    """Its coins may not be there, or be worth what they were: an operator is told more than the outside."""

    code = "not_now"

    def __init__(self) -> None:
        super().__init__(
            "Something about the coins of this payment has to be looked at first, and a person is looking at it. "
            "Give the account again later."
        )


# The lock first, the facts in a statement of their own: what another redirect did meanwhile is seen.
_LOCK = text("SELECT id FROM orders WHERE id = :order_id FOR UPDATE")
_READ = text("""
SELECT o.id, o.partner_id, o.state, q.country, q.method, q.send_asset, q.receive_asset, q.receive_units, s.decimals,
    (SELECT data ->> 'reason' FROM order_events AS e WHERE e.order_id = o.id AND e.to_state = 'held'
     ORDER BY e.version DESC LIMIT 1) AS hold_reason,
    (SELECT count(*) FROM order_redirects AS d WHERE d.order_id = o.id AND d.by = 'tracker') AS by_tracker,
    COALESCE((SELECT way FROM attempts AS a WHERE a.order_id = o.id ORDER BY a.id DESC LIMIT 1), 0) AS refused_rank,
    COALESCE((SELECT max(rank) FROM order_redirects AS d WHERE d.order_id = o.id), 0) AS redirected_rank
FROM orders AS o
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS s ON s.code = q.receive_asset
WHERE o.id = :order_id
""")
_WAYS = text("""
SELECT 0 AS rank, :method AS method, account, institution FROM recipients WHERE order_id = :order_id
UNION ALL SELECT rank, method, account, institution FROM recipient_ways WHERE order_id = :order_id ORDER BY rank
""")
_ADD = text("""
INSERT INTO recipient_ways (order_id, rank, method, account, institution)
VALUES (:order_id, :rank, :method, :account, :institution)
""")
_KEEP = text("""
INSERT INTO order_redirects (order_id, rank, method, account_masked, refused_rank, refused_masked, by, at)
VALUES (:order_id, :rank, :method, :account_masked, :refused_rank, :refused_masked, :by, :now)
""")
_TELL = text("""
INSERT INTO order_messages (order_id, kind, payload, created_at)
VALUES (:order_id, 'order.redirected', jsonb_build_object('rank', CAST(:rank AS integer)), :now)
""")


async def redirect(connection: AsyncConnection, *, wish: Redirect, offer: Offer, now: datetime) -> Redirected:
    """Add the new way and let the order go on, in the caller's transaction; of several at once one does it.

    Asked for again, it gives the same answer. Raises `OrderNotFound`, `RecipientFixed`, `TooManyRedirects`,
    `MethodNotOffered`, `BadRecipient`, `SameWayTwice` and `NotNow`; for an operator instead of the latter `AssetFrozen` and
    `DepositVanished`, and `UnknownOperator`, `ReasonMissing`, `ReasonUnreadable`. Then nothing may be committed.
    """
    await connection.execute(_LOCK, {"order_id": wish.order_id})
    order = (await connection.execute(_READ, {"order_id": wish.order_id})).one_or_none()
    if order is None or (wish.channel is Channel.PARTNER and order.partner_id != wish.name):
        raise OrderNotFound
    receive = Money(int(order.receive_units), Asset(order.receive_asset, order.decimals))
    way = read_way(wish.way, country=order.country, receive=receive, offer=offer)
    rows = await connection.execute(_WAYS, {"order_id": order.id, "method": order.method})
    ways = {row.rank: Way(method=row.method, account=row.account, institution=row.institution) for row in rows}
    if order.state != S.HELD or order.hold_reason not in ANSWERABLE:
        if order.redirected_rank and ways.get(order.redirected_rank) == way:
            return _redirected(order.id, order.redirected_rank, way, replayed=True)
        raise RecipientFixed(S(order.state))
    await _refuse(connection, wish, order, way, ways)
    rank = max(ways) + 1
    await _add(connection, wish, order, rank=rank, way=way, refused=ways[order.refused_rank], now=now)
    await _go_on(connection, wish, rank=rank, now=now)
    return _redirected(order.id, rank, way, replayed=False)


async def _refuse(
    connection: AsyncConnection, wish: Redirect, order: Row[tuple[Any, ...]], way: Way, ways: dict[int, Way]
) -> None:
    if wish.channel is Channel.TRACKER and order.by_tracker >= TRACKER_MOST:
        raise TooManyRedirects
    # Held means that none of them works: what was given before would fail as it did.
    if way in ways.values():
        raise SameWayTwice(field="phone" if way.method in BY_PHONE else "account")
    try:
        await refuse_vanished(connection, order_id=order.id)
        await refuse_frozen(connection, asset=order.send_asset)
    except (DepositVanished, AssetFrozen):
        if wish.channel is Channel.OPERATOR:
            raise
        raise NotNow from None


async def _add(
    connection: AsyncConnection,
    wish: Redirect,
    order: Row[tuple[Any, ...]],
    *,
    rank: int,
    way: Way,
    refused: Way,
    now: datetime,
) -> None:
    values = {"order_id": order.id, "rank": rank, "method": way.method}
    kept = {
        "account_masked": masked(way.account),
        "refused_rank": order.refused_rank,
        "refused_masked": masked(refused.account),
        "by": wish.by,
    }
    await connection.execute(_ADD, {**values, "account": way.account, "institution": way.institution})
    await connection.execute(_KEEP, {**values, **kept, "now": now})
    await connection.execute(_TELL, {"order_id": order.id, "rank": rank, "now": now})
    if wish.channel is Channel.OPERATOR:
        await record_action(
            connection,
            operator=wish.name,
            action="payouts.redirect",
            subject=order.id,
            reason=wish.reason,
            detail={"rank": str(rank), "method": way.method, "account": kept["account_masked"]},
            now=now,
        )


async def _go_on(connection: AsyncConnection, wish: Redirect, *, rank: int, now: datetime) -> None:
    move = Move(
        order_id=wish.order_id,
        event=E.HOLD_LIFTED,
        cause=f"redirect:{rank}",
        data={"way": rank, "by": wish.by},
        due_at=now,
    )
    [advanced] = await advance(connection, moves=[move], now=now, locked=True)
    if advanced.verdict is not Verdict.STEPPED:
        raise RecipientFixed(advanced.state)
    await wake(connection, "orders")


def _redirected(order_id: str, rank: int, way: Way, *, replayed: bool) -> Redirected:
    return Redirected(order_id=order_id, rank=rank, method=way.method, account_masked=masked(way.account), replayed=replayed)
