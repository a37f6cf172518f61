"""The counter's first step: an agent claims a code, which reserves it for him and tells him who is to be paid.

Wrong codes are counted before they are looked at, by agent, so that many at once don't slip through; wrong facts about a
right code are counted by the code, which then locks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.agents.claims import RELEASED, ClaimView, find_by_reference, find_claim
from gateway.agents.codes import ACTIVE, CLAIMED, CodeView, lock_digits, set_state
from gateway.agents.digits import digest, read_digits
from gateway.agents.errors import (
    CodeLocked,
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
from gateway.money import Money, MoneyError
from gateway.operators.incidents import Alarm, open_incidents

PHONE_LEAST = 4
"""How many of the last digits of his phone number a recipient tells at least."""
REFERENCE_MOST = 100
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimWish:
    """What an agent gives: the code, what the recipient says of himself, and the agent's own id of the transaction."""

    agent_id: str
    agent_reference: str
    code: str = field(repr=False)
    phone: str = field(repr=False)
    """At least the last four digits."""
    amount: str | None = None
    """What he is about to give, as a plain decimal; None: the whole."""
    currency: str | None = None


_COUNT = text("""
INSERT INTO pickup_misses AS m (agent_id, misses, since) VALUES (:agent, 1, :now)
ON CONFLICT (agent_id) DO UPDATE SET
    misses = CASE WHEN m.since <= :begin THEN 1 ELSE least(m.misses, 1000000) + 1 END,
    since = CASE WHEN m.since <= :begin THEN excluded.since ELSE m.since END
RETURNING misses
""")
_UNCOUNT = text("UPDATE pickup_misses SET misses = greatest(misses - 1, 0) WHERE agent_id = :agent")
_MISS = text("UPDATE pickup_codes SET misses = misses + 1 WHERE id = :id RETURNING misses")
_SAME_CODE = text("SELECT code_hash = :code_hash FROM pickup_codes WHERE id = :id")
_RESERVE = text("""
INSERT INTO pickup_claims (id, code_id, agent_id, agent_reference, state, reserved_at)
VALUES (:id, :code, :agent, :reference, 'reserved', :now)
ON CONFLICT (agent_id, agent_reference) DO NOTHING
""")
_TAKE_FLOAT = text("""
UPDATE agent_floats SET reserved_units = reserved_units + :units
WHERE agent_id = :agent AND asset = :asset AND owed_units + reserved_units + :units <= most_units
""")


async def look_up(engine: AsyncEngine, *, wish: ClaimWish, rules: PickupRules, now: datetime) -> Money:
    """How much a code would pay, without claiming it; counted as a claim is. Raises as `claim` does."""

    async def act(_connection: AsyncConnection, code: CodeView) -> Money:
        return code.money

    return await _counted(engine, wish=wish, rules=rules, now=now, act=act)


async def claim(engine: AsyncEngine, *, wish: ClaimWish, rules: PickupRules, now: datetime) -> ClaimView:
    """Reserve a code for an agent. The same under his own id again is the same claim.

    Raises `WrongCode`, `TooManyWrong`, `CodeLocked`, `LessThanWhole`, `MoreThanWhole`, `WrongState`, `FloatFull`,
    `ReferenceReused`. What was wrong is counted even so.
    """
    if not 1 <= len(wish.agent_reference) <= REFERENCE_MOST or not wish.agent_reference.isprintable():
        raise NotYours
    if (before := await _made_before(engine, wish, rules=rules)) is not None:
        return before

    async def act(connection: AsyncConnection, code: CodeView) -> ClaimView:
        return await _reserve(connection, code, wish=wish, now=now)

    try:
        return await _counted(engine, wish=wish, rules=rules, now=now, act=act)
    except (WrongState, ReferenceReused):
        # Sent twice at once, the one that came second finds the code claimed: by the first.
        if (before := await _made_before(engine, wish, rules=rules)) is not None:
            return before
        raise


