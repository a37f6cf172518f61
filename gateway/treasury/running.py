"""Approved moves are begun, ended, and found to have arrived. What happens in between happens to any payout.

A move begins once, as an attempt of its order that is committed before anything of it is sent: gateway.payouts and
gateway.sagas do the rest, whatever is killed when. Nothing is tried a second time: if the rail proves that it didn't pay,
the move is over and a person is told; while it isn't known, the rail is asked or a person says.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.faults import again, passes
from gateway.db.session import reading, transaction
from gateway.ids import new_id
from gateway.ledger.post import post
from gateway.offramp import Instruction
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.advance import Move as Step
from gateway.orders.advance import advance
from gateway.orders.states import E
from gateway.payouts.allowances import allowances, take
from gateway.payouts.breakers import judge, note
from gateway.payouts.pace import lease_until
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.send import Claimed, send_all
from gateway.treasury.approvals import end_run
from gateway.treasury.house import arrival, departure, give_up
from gateway.treasury.levels import read_levels
from gateway.treasury.moves import Stage
from gateway.treasury.outlook import spare
from gateway.treasury.plan import Move
from gateway.treasury.plans import move_of

log = structlog.get_logger()

BEGIN, CANCEL, GIVE_UP, ARRIVE = "begin", "cancel", "give_up", "arrive"

# The order's row is locked with the run's: whoever steps an order holds it, so that what is read here stays so. An order
# that has arrived and is funded again was sent back by the bank.
_OPEN = """
SELECT m.*, g.decimals AS give_decimals, s.decimals, r.order_id, r.outcome AS ended, o.updated_at,
    CASE WHEN o.state = 'paid' THEN 'arrive'
         WHEN EXISTS (SELECT FROM attempts AS t WHERE t.order_id = o.id) THEN 'give_up'
         WHEN m.after IS NULL OR b.outcome = 'arrived' THEN CASE WHEN o.state = 'funded' AND m.at <= :now THEN 'begin' END
         WHEN b.outcome IS NOT NULL OR (b.approved_at IS NULL AND p.valid_until <= :now) THEN 'cancel' END AS deed
FROM float_runs AS r JOIN float_moves AS m ON m.id = r.move_id JOIN float_plans AS p ON p.id = m.plan_id
JOIN assets AS g ON g.code = m.give_asset JOIN assets AS s ON s.code = m.asset JOIN orders AS o ON o.id = r.order_id
LEFT JOIN float_runs AS b ON b.move_id = m.after
WHERE (r.ended_at IS NULL AND o.state IN ('funded', 'held', 'paid')
    OR r.outcome = 'arrived' AND o.state IN ('funded', 'held'))
"""
_LOOK = text(f"{_OPEN} ORDER BY m.at, m.id")
_TAKE = text(f"{_OPEN} AND m.id = :id FOR UPDATE OF r, o SKIP LOCKED")
_ATTEMPT = text("""
INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, way, outcome, evidence, asks, due_at, lease_token,
    lease_until, created_at, updated_at)
VALUES (:id, :order_id, :rail, :asset, :units, 0, 'sending', '{}', 0, :until, nextval('lease_tokens'), :until, :now, :now)
RETURNING lease_token
""")
_LAST = text("SELECT id, adapter, outcome, reason FROM attempts WHERE order_id = :order_id ORDER BY id DESC LIMIT 1")


async def run_moves(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Do what is due of all approved moves. Returns how many it did something for."""
    async with reading(engine) as connection:
        found = [row for row in await connection.execute(_LOOK, {"now": clock()}) if row.deed is not None]
    did = 0
    for row in found:
        try:
            did += await _step(engine, row.id, rails=rails, clock=clock)
        except Exception as error:
            if passes(error):
                raise
            # It keeps none of the others, and is listed as stuck when it is late.
            log.exception("move_not_done", move=row.id)
    return did


async def _step(engine: AsyncEngine, move_id: str, *, rails: Rails, clock: Clock) -> bool:
    """Do what is due of one move, and send it if it begins. Whether there was anything to do."""
    async with transaction(engine, point="moves.step") as connection:
        row = (await connection.execute(_TAKE, {"now": clock(), "id": move_id})).one_or_none()
        done = None if row is None else await _do(connection, row, rails=rails, now=clock())
    if isinstance(done, Claimed):
        async with aclosing(send_all([done], rails=rails, clock=clock)) as answers:
            async for news in answers:
                await again(partial(_record, engine, news, rail=done.adapter, rails=rails, clock=clock))
    return done is not None


async def _do(connection: AsyncConnection, row: Row[Any], *, rails: Rails, now: datetime) -> Claimed | bool | None:
    """One move's next step: what is to be sent, or that something was done; None: it waits."""
    move = move_of(row)
    if row.deed == BEGIN:
        return await _begin(connection, row.order_id, move, rails=rails, now=now)
    if row.deed == CANCEL:
        why = f"{move.after}, after which it was to come, didn't"
        await _end(connection, row, move, outcome=Stage.CANCELLED, why=why, now=now)
        return True
    if row.deed == GIVE_UP:
        attempt = (await connection.execute(_LAST, {"order_id": row.order_id})).one()
        why = f"{attempt.adapter} says {attempt.outcome}" + (f": {attempt.reason}" if attempt.reason else "")
        await _end(connection, row, move, outcome=Stage.FAILED, why=why, now=now)
        return True
    return await _arrive(connection, row, move, now=now) if row.deed == ARRIVE else None


