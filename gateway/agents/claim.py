"""The counter: an agent claims a code, which reserves it for him, and confirms once the cash is given.

Wrong codes are counted before they are looked at, by agent, so that many at once don't slip through; wrong facts about a
right code are counted by the code, which then locks. A claim that isn't confirmed stays: only a person releases it, who has
asked the agent, because the recipient may have the cash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.agents.codes import ACTIVE, CLAIMED, REDEEMED, CodeView, lock_code, lock_digits, set_state
from gateway.agents.digits import read_digits
from gateway.agents.errors import (
    CodeLocked,
    DocumentMissing,
    FloatFull,
    LessThanWhole,
    MoreThanWhole,
    NetworkRefusal,
    NotYours,
    ReferenceReused,
    TooManyWrong,
    WrongCode,
    WrongState,
)
from gateway.agents.rules import WINDOW, PickupRules
from gateway.db.session import transaction
from gateway.ids import new_id
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.operators.incidents import Alarm, open_incidents

RESERVED, CONFIRMED, RELEASED = "reserved", "confirmed", "released"
PHONE_LEAST = 4
"""How many of the last digits of his phone number a recipient tells at least."""
DOCUMENT_LEAST, DOCUMENT_MOST = 4, 100
REFERENCE_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimWish:
    """What an agent gives: the code, what the recipient says of himself, and the agent's own id of the transaction."""

    agent_id: str
    agent_reference: str
    code: str = field(repr=False)
    phone: str = field(repr=False)
    """At least the last four digits."""
    amount: Money | None = None
    """What he is about to give; None: the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """A claim, with all that an agent has to know of the recipient."""

    id: str
    code_id: str
    agent_id: str
    agent_reference: str
    state: str
    money: Money
    holder: str = field(repr=False)
    msisdn: str = field(repr=False)
    country: str
    shop: str
    reserved_at: datetime
    closed_at: datetime | None


_COUNT = text("""
INSERT INTO pickup_misses AS m (agent_id, misses, since) VALUES (:agent, 1, :now)
ON CONFLICT (agent_id) DO UPDATE SET
    misses = CASE WHEN m.since <= :begin THEN 1 ELSE least(m.misses, 1000000) + 1 END,
    since = CASE WHEN m.since <= :begin THEN excluded.since ELSE m.since END
RETURNING misses
""")
_UNCOUNT = text("UPDATE pickup_misses SET misses = greatest(misses - 1, 0) WHERE agent_id = :agent")
_MISS = text("UPDATE pickup_codes SET misses = misses + 1 WHERE id = :id RETURNING misses")
_FORGIVE = text("UPDATE pickup_codes SET misses = 0, updated_at = :now WHERE id = :id")
_VIEW = """
SELECT w.id, w.code_id, w.agent_id, w.agent_reference, w.state, c.asset, s.decimals, c.units, c.holder, c.msisdn, c.country,
    a.shop, w.reserved_at, w.closed_at
FROM pickup_claims AS w JOIN pickup_codes AS c ON c.id = w.code_id JOIN assets AS s ON s.code = c.asset
    JOIN agents AS a ON a.id = w.agent_id
