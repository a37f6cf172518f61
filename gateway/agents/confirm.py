"""The counter's second step: the cash is given. A claim without it stays: only a person releases it.

The recipient may have the cash, whatever the time; so no timer takes a claim back, and whoever does has asked the agent.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.agents.claims import CONFIRMED, RELEASED, RESERVED, ClaimView, find_claim
from gateway.agents.codes import ACTIVE, REDEEMED, CodeView, lock_code, set_state
from gateway.agents.errors import DocumentMissing, NotYours, WrongState
from gateway.db.session import transaction
from gateway.ledger.post import Entry, Transfer, post
from gateway.operators.actions import record_action

DOCUMENT_LEAST, DOCUMENT_MOST = 4, 100

_OWE = text("""
UPDATE agent_floats SET reserved_units = reserved_units - :units, owed_units = owed_units + :units
WHERE agent_id = :agent AND asset = :asset
""")
_GIVE_FLOAT_BACK = text("""
UPDATE agent_floats SET reserved_units = reserved_units - :units WHERE agent_id = :agent AND asset = :asset
""")
_CLOSE = text("UPDATE pickup_claims SET state = :state, document = :document, closed_at = :now WHERE id = :id")
_SPEND = text("UPDATE network_accounts SET held_units = held_units - :units WHERE id = :account")
_FORGIVE = text("UPDATE pickup_codes SET misses = 0, updated_at = :now WHERE id = :id")


async def confirm(engine: AsyncEngine, *, agent_id: str, claim_id: str, document: str, now: datetime) -> ClaimView:
    """The cash is given, to the holder of this document (its kind and number). Again is the same.

    Raises `NotYours`, `DocumentMissing`, and `WrongState` for a claim that was released.
    """
    shown = _readable(document)
    async with transaction(engine) as connection:
        found, code = await _locked(connection, claim_id, now=now)
        if found.agent_id != agent_id:
            raise NotYours
        return await _confirmed(connection, found, code, document=shown, now=now)


async def confirm_for_agent(
    connection: AsyncConnection, *, claim_id: str, document: str, operator: str, reason: str, now: datetime
) -> ClaimView:
    """A person has made sure that the cash was given by an agent who can't say so himself. Raises as `confirm` does."""
    shown = _readable(document)
    await record_action(
        connection, operator=operator, action="agent.confirm", subject=f"claim:{claim_id}", reason=reason, now=now
    )
    found, code = await _locked(connection, claim_id, now=now)
    return await _confirmed(connection, found, code, document=shown, now=now)


async def release(connection: AsyncConnection, *, claim_id: str, operator: str, reason: str, now: datetime) -> ClaimView:
    """A person has made sure that no cash was given: the code waits again. Raises `NotYours`, `WrongState`."""
    await record_action(
        connection, operator=operator, action="agent.release", subject=f"claim:{claim_id}", reason=reason, now=now
    )
    found, code = await _locked(connection, claim_id, now=now)
    if found.state != RESERVED:
        raise WrongState(found.state)
    await connection.execute(_CLOSE, {"id": claim_id, "state": RELEASED, "document": None, "now": now})
    await set_state(connection, code_id=code.id, state=ACTIVE, now=now)
    await connection.execute(_GIVE_FLOAT_BACK, _float(found))
    return await find_claim(connection, claim_id=claim_id)


async def unlock(connection: AsyncConnection, *, code_id: str, operator: str, reason: str, now: datetime) -> None:
    """A person lets a locked code be claimed again. Raises `NotYours`."""
    await record_action(
        connection, operator=operator, action="agent.unlock", subject=f"code:{code_id}", reason=reason, now=now
    )
    if await lock_code(connection, code_id=code_id, now=now) is None:
        raise NotYours
    await connection.execute(_FORGIVE, {"id": code_id, "now": now})


async def _locked(connection: AsyncConnection, claim_id: str, *, now: datetime) -> tuple[ClaimView, CodeView]:
    """A claim and its code under the code's lock, which every writer of either takes first."""
    seen = await find_claim(connection, claim_id=claim_id)
    code = await lock_code(connection, code_id=seen.code_id, now=now)
    assert code is not None
    return await find_claim(connection, claim_id=claim_id), code


def _readable(document: str) -> str:
    tidy = " ".join(document.split())
    if not DOCUMENT_LEAST <= len(tidy) <= DOCUMENT_MOST or not tidy.isprintable():
        raise DocumentMissing
    return tidy


async def _confirmed(
    connection: AsyncConnection, claim: ClaimView, code: CodeView, *, document: str, now: datetime
) -> ClaimView:
    if claim.state == RELEASED:
        raise WrongState(claim.state)
    if claim.state == RESERVED:
        await _hand_over(connection, claim, code, document=document, now=now)
    return await find_claim(connection, claim_id=claim.id)


async def _hand_over(connection: AsyncConnection, claim: ClaimView, code: CodeView, *, document: str, now: datetime) -> None:
    await connection.execute(_CLOSE, {"id": claim.id, "state": CONFIRMED, "document": document, "now": now})
    await set_state(connection, code_id=code.id, state=REDEEMED, now=now)
    await connection.execute(_OWE, _float(claim))
    await connection.execute(_SPEND, {"account": code.account_id, "units": code.money.units})
    transfer = Transfer(f"network:{code.account_id}:held", f"agent:{claim.agent_id}", code.money)
    await post(connection, entries=[Entry(f"pickup_redeemed:{code.id}", "pickup_redeemed", (transfer,))], now=now)


def _float(claim: ClaimView) -> dict[str, object]:
    return {"agent": claim.agent_id, "asset": claim.money.asset.code, "units": claim.money.units}