async def _begin(connection: AsyncConnection, order_id: str, move: Move, *, rails: Rails, now: datetime) -> Claimed | None:
    """Commit the attempt, if its rail has room and the money is there; None: it is looked at again."""
    assert move.by is not None
    assert move.to is not None
    if move.by not in rails:
        return None
    # The rail's row is locked first: nobody takes from what is there between our look and our commit.
    allowed = (await allowances(connection, rails=Rails({move.by: rails[move.by]}), now=now))[move.by]
    left = await spare(connection, account=move.from_, asset=move.give.asset, now=now)
    if allowed.most <= 0 or (left is not None and left < 0):
        return None
    attempt_id, until = new_id("att", now=now), lease_until(rails[move.by].capabilities, now=now)
    values = {"id": attempt_id, "order_id": order_id, "rail": move.by, "until": until, "now": now}
    money = {"asset": move.money.asset.code, "units": move.money.units}
    lease = (await connection.execute(_ATTEMPT, {**values, **money})).scalar_one()
    data = {"attempt": attempt_id, "adapter": move.by}
    step = Step(order_id=order_id, event=E.DISPATCHED, cause=f"attempt:{attempt_id}:dispatched", data=data)
    await advance(connection, moves=[step], now=now, locked=True)
    await take(connection, counts={move.by: 1} if allowed.paced else {}, now=now)
    instruction = Instruction(attempt_id=attempt_id, deliver=move.money, to=move.to)
    return Claimed(adapter=move.by, order_id=order_id, instruction=instruction, lease=lease, until=until)


async def _record(engine: AsyncEngine, news: Sequence[News], *, rail: str, rails: Rails, clock: Clock) -> None:
    seen, now = [judge(rail, item.report) for item in news], clock()
    async with transaction(engine, point="moves.record") as connection:
        await record(connection, news=news, now=now, capabilities=rails.capabilities)
        await note(connection, seen=[one for one in seen if one], now=now)


async def _end(connection: AsyncConnection, row: Row[Any], move: Move, *, outcome: Stage, why: str, now: datetime) -> None:
    """Give back what it was funded with, and tell a person. Of one that had arrived, that is taken back first."""
    if row.ended is not None:
        cause = f"move:{move.id}:returned"
        await post(connection, entries=[departure(move, cause=cause, order_id=row.order_id)], now=now)
    await give_up(connection, order_id=row.order_id, move=move, why=why, now=now)
    await end_run(connection, move_id=move.id, outcome=outcome, why=why, now=now)
    detail = {
        "move": move.id,
        "money": str(move.money),
        "from": move.from_,
        "to": move.to_rail,
        "why": why,
        "next": "make a new plan: lastmile float plan --ask",
    }
    alarm = Alarm(f"move:{move.id}:{outcome}", f"float_move_{outcome}", row.order_id, detail)
    await open_incidents(connection, alarms=[alarm], now=now)


# A line of the rail's statement that brings just this, written since the move was paid and not booked yet.
_LINE = text("""
SELECT l.line_id FROM statement_lines AS l
WHERE (l.rail, l.kind, l.asset, l.units) = (:rail, 'top_up', :asset, :units) AND l.at >= :since
AND NOT EXISTS (SELECT FROM journal_entries AS j WHERE j.cause IN (
    'top_up\\:' || l.rail || '\\:' || l.line_id, 'top_up\\:' || l.rail || '\\:' || l.provider_ref))
AND NOT EXISTS (SELECT FROM statement_bookings AS b WHERE (b.rail, b.line_id) = (l.rail, l.line_id))
ORDER BY l.at, l.line_id LIMIT 1
""")
_TELLS = text("SELECT EXISTS (SELECT FROM statement_periods WHERE rail = :rail)")
_SINCE = text("SELECT min(created_at) FROM attempts WHERE order_id = :order_id")


async def _arrive(connection: AsyncConnection, row: Row[Any], move: Move, *, now: datetime) -> bool | None:
    """Book what the rail shows to be there: a line of its statement; of a rail without one, that it holds so much more."""
    since = (await connection.execute(_SINCE, {"order_id": row.order_id})).scalar_one()
    asset, units = move.money.asset, move.money.units
    values = {"rail": move.to_rail, "asset": asset.code, "units": units, "since": since}
    line = (await connection.execute(_LINE, values)).scalar_one_or_none()
    if line is not None:
        reference, why = line, f"line {line} of {move.to_rail}'s statement"
    elif await _holds_more(connection, row, move, now=now):
        reference, why = move.id, f"{move.to_rail} holds {move.money} more than the books said"
    else:
        return None
    entry = arrival(move, cause=f"top_up:{move.to_rail}:{reference}", order_id=row.order_id)
    await post(connection, entries=[entry], now=now)
    await end_run(connection, move_id=move.id, outcome=Stage.ARRIVED, why=why, now=now)
    return True


async def _holds_more(connection: AsyncConnection, row: Row[Any], move: Move, *, now: datetime) -> bool:
    if (await connection.execute(_TELLS, {"rail": move.to_rail})).scalar_one():
        return False
    levels = await read_levels(connection, rails=[move.to_rail], now=now)
    level = next((level for level in levels if level.asset == move.money.asset), None)
    if level is None or level.difference is None or level.told_at is None or level.told_at < row.updated_at:
        return False
    return level.difference >= move.money.units
