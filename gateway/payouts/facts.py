"""What is known of an order when a rail is chosen: what was tried, and by which other ways its recipient is reached."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.routing.choose import Tried, Way

# What failed before a person released the order is over, but for accounts that were refused.
_TRIED = text("""
SELECT a.order_id, a.adapter, a.way, a.outcome, a.fault FROM attempts AS a
WHERE a.order_id = ANY(string_to_array(:ids, ',')) AND (
    a.outcome NOT IN ('failed', 'returned') OR a.fault = 'recipient' OR NOT EXISTS (
        SELECT FROM order_events AS e WHERE e.order_id = a.order_id AND e.event = 'hold_lifted' AND e.at > a.closed_at))
ORDER BY a.id
""")
_WAYS = text("""
SELECT order_id, rank, method, account, institution FROM recipient_ways
WHERE order_id = ANY(string_to_array(:ids, ',')) ORDER BY rank
""")


async def tried_by_order(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[Tried]]:
    """What was tried for each of the orders, oldest first."""
    found: dict[str, list[Tried]] = {order_id: [] for order_id in ids}
    if ids:
        for row in await connection.execute(_TRIED, {"ids": ",".join(ids)}):
            found[row.order_id].append(Tried(row.adapter, row.way, row.outcome, row.fault))
    return found


async def ways_by_order(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[Way, str]]:
    """By order: its other ways, best first, with the account of each."""
    found: dict[str, dict[Way, str]] = {order_id: {} for order_id in ids}
    if ids:
        for row in await connection.execute(_WAYS, {"ids": ",".join(ids)}):
            found[row.order_id][Way(row.rank, row.method, row.institution)] = row.account
    return found
