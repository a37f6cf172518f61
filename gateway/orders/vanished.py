"""Orders that were funded by a deposit which isn't in the chain any more: held, if they can still be stopped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.resume import Vanished
from gateway.orders.advance import Move, advance
from gateway.orders.states import E

VANISHED = "deposit_vanished"
"""The reason of the hold."""

_FUNDED = text("SELECT id FROM orders WHERE id = ANY(CAST(:ids AS text[])) AND state = 'funded' ORDER BY id FOR UPDATE")


async def hold_vanished(connection: AsyncConnection, deposits: Sequence[Vanished], *, now: datetime) -> int:
    """Hold those orders of `deposits` that wait to be paid out, in the caller's transaction. Returns how many.

    What was instructed before can't be taken back. Each deposit has its incident, whatever state its order is in.
    """
    by_order = {deposit.owner: deposit for deposit in deposits}
    funded = (await connection.execute(_FUNDED, {"ids": list(by_order)})).scalars().all()
    moves = [
        Move(
            order_id=order_id,
            event=E.HOLD_PLACED,
            cause=f"vanished:{by_order[order_id].tx_hash}:{by_order[order_id].block_hash}",
            data={"reason": VANISHED},
        )
        for order_id in funded
    ]
    await advance(connection, moves=moves, now=now, locked=True)
    return len(moves)
