"""Resolutions that need no new price: lift a hold, write dust off, take it back. Each by a named person, with the reason."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import wake
from gateway.desk.case import Case, asset_called, open_case
from gateway.desk.errors import NotHeld, NothingThere, TermsDoNotHold, WorthSendingBack
from gateway.ids import new_id
from gateway.ledger.freezes import refuse_frozen
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money, MoneyError
from gateway.operators.actions import record_action
from gateway.orders.advance import Move, advance
from gateway.orders.postings import UNALLOCATED
from gateway.orders.states import E, S
from gateway.orders.vanished import refuse_vanished
from gateway.payouts.holds import refuse_standing_hold
from gateway.pricing.halts import by_subject, open_stops, refuse_halted
from gateway.pricing.requests import BadAmount

WRITTEN_OFF, TAKEN_BACK = "written_off", "write_off_undone"
"""Templates of the two entries."""

# The deposit that the order's funds began with. A price that was agreed to later ends later than that arrived.
_LATE = text("""
SELECT q.expires_at FROM orders AS o
JOIN quotes AS q ON q.id = o.quote_id
JOIN order_events AS e ON e.order_id = o.id AND e.event IN ('deposit_final', 'deposit_mismatched')
JOIN deposits AS d ON d.address = o.deposit_address
    AND e.data ->> 'deposit' = 'deposit\\:' || d.chain_id || '\\:' || d.tx_hash || '\\:' || d.log_index
WHERE o.id = :order_id AND d.block_time >= q.expires_at
LIMIT 1
""")
_WRITTEN_OFF = text("""
SELECT COALESCE(sum(CASE p.template WHEN :written_off THEN p.units ELSE -p.units END), 0)
FROM postings AS p
WHERE p.order_id = :order_id AND p.template IN (:written_off, :taken_back) AND p.asset = :asset
""")


async def release_hold(connection: AsyncConnection, *, order_id: str, operator: str, reason: str, now: datetime) -> None:
    """Let a held order go on at the price it was made at, where that still fits: all of it is there and came in time.

    Raises `OrderNotFound`, `NotHeld`, `HoldStands` (what made the hold would make it again), `TermsDoNotHold` (offer a new
    price instead), `DepositVanished`, `AssetFrozen`, `CoinDepegged`, `CoinHalted`, `UnknownOperator` and `ReasonMissing`.
    """
    case = await open_case(connection, order_id=order_id)
    if case.state is not S.HELD:
        raise NotHeld(order_id, case.state)
    await refuse_standing_hold(connection, order_id=order_id)
    if case.funds < case.due:
        raise TermsDoNotHold.underpaid(case.due, case.funds)
    if (expired_at := (await connection.execute(_LATE, {"order_id": order_id})).scalar_one_or_none()) is not None:
        raise TermsDoNotHold.late(expired_at)
    await refuse_vanished(connection, order_id=order_id)
    await refuse_frozen(connection, asset=case.due.asset.code)
    refuse_halted(by_subject(await open_stops(connection)), symbol=case.due.asset.symbol)
    await _decided(connection, "release", case, operator=operator, reason=reason, now=now)
    move = Move(
        order_id=order_id,
        event=E.HOLD_LIFTED,
        cause=f"released:{case.version}",
        data={"operator": operator},
        due_at=now,
    )
    await advance(connection, moves=[move], now=now)
    await wake(connection, "orders")


async def write_off(
    connection: AsyncConnection,
    *,
    order_id: str,
    asset: str,
    cost: str,
    operator: str,
    reason: str,
    now: datetime,
) -> Money:
    """Move all that an order has beside in one asset to `unclaimed:<asset>`; gives how much.

    Only where it is worth less than `cost`, what sending it back would cost, as a decimal in the same asset; that is kept
    with the decision. `take_back` undoes it. Raises `OrderNotFound`, `UnknownAsset`, `NothingThere`, `WorthSendingBack`,
    `UnknownOperator`, `ReasonMissing` and `BadAmount`.
    """
    case = await open_case(connection, order_id=order_id)
    coin = await asset_called(connection, code=asset)
    money, dearest = case.beside(coin), _cost(cost, coin)
    if money.units == 0:
        raise NothingThere(order_id, asset)
    if dearest <= money:
        raise WorthSendingBack(money, dearest)
    cause = await _decided(
        connection, "write_off", case, operator=operator, reason=reason, now=now, amount=money, cost=str(dearest)
    )
    transfer = Transfer(f"order:{order_id}:{UNALLOCATED}", unclaimed(coin), money)
    await post(connection, entries=[Entry(cause, WRITTEN_OFF, (transfer,), order_id)], now=now)
    return money


async def take_back(
    connection: AsyncConnection, *, order_id: str, asset: str, operator: str, reason: str, now: datetime
) -> Money:
    """Give an order back what was written off of it in one asset: somebody asks for it after all. Gives how much.

    Raises `OrderNotFound`, `UnknownAsset`, `NothingThere`, `UnknownOperator` and `ReasonMissing`.
    """
    case = await open_case(connection, order_id=order_id)
    coin = await asset_called(connection, code=asset)
    values = {"order_id": order_id, "asset": asset, "written_off": WRITTEN_OFF, "taken_back": TAKEN_BACK}
    money = Money(int((await connection.execute(_WRITTEN_OFF, values)).scalar_one()), coin)
    if money.units == 0:
        raise NothingThere(order_id, asset)
    cause = await _decided(connection, "take_back", case, operator=operator, reason=reason, now=now, amount=money)
    transfer = Transfer(unclaimed(coin), f"order:{order_id}:{UNALLOCATED}", money)
    await post(connection, entries=[Entry(cause, TAKEN_BACK, (transfer,), order_id)], now=now)
    return money


def _cost(cost: str, asset: Asset) -> Money:
    try:
        return Money.parse(cost, asset)
    except MoneyError as error:
        raise BadAmount(str(error), field="cost") from None


def unclaimed(asset: Asset) -> str:
    """The account of what was written off. It stays the senders': nothing is ever paid out of it but back."""
    return f"unclaimed:{asset.code}"


async def _decided(
    connection: AsyncConnection,
    action: str,
    case: Case,
    *,
    operator: str,
    reason: str,
    now: datetime,
    amount: Money | None = None,
    cost: str = "",
) -> str:
    """Write the decision down; gives a cause for what it makes."""
    decision = new_id("dec", now=now)
    detail = {"decision": decision, "amount": "" if amount is None else str(amount), "cost": cost}
    await record_action(
        connection,
        operator=operator,
        action=f"deposits.{action}",
        subject=case.order_id,
        reason=reason,
        detail={name: value for name, value in detail.items() if value},
        now=now,
    )
    return f"desk:{decision}"
