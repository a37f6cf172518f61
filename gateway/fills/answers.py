"""What a partner answers: he accepts, declines, fulfils with proof, or tells that a payment came back.

Once he has accepted, nothing but his word ends a fill: he may have paid. A proof for one that ended otherwise is no payment
of ours; it is kept, and an incident asks a person to judge the claim.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.fills.errors import FillAmount, FillEnded
from gateway.fills.offers import (
    ACCEPTED,
    DECLINED,
    FULFILLED,
    OFFERED,
    RETURNED,
    FillView,
    find_fill,
    find_for_partner,
    read,
)
from gateway.money import Money
from gateway.operators.actions import record_action
from gateway.operators.incidents import Alarm, open_incidents

REASONS = ("no_liquidity", "unavailable", "limit", "corridor_closed", "recipient_rejected", "compliance", "other")
"""Why a partner declines."""
CAME_BACK = "came_back"

_ACCEPT = text("""
UPDATE fills SET state = 'accepted', fulfil_by = CAST(:now AS timestamptz) + fulfil_within, updated_at = :now WHERE id = :id
""")
_DECLINE = text("UPDATE fills SET state = 'declined', reason = :reason, updated_at = :now WHERE id = :id")
_FULFIL = text("UPDATE fills SET state = 'fulfilled', proof = :proof, updated_at = :now WHERE id = :id")
_RETURN = text("UPDATE fills SET state = 'returned', reason = :reason, updated_at = :now WHERE id = :id")
_CLAIM = text("UPDATE fills SET late_proof = :proof, updated_at = :now WHERE id = :id AND late_proof IS NULL")


class Fulfilment(NamedTuple):
    """What came of a proof: whether the fill is fulfilled, or the proof came too late and is a claim."""

    fill: FillView
    too_late: bool


async def accept(connection: AsyncConnection, *, partner_id: str, fill_id: str, now: datetime) -> FillView:
    """He will pay. Again is the same. Raises `FillNotFound`, and `FillEnded` for an offer that has run out or ended."""
    fill = await find_for_partner(connection, partner_id=partner_id, fill_id=fill_id, now=now)
    if fill.state == ACCEPTED:
        return fill
    if fill.state != OFFERED:
        raise FillEnded(fill.state)
    await connection.execute(_ACCEPT, {"id": fill_id, "now": now})
    return await read(connection, fill_id)


async def decline(connection: AsyncConnection, *, partner_id: str, fill_id: str, reason: str, now: datetime) -> FillView:
    """He won't pay, or says that he has not and will not although he had accepted. Again is the same. Raises as `accept`."""
    fill = await find_for_partner(connection, partner_id=partner_id, fill_id=fill_id, now=now)
    if fill.state == DECLINED:
        return fill
    if fill.state not in (OFFERED, ACCEPTED):
        raise FillEnded(fill.state)
    await connection.execute(_DECLINE, {"id": fill_id, "reason": reason, "now": now})
    return await read(connection, fill_id)


async def fulfil(
    connection: AsyncConnection, *, partner_id: str, fill_id: str, delivered: Money, proof: str, now: datetime
) -> Fulfilment:
    """He has paid, whole. After the time that he had it is late and still a payment: he had accepted.

    For a fill that had ended without him the proof is kept as a claim. Raises `FillNotFound`, `FillAmount`, and `FillEnded`
    for one that he never accepted, or fulfilled with another proof.
    """
    fill = await find_for_partner(connection, partner_id=partner_id, fill_id=fill_id, now=now)
    if delivered != fill.money:
        raise FillAmount(str(fill.money))
    if fill.state == OFFERED or (fill.state in (FULFILLED, RETURNED) and fill.proof != proof):
        raise FillEnded(fill.state)
    if fill.state in (FULFILLED, RETURNED):
        return Fulfilment(fill, too_late=False)
    if fill.state == ACCEPTED:
        await connection.execute(_FULFIL, {"id": fill_id, "proof": proof, "now": now})
        return Fulfilment(await read(connection, fill_id), too_late=False)
    await connection.execute(_CLAIM, {"id": fill_id, "proof": proof, "now": now})
    detail = {"fill": fill_id, "reference": fill.reference, "partner": partner_id, "state": fill.state}
    alarm = Alarm(f"fill_too_late:{fill_id}", "fill_too_late", None, detail | {"amount": str(fill.money)})
    await open_incidents(connection, alarms=[alarm], now=now)
    return Fulfilment(await read(connection, fill_id), too_late=True)


async def give_back(connection: AsyncConnection, *, partner_id: str, fill_id: str, now: datetime) -> FillView:
    """What he paid came back to him. Again is the same. Raises `FillNotFound`, `FillEnded`."""
    fill = await find_for_partner(connection, partner_id=partner_id, fill_id=fill_id, now=now)
    if fill.state == RETURNED:
        return fill
    if fill.state != FULFILLED:
        raise FillEnded(fill.state)
    await connection.execute(_RETURN, {"id": fill_id, "reason": CAME_BACK, "now": now})
    return await read(connection, fill_id)


async def declined_in_writing(
    connection: AsyncConnection, *, fill_id: str, operator: str, reason: str, now: datetime
) -> FillView:
    """A person has the partner's written word that an accepted fill was not paid and never will be.

    Raises `FillNotFound`, `FillEnded`, and what `record_action` raises.
    """
    await record_action(
        connection, operator=operator, action="fill.decline", subject=f"fill:{fill_id}", reason=reason, now=now
    )
    fill = await find_fill(connection, fill_id=fill_id, now=now)
    if fill.state != ACCEPTED:
        raise FillEnded(fill.state)
    await connection.execute(_DECLINE, {"id": fill_id, "reason": "other", "now": now})
    return await read(connection, fill_id)
