"""Orders that wait for a person between deposit and payout: which, why, and what can be done. And stopping one by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.orders.advance import Move, advance
from gateway.orders.states import E, S
from gateway.payouts.errors import AlreadySent, HoldStands, NothingToHold
from gateway.payouts.redirect import ANSWERABLE, OrderNotFound
from gateway.routing.choose import NO_RAIL_ALLOWED, RECIPIENT_REFUSED, RETURNED

BY_HAND = "by_hand"
"""The reason of a hold that a person placed."""
SET = 100

REDIRECT = "lastmile payouts redirect"
RELEASE = "lastmile payouts release"
REFUND = "lastmile refunds order"
REQUOTE = "lastmile deposits requote"
LIFT = "lastmile tokens lift"

WAYS: Mapping[str, tuple[str, ...]] = {
    RECIPIENT_REFUSED: (REDIRECT, REFUND),
    RETURNED: (REDIRECT, REFUND),
    "late": (REQUOTE, REFUND),
    "underpaid": (REQUOTE, REFUND),
    "refund_failed": (REFUND, RELEASE),
    "frozen": (LIFT, RELEASE),
    "depegged": (REQUOTE, REFUND),
    "deposit_vanished": (RELEASE, REFUND),
}
"""What can be done about a hold, by its reason, the likeliest first; what is listed may still be refused."""
OTHER_WAYS = (RELEASE, REFUND)
ADVICE: Mapping[str, str] = {
    NO_RAIL_ALLOWED: "the rules in [[routing.rules]] keep every rail from it: change them, then release it, or refund it",
}
"""What a person has to know beside the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOrder:
    """An order that waits for a person."""

    order_id: str
    reason: str
    since: datetime
    funds: Money
    """What lies there for it."""
    deliver: Money
    """What its recipient was promised."""
    rail: str | None
    """Where it was tried last."""
    said: str | None
    """What that rail said."""

    @property
    def advice(self) -> str | None:
        """What a person has to know beside the reason."""
        return ADVICE.get(self.reason)

    @property
    def ways(self) -> tuple[str, ...]:
        """Commands, the likeliest first."""
        return WAYS.get(self.reason, OTHER_WAYS)


_HELD = text("""
SELECT o.id, h.reason, h.at, q.send_asset, q.receive_asset, q.receive_units, send.decimals AS send_decimals,
    receive.decimals, COALESCE(b.funds, 0) AS funds, a.adapter, a.reason AS said
FROM waiting_orders AS v
JOIN orders AS o ON o.id = v.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS send ON send.code = q.send_asset
JOIN assets AS receive ON receive.code = q.receive_asset
JOIN LATERAL (SELECT COALESCE(data ->> 'reason', 'refund_failed') AS reason, at FROM order_events
              WHERE order_id = o.id AND to_state = 'held' ORDER BY version DESC LIMIT 1) AS h ON true
LEFT JOIN order_balances AS b ON b.order_id = o.id AND b.asset = q.send_asset
LEFT JOIN LATERAL (SELECT adapter, reason FROM attempts WHERE order_id = o.id ORDER BY id DESC LIMIT 1) AS a ON true
WHERE v.state = 'held' AND v.state IN ('held', 'uncertain', 'refunding') AND v.order_id > :after
AND (CAST(:order_id AS text) IS NULL OR o.id = :order_id)
ORDER BY o.id LIMIT :most
""")
_LOCK = text("SELECT state, version FROM orders WHERE id = :order_id FOR UPDATE")
_AT = text("SELECT id, adapter FROM attempts WHERE order_id = :order_id AND closed_at IS NULL")
_REASON = text("""
SELECT data ->> 'reason' FROM order_events WHERE order_id = :order_id AND to_state = 'held' ORDER BY version DESC LIMIT 1
""")
_STOP = text("""
INSERT INTO order_stops (order_id, stopped_by, stopped_at) VALUES (:order_id, :operator, :now) ON CONFLICT DO NOTHING
""")
_TAKE = text("DELETE FROM order_stops WHERE order_id = ANY(CAST(:ids AS text[])) RETURNING order_id, stopped_by")


