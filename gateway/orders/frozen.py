"""Orders whose coin is frozen before they were sent: held for a person.

The coins may be stuck, or worth less than the quote says. A payout that was instructed before goes on: it can't be taken
back. Dispatch leaves out orders in frozen assets by itself; this gives them their place and their reason.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.freezes import frozen
from gateway.orders.advance import advance
from gateway.orders.funding import hold_frozen

SET = 100

_CLAIM = text("""
SELECT o.id, o.version FROM waiting_orders AS w
JOIN orders AS o ON o.id = w.order_id
JOIN quotes AS q ON q.id = o.quote_id
WHERE w.state = 'funded' AND o.state = 'funded' AND q.send_asset = ANY(:assets)
ORDER BY w.due_at LIMIT :most FOR UPDATE OF o SKIP LOCKED
""")


async def hold_frozen_orders(engine: AsyncEngine, *, now: datetime) -> int:
    """Hold one set of funded orders in frozen assets. Returns how many."""
    async with transaction(engine, point="frozen.hold") as connection:
        assets = list(await frozen(connection))
        if not assets:
            return 0
        rows = (await connection.execute(_CLAIM, {"assets": assets, "most": SET})).all()
        moves = [hold_frozen(row.id, cause=f"frozen:{row.version}") for row in rows]
        await advance(connection, moves=moves, now=now)
        return len(rows)
