"""Orders whose deposit came while their coin was stopped: held, and led on once the coin is taken again.

What is done with them is a line of `gateway.pricing.rule`. Deposits are judged when they are booked
(`gateway.orders.funding`); a stop that was written at that very moment is found here, or by dispatch, before anything is
sent.

What we bear, at most, when a coin leaves its par: deposits in blocks from before its stop. A stop is written by the round
that is made as soon as the sources' answers are stored, so it is as late as they are asked seldom: after a quarter of
`pricing.max_age_s`, and after a minute at most, unless a source has a longer pause of its own (its quota); and 10 seconds
more if another process was in the middle of a round. From the moment at which the answers are stored, no quote is made. A
payout whose claim commits in the same milliseconds as a stop is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.resume import FINAL_VANISHED
from gateway.db.session import rows, transaction, wake
from gateway.orders.advance import Move, advance
from gateway.orders.funding import DEPEGGED, hold_frozen
from gateway.orders.states import E

SET = 100

STOPPED_COINS = text("""
SELECT DISTINCT subject AS symbol FROM market_stops WHERE lifted_at IS NULL AND breaker IN ('depeg', 'by_hand')
""")
"""What is stopped now, coins among it by their symbols."""

# Only of orders that their own deposit led straight here: whoever has led one on since then knew of the stop.
_COMPLETED_IN_STOP = """
FROM waiting_orders AS w
JOIN orders AS o ON o.id = w.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN market_stops AS m ON m.subject = split_part(q.send_asset, '@', 1) AND m.lifted_at IS NULL
    AND m.breaker IN ('depeg', 'by_hand')
JOIN order_events AS e ON e.order_id = o.id AND e.event = 'deposit_final'
JOIN deposits AS d ON d.address = o.deposit_address
    AND e.data ->> 'deposit' = 'deposit\\:' || d.chain_id || '\\:' || d.tx_hash || '\\:' || d.log_index
WHERE w.state = 'funded' AND o.state = 'funded' AND m.since <= d.block_time
    AND NOT EXISTS (SELECT FROM order_events AS l WHERE l.order_id = o.id AND l.event = 'hold_lifted')
"""
_AMONG = text(f"SELECT DISTINCT o.id {_COMPLETED_IN_STOP} AND o.id = ANY(string_to_array(:ids, ','))")
_CLAIM = text(f"SELECT o.id, o.version {_COMPLETED_IN_STOP} ORDER BY w.due_at LIMIT :most FOR UPDATE OF o SKIP LOCKED")
_WELL = text("""
SELECT o.id, o.version FROM waiting_orders AS w
JOIN orders AS o ON o.id = w.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN LATERAL (SELECT data ->> 'reason' AS reason FROM order_events
              WHERE order_id = o.id AND to_state = 'held' ORDER BY version DESC LIMIT 1) AS h ON h.reason = :reason
WHERE w.state IN ('held', 'uncertain', 'refunding') AND o.state = 'held'
    AND NOT EXISTS (SELECT FROM market_stops AS m WHERE m.subject = split_part(q.send_asset, '@', 1)
        AND m.lifted_at IS NULL AND m.breaker IN ('depeg', 'by_hand'))
    AND NOT EXISTS (SELECT FROM incidents AS i WHERE i.order_id = o.id AND i.kind = :vanished AND i.closed_at IS NULL)
ORDER BY o.id LIMIT :most FOR UPDATE OF o SKIP LOCKED
""")


async def depegged_among(connection: AsyncConnection, *, ids: Sequence[str]) -> frozenset[str]:
    """Those of these funded orders whose deposit came while their coin was stopped, and it still is."""
    return frozenset(row.id for row in await rows(connection, _AMONG, {"ids": ",".join(ids)}))


async def hold_depegged_orders(engine: AsyncEngine, *, now: datetime) -> int:
    """Hold one set of funded orders whose deposit came in a stop of their coin, and lead on one whose stop is over.

    Returns how many moved.
    """
    async with transaction(engine, point="depegged.hold") as connection:
        held = []
        if await rows(connection, STOPPED_COINS, {}):
            held = await rows(connection, _CLAIM, {"most": SET})
        moves = {row.id: hold_depegged(row.id, version=row.version) for row in held}
        values = {"reason": DEPEGGED, "vanished": FINAL_VANISHED, "most": SET}
        for row in await rows(connection, _WELL, values):
            moves[row.id] = Move(order_id=row.id, event=E.HOLD_LIFTED, cause=f"repegged:{row.version}", due_at=now)
        await advance(connection, moves=list(moves.values()), now=now, locked=True)
        if moves:
            await wake(connection, "orders")
        return len(moves)


def hold_depegged(order_id: str, *, version: int) -> Move:
    """The step that holds a funded order of this version whose deposit came in a stop of its coin."""
    return hold_frozen(order_id, cause=f"{DEPEGGED}:{version}", reason=DEPEGGED)
