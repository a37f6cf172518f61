"""Breakers in the database: one per rail, for all processes together. What they do is in `gateway.payouts.health`.

A rail that works has no row, or one that counts nothing; then what is seen of it costs one short question. From its first
failure on, every process adds to the same row whatever it sees, good and bad, until a minute has passed without a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import quick, wake
from gateway.errors import Refusal
from gateway.operators.actions import record_action
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.health import Breaker, Health, Seen, after, judge

__all__ = ["Breaker", "BreakerState", "Seen", "breaker_states", "close_breaker", "judge", "note", "open_breaker"]


class BreakerState(NamedTuple):
    """A breaker as lists show it. Rails without one are closed, and nothing is known against them."""

    rail: str
    state: Breaker
    since: datetime | None
    """When that state began."""
    reason: str | None
    """Why it opened: what the rail answered, or what the operator wrote."""
    stopped_by: str | None
    open_until: datetime | None
    """When it lets a probe through, if it is open."""
    failures_in_row: int


class BreakerIsOpen(Refusal):
    """A rail that a person stopped already."""

    code = "rail_already_stopped"

    def __init__(self, rail: str, by: str) -> None:
        super().__init__(f'rail "{rail}" was stopped already, by {by}; `lastmile rails` shows why')


class BreakerIsClosed(Refusal):
    """A rail that nothing stops."""

    code = "rail_not_stopped"

    def __init__(self, rail: str) -> None:
        super().__init__(f'nothing stops rail "{rail}": its breaker is closed')


_HEALTH = ", ".join(field.name for field in fields(Health))
_SUSPECT = text("""
SELECT array_agg(rail) FROM rail_states WHERE rail = ANY(CAST(:rails AS text[])) AND (state <> 'closed' OR bad > 0)
""")
_MAKE = text("""
INSERT INTO rail_states (rail) SELECT unnest(CAST(:rails AS text[])) AS rail ORDER BY rail ON CONFLICT DO NOTHING
""")
_LOCK = text(f"""
SELECT rail, {_HEALTH} FROM rail_states WHERE rail = ANY(CAST(:rails AS text[])) ORDER BY rail FOR UPDATE
""")  # noqa: S608 - the column list is ours
_WRITE = text(f"""
UPDATE rail_states SET ({_HEALTH}) = ({", ".join(f":{field.name}" for field in fields(Health))}) WHERE rail = :rail
""")  # noqa: S608 - the column list is ours


async def note(connection: AsyncConnection, *, seen: Sequence[Seen], now: datetime) -> None:
    """Write what sendings showed of their rails' health (`judge`), in the caller's transaction, best at its end.

    The rows it locks are held until the transaction ends. Only answers to sendings belong here: a rail that answers
    questions may still pay nothing.
    """
    if not seen:
        return
    rails = {one.rail for one in seen}
    failing = {one.rail for one in seen if not one.ok}
    found = await quick(connection, _SUSPECT, {"rails": sorted(rails - failing)}) if rails - failing else None
    concerned = sorted(failing | set((found and found[0]) or ()))
    if not concerned:
        return
    if failing:
        await connection.execute(_MAKE, {"rails": sorted(failing)})
    rows = (await connection.execute(_LOCK, {"rails": concerned})).all()
    opened = []
    for row in rows:
        before = _health(row)
        health = after(before, [one for one in seen if one.rail == row.rail], rail=row.rail, now=now)
        if health != before:
            await write_health(connection, rail=row.rail, health=health)
        if before.state is Breaker.CLOSED and health.state is Breaker.OPEN:
            opened.append(_alarm(row.rail, health, now=now))
        if health.state is Breaker.CLOSED and before.state is not Breaker.CLOSED:
            await wake(connection, "orders")
    await open_incidents(connection, alarms=opened, now=now)


async def write_health(connection: AsyncConnection, *, rail: str, health: Health) -> None:
    """Write a breaker whose row is there and locked."""
    await connection.execute(_WRITE, {"rail": rail, **asdict(health)})


_LIST = text("""
SELECT rail, state, since, reason, stopped_by, open_until, in_row FROM rail_states ORDER BY rail
""")


async def breaker_states(connection: AsyncConnection) -> list[BreakerState]:
    """Every breaker that ever counted something, by the name of its rail."""
    return [BreakerState(row.rail, Breaker(row.state), *tuple(row)[2:]) for row in await connection.execute(_LIST)]


_STOP = text("""
UPDATE rail_states SET state = 'stopped', stopped_by = :operator, reason = :reason, since = :now, open_until = NULL,
    openings = 0, in_row = 0, good = 0, bad = 0, window_from = NULL
WHERE rail = :rail
""")
_START = text("""
UPDATE rail_states SET state = 'closed', stopped_by = NULL, reason = NULL, since = :now, open_until = NULL,
    openings = 0, in_row = 0, good = 0, bad = 0, window_from = NULL
WHERE rail = :rail
""")
_BY = text("SELECT state, stopped_by FROM rail_states WHERE rail = :rail FOR UPDATE")


async def open_breaker(connection: AsyncConnection, *, rail: str, operator: str, reason: str, now: datetime) -> None:
    """Send nothing to a rail until a person closes its breaker again. What is under way stays under way.

    Raises `BreakerIsOpen`, and as `record_action` does.
    """
    await record_action(connection, operator=operator, action="rail.stop", subject=f"rail:{rail}", reason=reason, now=now)
    await connection.execute(_MAKE, {"rails": [rail]})
    row = (await connection.execute(_BY, {"rail": rail})).one()
    if row.state == Breaker.STOPPED:
        raise BreakerIsOpen(rail, row.stopped_by)
    await connection.execute(_STOP, {"rail": rail, "operator": operator, "reason": reason.strip(), "now": now})


async def close_breaker(connection: AsyncConnection, *, rail: str, operator: str, reason: str, now: datetime) -> None:
    """Let payments through to a rail again at once, whoever or whatever stopped it.

    Raises `BreakerIsClosed`, and as `record_action` does.
    """
    await record_action(connection, operator=operator, action="rail.start", subject=f"rail:{rail}", reason=reason, now=now)
    row = (await connection.execute(_BY, {"rail": rail})).one_or_none()
    if row is None or row.state == Breaker.CLOSED:
        raise BreakerIsClosed(rail)
    await connection.execute(_START, {"rail": rail, "now": now})
    await wake(connection, "orders")


def _health(row: Row[tuple[object, ...]]) -> Health:
    values = {field.name: getattr(row, field.name) for field in fields(Health)}
    return Health(**{**values, "state": Breaker(row.state)})


def _alarm(rail: str, health: Health, *, now: datetime) -> Alarm:
    # A rail that fails now and then would open one after the other: one in an hour says it.
    until = health.open_until.isoformat() if health.open_until else ""
    detail = {"rail": rail, "reason": health.reason or "", "first_probe_at": until}
    return Alarm(f"breaker:{rail}:{now:%Y-%m-%dT%H}", "breaker_open", None, detail)
