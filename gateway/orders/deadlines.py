"""Deadlines of orders, by level: whatever is due is due, however late we look.

Every state that doesn't rest has a duty (gateway.orders.duties). Unpaid orders expire here; of those that wait too long for
a chain or a person somebody is told, ever less often. Funded orders are dispatch's. Those that a rail has are told of by
their attempts (gateway.payouts.poll).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.advance import Move, advance
from gateway.orders.duties import DUTIES
from gateway.orders.states import E, S

SET = 100
TOLD_OF = frozenset({S.CONFIRMING, S.HELD, S.UNCERTAIN, S.REFUNDING})
"""States in which an order that is past its time is told of here; they are those of the index waiting_overdue."""
TRIED_AGAIN_WITHIN = timedelta(days=2)
"""No funded order waits longer for its next try: a later time comes from a clock that was set back."""

_CLAIM = text("""
SELECT o.id, o.version FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
WHERE w.state = 'awaiting_deposit' AND w.due_at <= :now AND o.state = w.state AND o.due_at <= :now
ORDER BY w.due_at LIMIT :most FOR UPDATE OF o SKIP LOCKED
""")
_OVERDUE = text("""
SELECT o.id, o.version, o.state, o.updated_at FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
WHERE w.state IN ('confirming', 'held', 'uncertain', 'refunding') AND w.due_at <= :now
    AND o.state IN ('confirming', 'held', 'uncertain', 'refunding') AND o.due_at <= :now
ORDER BY w.due_at LIMIT :most FOR UPDATE OF o SKIP LOCKED
""")
_TOO_FAR = text("""
WITH far AS (
    SELECT o.id FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
    WHERE w.state = 'funded' AND w.due_at > :too_far AND o.state = 'funded' AND o.due_at > :too_far
    LIMIT :most FOR UPDATE OF o SKIP LOCKED
) UPDATE orders AS o SET due_at = :now FROM far WHERE o.id = far.id
""")
_AGAIN = text("""
UPDATE orders AS o SET due_at = n.due_at
FROM unnest(CAST(:ids AS text[]), CAST(:due AS timestamptz[])) AS n (id, due_at) WHERE o.id = n.id
""")


async def keep_deadlines(engine: AsyncEngine, *, now: datetime) -> int:
    """Do what is due of all deadlines of orders, a set of each. Returns how many."""
    return await expire_orders(engine, now=now) + await tell_of_overdue(engine, now=now) + await _bring_back(engine, now=now)


async def expire_orders(engine: AsyncEngine, *, now: datetime) -> int:
    """Expire one set of orders that nobody paid in time. Late money is still taken note of. Returns how many."""
    async with transaction(engine, point="deadlines.expire") as connection:
        rows = (await connection.execute(_CLAIM, {"now": now, "most": SET})).all()
        moves = [Move(order_id=row.id, event=E.DEADLINE_PASSED, cause=f"deadline:{row.version}") for row in rows]
        await advance(connection, moves=moves, now=now)
        return len(rows)


async def tell_of_overdue(engine: AsyncEngine, *, now: datetime) -> int:
    """Tell a person of one set of orders that wait for too long: again each time that they have waited twice as long."""
    async with transaction(engine, point="deadlines.overdue") as connection:
        rows = (await connection.execute(_OVERDUE, {"now": now, "most": SET})).all()
        if not rows:
            return 0
        await open_incidents(connection, alarms=[_alarm(row, now=now) for row in rows], now=now)
        due = [now + _waited(row, now=now) for row in rows]
        await connection.execute(_AGAIN, {"ids": [row.id for row in rows], "due": due})
        return len(rows)


def _waited(row: Row[tuple[Any, ...]], *, now: datetime) -> timedelta:
    """How long it has been in its state; at least what is foreseen, whatever the clock says."""
    entered: datetime = row.updated_at
    return max(now - entered, DUTIES[S(row.state)].within)


def _alarm(row: Row[tuple[Any, ...]], *, now: datetime) -> Alarm:
    """Its cause holds the step into the state and how often the foreseen time has doubled."""
    duty = DUTIES[S(row.state)]
    times = (_waited(row, now=now) // duty.within).bit_length()
    detail = {
        "state": str(row.state),
        "since": row.updated_at.isoformat(),
        "owner": duty.owner,
        "action": duty.action.format(order=row.id),
    }
    return Alarm(f"order:{row.id}:{row.version}:overdue:{times}", f"{row.state}_too_long", row.id, detail)


async def _bring_back(engine: AsyncEngine, *, now: datetime) -> int:
    async with transaction(engine, point="deadlines.bring_back") as connection:
        values = {"now": now, "too_far": now + TRIED_AGAIN_WITHIN, "most": SET}
        return (await connection.execute(_TOO_FAR, values)).rowcount
