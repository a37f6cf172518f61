"""Dispatch: claim funded orders, commit an attempt for each, send them all at once, record the answers as a set."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.session import transaction
from gateway.ids import new_id
from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Destination, Fault, Instruction, Method, Outcome, Report
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.advance import Move, advance
from gateway.orders.states import E
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.send import send
from gateway.routing.candidates import candidates

SET = 200
"""Orders sent in one go: a tenth faster than a hundred; more gain nothing."""
MARGIN = timedelta(seconds=5)
"""What a lease lasts beyond the adapter's answer_within: time to commit the claim and to record the answer."""
FAILURES_ALARMING = 6
"""Failed attempts after which a person is told (some five minutes of waiting in all). We go on trying."""
FAILURES_MOST = 150
"""Failed attempts after which the order is held for a person: about a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A committed attempt that this worker alone may send until `until`."""

    adapter: str
    instruction: Instruction
    lease: int
    until: datetime


def lease_until(capabilities: Capabilities, *, now: datetime) -> datetime:
    """Until when a worker that claims now may take to send and record."""
    return now + capabilities.answer_within + MARGIN


_CLAIM = text("""
SELECT o.id, o.version, q.receive_units, q.receive_asset, s.decimals, q.country, q.method, r.name, r.account,
    p.adapters AS tried, p.faults
FROM orders AS o
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS s ON s.code = q.receive_asset
JOIN recipients AS r ON r.order_id = o.id
LEFT JOIN LATERAL (
    SELECT array_agg(adapter ORDER BY id) AS adapters, array_agg(fault ORDER BY id) AS faults
    FROM attempts WHERE order_id = o.id
) AS p ON true
WHERE o.state = 'funded' AND o.due_at <= :now
AND q.send_asset NOT IN (SELECT asset FROM asset_freezes WHERE lifted_at IS NULL)
ORDER BY o.due_at
LIMIT :most
FOR UPDATE OF o SKIP LOCKED
""")
_OPEN = text("""
INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, evidence, asks, due_at, lease_token,
    lease_until, created_at, updated_at)
SELECT id, order_id, adapter, asset, units, 'sending', '{}', 0, until, nextval('lease_tokens'), until, :now, :now
FROM jsonb_to_recordset(CAST(:attempts AS jsonb))
    AS a (id text, order_id text, adapter text, asset text, units numeric, until timestamptz)
RETURNING id, lease_token
""")


async def dispatch(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Send one set of orders that are due. Returns how many orders it moved."""
    now = clock()
    async with transaction(engine) as connection:
        moved, claimed = await _claim(connection, rails=rails, now=now)
    news = await _send_all(claimed, rails=rails, clock=clock)
    if news:
        async with transaction(engine) as connection:
            await record(connection, news=news, now=clock())
    return moved


async def _claim(connection: AsyncConnection, *, rails: Rails, now: datetime) -> tuple[int, list[Claimed]]:
    rows = (await connection.execute(_CLAIM, {"now": now, "most": SET})).all()
    capabilities = rails.capabilities
    choices = [(row, _choose(row, capabilities)) for row in rows]
    chosen = [(row, choice) for row, choice in choices if choice in rails]
    holds = [
        Move(order_id=row.id, event=E.HOLD_PLACED, cause=f"no_rail:{row.version}", data={"reason": choice})
        for row, choice in choices
        if choice not in rails
    ]
    await open_incidents(connection, alarms=[_delayed(row) for row in rows if _failures(row) == FAILURES_ALARMING], now=now)
    claimed = await _open_attempts(connection, chosen, rails=rails, now=now)
    dispatched = [
        Move(
            order_id=row.id,
            event=E.DISPATCHED,
            cause=f"attempt:{item.instruction.attempt_id}:dispatched",
            data={"attempt": item.instruction.attempt_id, "adapter": item.adapter},
        )
        for (row, _), item in zip(chosen, claimed, strict=True)
    ]
    await advance(connection, moves=[*dispatched, *holds], now=now, locked=True)
    return len(rows), claimed


def _choose(row: Row[tuple[object, ...]], capabilities: Mapping[str, Capabilities]) -> str:
    """The rail to ask, or the reason why there is none."""
    faults = list(zip(row.tried or (), row.faults or (), strict=True))
    refused = [adapter for adapter, fault in faults if fault in (Fault.RECIPIENT, Fault.RAIL)]
    found = candidates(capabilities, country=row.country, method=Method(row.method), deliver=_deliver(row), without=refused)
    if found and len(faults) < FAILURES_MOST:
        tries = Counter(adapter for adapter, _ in faults)
        return min(found, key=lambda name: tries[name])
    if any(fault == Fault.RECIPIENT for _, fault in faults):
        return "recipient_refused"
    return "rail_unavailable"


def _failures(row: Row[tuple[object, ...]]) -> int:
    return len(row.tried or ())


def _delayed(row: Row[tuple[object, ...]]) -> Alarm:
    return Alarm(
        f"order:{row.id}:delayed", "payout_delayed", row.id, {"last_rail": row.tried[-1], "fault": str(row.faults[-1])}
    )


def _deliver(row: Row[tuple[object, ...]]) -> Money:
    return Money(int(row.receive_units), Asset(row.receive_asset, row.decimals))


async def _open_attempts(
    connection: AsyncConnection, chosen: Sequence[tuple[Row[tuple[object, ...]], str]], *, rails: Rails, now: datetime
) -> list[Claimed]:
    if not chosen:
        return []
    ids = [new_id("att", now=now) for _ in chosen]
    until = [lease_until(rails[adapter].capabilities, now=now) for _, adapter in chosen]
    document = [
        {
            "id": attempt_id,
            "order_id": row.id,
            "adapter": adapter,
            "asset": row.receive_asset,
            "units": str(row.receive_units),
            "until": end.isoformat(),
        }
        for attempt_id, (row, adapter), end in zip(ids, chosen, until, strict=True)
    ]
    opened = await connection.execute(_OPEN, {"now": now, "attempts": json.dumps(document)})
    leases = {row.id: row.lease_token for row in opened}
    return [
        Claimed(
            adapter=adapter,
            instruction=Instruction(attempt_id=attempt_id, deliver=_deliver(row), to=_destination(row)),
            lease=leases[attempt_id],
            until=end,
        )
        for attempt_id, (row, adapter), end in zip(ids, chosen, until, strict=True)
    ]


def _destination(row: Row[tuple[object, ...]]) -> Destination:
    return Destination(country=row.country, method=Method(row.method), account=row.account, holder=row.name)


async def _send_all(claimed: Sequence[Claimed], *, rails: Rails, clock: Clock) -> list[News]:
    async def one(item: Claimed) -> News:
        adapter = rails[item.adapter]
        # Too little of the lease is left for an answer (a frozen worker, a slow commit): it is not sent. Whoever took the
        # lease over in between is not disturbed, for then this news is under an old lease.
        if clock() + adapter.capabilities.answer_within > item.until:
            report = Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="not sent: the lease ran out")
        else:
            report = await send(adapter, item.instruction)
        return News(attempt_id=item.instruction.attempt_id, report=report, lease=item.lease)

    return list(await asyncio.gather(*(one(item) for item in claimed)))