async def _made_before(engine: AsyncEngine, wish: ClaimWish, *, rules: PickupRules) -> ClaimView | None:
    async with transaction(engine) as connection:
        found = await find_by_reference(connection, agent_id=wish.agent_id, reference=wish.agent_reference)
        if found is None:
            return None
        values = {"id": found.code_id, "code_hash": digest(read_digits(wish.code) or "", key=rules.key)}
        same_code = (await connection.execute(_SAME_CODE, values)).scalar_one()
    if not same_code or wish.amount not in (None, found.money.decimal()):
        raise ReferenceReused
    if found.state == RELEASED:
        raise WrongState(found.state)
    return found


async def _counted(
    engine: AsyncEngine,
    *,
    wish: ClaimWish,
    rules: PickupRules,
    now: datetime,
    act: Callable[[AsyncConnection, CodeView], Awaitable[T]],
) -> T:
    """Count, look, act; a count for something wrong stays. What is refused is raised after the count is committed."""
    await _count(engine, agent_id=wish.agent_id, rules=rules, now=now)
    async with transaction(engine) as connection:
        try:
            code = await _judged(connection, wish, rules=rules, now=now)
        except (WrongCode, CodeLocked, LessThanWhole, MoreThanWhole) as wrong:
            refusal: NetworkRefusal = wrong
        else:
            await connection.execute(_UNCOUNT, {"agent": wish.agent_id})
            try:
                async with connection.begin_nested():
                    return await act(connection, code)
            except NetworkRefusal as refused:
                refusal = refused
    raise refusal


async def _count(engine: AsyncEngine, *, agent_id: str, rules: PickupRules, now: datetime) -> None:
    async with transaction(engine) as connection:
        counted = await connection.execute(_COUNT, {"agent": agent_id, "now": now, "begin": now - WINDOW})
        misses = counted.scalar_one()
        if misses == rules.wrong_per_agent + 1:
            cause = f"pickup_guessing:{agent_id}:{now:%Y-%m-%dT%H:%M}"
            alarm = Alarm(cause, "pickup_guessing", None, {"agent": agent_id})
            await open_incidents(connection, alarms=[alarm], now=now)
    if misses > rules.wrong_per_agent:
        raise TooManyWrong(int(WINDOW.total_seconds() // 60))


async def _judged(connection: AsyncConnection, wish: ClaimWish, *, rules: PickupRules, now: datetime) -> CodeView:
    """The code, locked, if all that the agent says of it is right. What is wrong is counted by the code."""
    digits = read_digits(wish.code)
    code = None if digits is None else await lock_digits(connection, digits=digits, rules=rules, now=now)
    if code is None:
        raise WrongCode
    if code.misses >= rules.wrong_per_code:
        raise CodeLocked
    wrong = _wrong(code, wish)
    if wrong is not None:
        misses = (await connection.execute(_MISS, {"id": code.id})).scalar_one()
        if misses == rules.wrong_per_code:
            alarm = Alarm(f"pickup_locked:{code.id}:{code.renewals}", "pickup_locked", None, {"code": code.id})
            await open_incidents(connection, alarms=[alarm], now=now)
        raise wrong
    return code


def _wrong(code: CodeView, wish: ClaimWish) -> NetworkRefusal | None:
    phone = "".join(each for each in wish.phone if each.isascii() and each.isdigit())
    if len(phone) < PHONE_LEAST or not code.msisdn.endswith(phone) or wish.currency not in (None, code.money.asset.code):
        return WrongCode()
    if wish.amount is None:
        return None
    try:
        given = Money.parse(wish.amount, code.money.asset)
    except MoneyError:
        return WrongCode()
    if given == code.money:
        return None
    return LessThanWhole() if given < code.money else MoreThanWhole()


async def _reserve(connection: AsyncConnection, code: CodeView, *, wish: ClaimWish, now: datetime) -> ClaimView:
    if code.state != ACTIVE:
        raise WrongState(code.state)
    taken = {"agent": wish.agent_id, "asset": code.money.asset.code, "units": code.money.units}
    if (await connection.execute(_TAKE_FLOAT, taken)).rowcount == 0:
        raise FloatFull
    claim_id = new_id("wdr", now=now)
    values = {"id": claim_id, "code": code.id, "agent": wish.agent_id, "reference": wish.agent_reference, "now": now}
    if (await connection.execute(_RESERVE, values)).rowcount == 0:
        raise ReferenceReused
    await set_state(connection, code_id=code.id, state=CLAIMED, now=now)
    return await find_claim(connection, claim_id=claim_id)