async def held_orders(
    connection: AsyncConnection, *, order_id: str | None = None, after: str = "", most: int = SET
) -> list[HeldOrder]:
    """Those that wait, the oldest orders first; `after`: the id of the last one of the page before."""
    rows = await connection.execute(_HELD, {"order_id": order_id, "after": after, "most": most})
    return [
        HeldOrder(
            order_id=row.id,
            reason=row.reason,
            since=row.at,
            funds=Money(int(row.funds), Asset(row.send_asset, row.send_decimals)),
            deliver=Money(int(row.receive_units), Asset(row.receive_asset, row.decimals)),
            rail=row.adapter,
            said=row.said,
        )
        for row in rows
    ]


async def hold_order(connection: AsyncConnection, *, order_id: str, operator: str, reason: str, now: datetime) -> None:
    """Stop an order that waits to be paid out, in the caller's transaction: of this and its dispatch one comes first.

    Raises `OrderNotFound`, `AlreadySent`, `NothingToHold`, and as `record_action` does.
    """
    row = (await connection.execute(_LOCK, {"order_id": order_id})).one_or_none()
    if row is None:
        raise OrderNotFound
    at = (await connection.execute(_AT, {"order_id": order_id})).one_or_none()
    if at is not None:
        raise AlreadySent(order_id, attempt_id=at.id, adapter=at.adapter)
    if row.state != S.FUNDED:
        raise NothingToHold(order_id, S(row.state))
    await record_action(connection, operator=operator, action="payouts.hold", subject=order_id, reason=reason, now=now)
    await advance(connection, moves=[hold_by_hand(order_id, version=row.version, operator=operator)], now=now, locked=True)


async def refuse_standing_hold(connection: AsyncConnection, *, order_id: str) -> None:
    """Raise `HoldStands` if the order would be held again at once for the same reason. The caller has locked the order."""
    reason = (await connection.execute(_REASON, {"order_id": order_id})).scalar_one_or_none()
    if reason in ANSWERABLE:
        raise HoldStands(
            f"The recipient's account was refused, and would be again. Redirect {order_id} to another one "
            f"(`{REDIRECT}`), or send the money back (`{REFUND}`)."
        )


async def stop_order(connection: AsyncConnection, *, order_id: str, operator: str, now: datetime) -> None:
    """Have an order held, not sent again, once the rail that has it says that it won't pay: dispatch sees to it."""
    await connection.execute(_STOP, {"order_id": order_id, "operator": operator, "now": now})


async def take_stops(connection: AsyncConnection, *, order_ids: Sequence[str]) -> dict[str, str]:
    """Who stopped which of these orders while a rail had them. The caller holds them in the same transaction."""
    if not order_ids:
        return {}
    rows = await connection.execute(_TAKE, {"ids": list(order_ids)})
    return {row.order_id: row.stopped_by for row in rows}


def hold_by_hand(order_id: str, *, version: int, operator: str) -> Move:
    """The step that holds a funded order of this version because a person wants it."""
    data = {"reason": BY_HAND, "operator": operator}
    return Move(order_id=order_id, event=E.HOLD_PLACED, cause=f"{BY_HAND}:{version}", data=data)


async def hold_stopped(connection: AsyncConnection, *, order_id: str, now: datetime) -> None:
    """Hold a funded order that was stopped, in the transaction in which its rail said that it won't pay."""
    row = (await connection.execute(_LOCK, {"order_id": order_id})).one()
    stops = await take_stops(connection, order_ids=[order_id]) if row.state == S.FUNDED else {}
    moves = [hold_by_hand(order_id, version=row.version, operator=operator) for operator in stops.values()]
    await advance(connection, moves=moves, now=now, locked=True)
