"""Orders that were funded by a deposit which isn't in the chain any more: held, if they can still be stopped.

What such an order has in the books isn't there. So none of it is promised or sent to anybody before a person has looked and
closed the incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.resume import FINAL_VANISHED, Vanished
from gateway.errors import Refusal
from gateway.orders.advance import Move, advance
from gateway.orders.states import E

VANISHED = "deposit_vanished"
"""The reason of the hold."""

_OPEN = text("SELECT min(id) FROM incidents WHERE order_id = :order_id AND kind = :kind AND closed_at IS NULL")
_FUNDED = text("SELECT id FROM orders WHERE id = ANY(CAST(:ids AS text[])) AND state = 'funded' ORDER BY id FOR UPDATE")


class DepositVanished(Refusal):
    """What the order has in the books isn't in the chain."""

    code = "deposit_vanished"

    def __init__(self, incident_id: int) -> None:
        super().__init__(
            "A final deposit of this order isn't in the chain any more, so its money may not be there. "
            f"Find out what became of it and close incident {incident_id}; then decide again."
        )


async def open_vanished(connection: AsyncConnection, *, order_id: str) -> int | None:
    """The oldest open incident of a final deposit of this order that vanished; None: there is none."""
    values = {"order_id": order_id, "kind": FINAL_VANISHED}
    incident_id: int | None = (await connection.execute(_OPEN, values)).scalar_one()
    return incident_id


async def refuse_vanished(connection: AsyncConnection, *, order_id: str) -> None:
    """Raise `DepositVanished` while such an incident is open."""
    if (incident_id := await open_vanished(connection, order_id=order_id)) is not None:
        raise DepositVanished(incident_id)


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