"""
_BY_ID = text(f"{_VIEW} WHERE w.id = :id")
_BY_REFERENCE = text(f"{_VIEW} WHERE w.agent_id = :agent AND w.agent_reference = :reference")
_LIST = text(f"""{_VIEW} WHERE :agent IN ('', w.agent_id) AND (:all OR w.state = 'reserved')
ORDER BY w.reserved_at DESC, w.id DESC LIMIT :most""")
_RESERVE = text("""
INSERT INTO pickup_claims (id, code_id, agent_id, agent_reference, state, reserved_at)
VALUES (:id, :code, :agent, :reference, 'reserved', :now)
""")
_TAKE_FLOAT = text("""
UPDATE agent_floats SET reserved_units = reserved_units + :units
WHERE agent_id = :agent AND asset = :asset AND owed_units + reserved_units + :units <= most_units
""")
_GIVE_FLOAT_BACK = text("""
UPDATE agent_floats SET reserved_units = reserved_units - :units WHERE agent_id = :agent AND asset = :asset
""")
_OWE = text("""
UPDATE agent_floats SET reserved_units = reserved_units - :units, owed_units = owed_units + :units
WHERE agent_id = :agent AND asset = :asset
""")
_CLOSE = text("UPDATE pickup_claims SET state = :state, document = :document, closed_at = :now WHERE id = :id")
_SPEND = text("UPDATE network_accounts SET held_units = held_units - :units WHERE id = :account")


async def look_up(engine: AsyncEngine, *, wish: ClaimWish, rules: PickupRules, now: datetime) -> Money:
    """How much a code would pay, without claiming it; counted as a claim is. Raises as `claim` does."""

    async def act(connection: AsyncConnection, code: CodeView) -> Money:  # noqa: RUF029 - as `claim` has it
        return code.money

    return await _counted(engine, wish=wish, rules=rules, now=now, act=act)


async def claim(engine: AsyncEngine, *, wish: ClaimWish, rules: PickupRules, now: datetime) -> ClaimView:
    """Reserve a code for an agent. His own id again is the same claim, and is not looked up a second time.

    Raises `WrongCode`, `TooManyWrong`, `CodeLocked`, `LessThanWhole`, `MoreThanWhole`, `WrongState`, `FloatFull`,
    `ReferenceReused`. What was wrong is counted even so.
    """
    if not 1 <= len(wish.agent_reference) <= REFERENCE_MOST or not wish.agent_reference.isprintable():
        raise NotYours

    async def act(connection: AsyncConnection, code: CodeView) -> ClaimView:
        return await _reserve(connection, code, wish=wish, now=now)

    return await _counted(engine, wish=wish, rules=rules, now=now, act=act)


async def confirm(
    engine: AsyncEngine, *, agent_id: str, claim_id: str, document: str, now: datetime
) -> ClaimView:
    """The cash is given, to the holder of this document. Again is the same.

    Raises `NotYours`, `DocumentMissing`, and `WrongState` for a claim that was released.
    """
    tidy = " ".join(document.split())
    if not DOCUMENT_LEAST <= len(tidy) <= DOCUMENT_MOST or not tidy.isprintable():
        raise DocumentMissing
    async with transaction(engine, point="pickup.confirm") as connection:
        found, code = await _locked(connection, claim_id, now=now)
        if found.agent_id != agent_id:
            raise NotYours
        if found.state == RELEASED:
            raise WrongState(found.state)
        if found.state == RESERVED:
            await _hand_over(connection, found, code, document=tidy, now=now)
        return await find_claim(connection, claim_id=claim_id, agent_id=agent_id)


async def release(
    connection: AsyncConnection, *, claim_id: str, operator: str, reason: str, now: datetime
) -> ClaimView:
    """A person has made sure that no cash was given: the code waits again. Raises `NotYours`, `WrongState`."""
    await record_action(
        connection, operator=operator, action="agent.release", subject=f"claim:{claim_id}", reason=reason, now=now
    )
    found, code = await _locked(connection, claim_id, now=now)
    if found.state != RESERVED:
        raise WrongState(found.state)
    await connection.execute(_CLOSE, {"id": claim_id, "state": RELEASED, "document": None, "now": now})
    await set_state(connection, code_id=code.id, state=ACTIVE, now=now)
    values = {"agent": found.agent_id, "asset": found.money.asset.code, "units": found.money.units}
    await connection.execute(_GIVE_FLOAT_BACK, values)
    return await find_claim(connection, claim_id=claim_id)


async def unlock(connection: AsyncConnection, *, code_id: str, operator: str, reason: str, now: datetime) -> None:
    """A person lets a locked code be claimed again. Raises `NotYours`."""
    await record_action(
        connection, operator=operator, action="agent.unlock", subject=f"code:{code_id}", reason=reason, now=now
    )
    if await lock_code(connection, code_id=code_id, now=now) is None:
        raise NotYours
    await connection.execute(_FORGIVE, {"id": code_id, "now": now})


async def find_claim(connection: AsyncConnection, *, claim_id: str, agent_id: str | None = None) -> ClaimView:
    """A claim; with `agent_id` one of his only. Raises `NotYours`."""
    row = (await connection.execute(_BY_ID, {"id": claim_id})).one_or_none()
    if row is None or agent_id not in (None, row.agent_id):
        raise NotYours
    return _view(row)


async def list_claims(
    connection: AsyncConnection, *, agent_id: str = "", everything: bool = False, most: int = 100
) -> list[ClaimView]:
    """Claims that wait for their confirmation, or all, the newest first."""
    rows = await connection.execute(_LIST, {"agent": agent_id, "all": everything, "most": most})
    return [_view(row) for row in rows]


async def _counted(engine: AsyncEngine, *, wish: ClaimWish, rules: PickupRules, now: datetime, act: Any) -> Any:
    """Count, look, and act; take the count back for a right code. A refusal is raised after what it counted is committed."""
    async with transaction(engine) as connection:
        before = await _repeated(connection, wish)
        if before is not None and act.__name__ == "act" and before.code_id:
            pass
        counted = {"agent": wish.agent_id, "now": now, "begin": now - WINDOW}
        misses = (await connection.execute(_COUNT, counted)).scalar_one()
        if misses == rules.wrong_per_agent + 1:
            await _alarm(connection, "pickup_guessing", f"agent:{wish.agent_id}:{now.isoformat()}", now=now)
    if misses > rules.wrong_per_agent:
        raise TooManyWrong(int(WINDOW.total_seconds() // 60))
    refusal: NetworkRefusal | None = None
    result = None
    async with transaction(engine, point="pickup.claim") as connection:
        try:
            code = await _judged(connection, wish, rules=rules, now=now)
            result = await act(connection, code)
            await connection.execute(_UNCOUNT, {"agent": wish.agent_id})
        except (WrongCode, LessThanWhole, MoreThanWhole, CodeLocked) as wrong:
            refusal = wrong
    if refusal is not None:
        raise refusal
    return result
