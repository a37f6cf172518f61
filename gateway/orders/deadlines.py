"""Deadlines of orders, by level: whatever is due is due, however late we look."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.orders.advance import Move, advance
from gateway.orders.states import E

SET = 100

_CLAIM = text("""
SELECT id, version FROM orders WHERE state = 'awaiting_deposit' AND due_at <= :now
ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
""")


async def expire_orders(engine: AsyncEngine, *, now: datetime) -> int:
    """Expire one set of orders that nobody paid in time. Late money is still taken note of. Returns how many."""
    async with transaction(engine) as connection:
        rows = (await connection.execute(_CLAIM, {"now": now, "most": SET})).all()
        moves = [Move(order_id=row.id, event=E.DEADLINE_PASSED, cause=f"deadline:{row.version}") for row in rows]
        await advance(connection, moves=moves, now=now)
        return len(rows)
