"""Record what rails said of attempts: the rows, and the steps of their orders, as one set in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.offramp import Fault, Outcome, Report
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.advance import Move, advance
from gateway.orders.states import E

EVENTS = {
    Outcome.PAID: E.OUTCOME_PAID,
    Outcome.FAILED: E.OUTCOME_FAILED,
    Outcome.RETURNED: E.OUTCOME_RETURNED,
    Outcome.UNKNOWN: E.OUTCOME_UNKNOWN,
}
"""PENDING and AVAILABLE are no events: they only refresh the attempt."""

CLOSING = frozenset({Outcome.PAID, Outcome.FAILED, Outcome.RETURNED})
FIRST_ASK = timedelta(seconds=2)
LAST_ASK = timedelta(minutes=5)
FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A report of one attempt. `lease` is the fencing token under which it was asked for; None: the rail came to us."""

    attempt_id: str
    report: Report
    lease: int | None = None


def next_ask(asks: int, *, now: datetime) -> datetime:
    """When to ask again about an open attempt: 2 s, 4 s, 8 s … at most every 5 minutes, without end."""
    return now + min(FIRST_ASK * (1 << min(asks, 20)), LAST_ASK)


def retry_at(failures: int, *, now: datetime) -> datetime:
    """When a funded order is tried again after its `failures`-th failed attempt."""
    return now + min(FIRST_RETRY * (1 << min(failures - 1, 20)), LAST_RETRY)


# Orders are locked with their attempts, in the order of their ids, as everywhere; what is read is what the locks hold.
_READ = text("""
SELECT a.id, a.order_id, a.adapter, a.outcome, a.deliver_asset, a.deliver_units, s.decimals, a.asks, a.lease_token,
    a.closed_at, a.fault, a.reason,
    (SELECT count(*) FROM attempts AS p WHERE p.order_id = a.order_id AND p.outcome = 'failed') AS failures
FROM attempts AS a
JOIN orders AS o ON o.id = a.order_id
JOIN assets AS s ON s.code = a.deliver_asset
WHERE a.id = ANY(string_to_array(:ids, ','))
ORDER BY o.id FOR UPDATE OF o, a
""")
_WRITE = text("""
UPDATE attempts AS a SET
    outcome = n.outcome, fault = n.fault, reason = n.reason, evidence = n.evidence,
    provider_ref = COALESCE(n.provider_ref, a.provider_ref), receipt = COALESCE(n.receipt, a.receipt),
    due_at = n.due_at, lease_until = NULL, updated_at = :now, closed_at = CASE WHEN n.due_at IS NULL THEN :now END
FROM jsonb_to_recordset(CAST(:news AS jsonb)) AS n (id text, outcome text, fault text, reason text, evidence jsonb,
    provider_ref text, receipt text, due_at timestamptz)
WHERE a.id = n.id
""")


async def record(connection: AsyncConnection, *, news: Sequence[News], now: datetime) -> int:
    """Write news of attempts in the caller's transaction, at most one per attempt. Returns how many changed something.

    News under an old lease is left out: a newer holder speaks for the attempt. News that contradicts a closed attempt,
    and a payment that isn't what was ordered, open an incident and change nothing else.
    """
    if not news:
        return 0
    ids = ",".join(item.attempt_id for item in news)
    rows = {row.id: row for row in await connection.execute(_READ, {"ids": ids})}
    current = [
        (rows[item.attempt_id], item.report)
        for item in news
        if item.attempt_id in rows and item.lease in (None, rows[item.attempt_id].lease_token)
    ]
    alarms = [alarm for row, report in current if (alarm := _contradiction(row, report))]
    opened = [(row, _checked(row, report)) for row, report in current if row.closed_at is None]
    await open_incidents(connection, alarms=alarms, now=now)
    await _write(connection, opened, now=now)
    moves = [move for row, report in opened if (move := _move(row, report, now=now))]
    returned = [
        _returned(row, now=now)
        for row, report in current
        if row.outcome == Outcome.PAID and report.outcome is Outcome.RETURNED
    ]
    if returned:
        await connection.execute(
            text("UPDATE attempts SET outcome = 'returned', fault = 'recipient', updated_at = :now WHERE id = ANY(:ids)"),
            {"now": now, "ids": [move.data["attempt"] for move in returned]},
        )
    await advance(connection, moves=[*moves, *returned], now=now, locked=True)
    return len(opened) + len(returned)


def _checked(row: Row[tuple[object, ...]], report: Report) -> Report:
    """The report as it counts. A payment of another amount is not the one that was ordered: nobody knows what it is."""
    if report.outcome is Outcome.PAID and report.delivered != _ordered(row):
        return Report(
            outcome=Outcome.UNKNOWN,
            provider_ref=report.provider_ref,
            receipt=report.receipt,
            reason=f"paid {report.delivered} where {_ordered(row)} were ordered",
            evidence=report.evidence,
        )
    if report.outcome is Outcome.FAILED and row.fault is not None:
        # The failure is proven; why it failed, the rail's own callback may have said better.
        return replace(report, fault=Fault(row.fault), reason=f"{report.reason}; the rail said: {row.reason}")
    return report


def _ordered(row: Row[tuple[object, ...]]) -> Money:
    return Money(int(row.deliver_units), Asset(row.deliver_asset, row.decimals))


def _contradiction(row: Row[tuple[object, ...]], report: Report) -> Alarm | None:
    detail = {"attempt": row.id, "adapter": row.adapter, "says": report.outcome, "reason": report.reason or ""}
    if row.closed_at is None:
        if _checked(row, report).outcome is not report.outcome:
            return Alarm(f"attempt:{row.id}:amount", "paid_other_amount", row.order_id, detail)
        return None
    if (row.outcome, report.outcome) == (Outcome.PAID, Outcome.RETURNED) or report.outcome not in CLOSING:
        return None
    if report.outcome == row.outcome:
        return None
    return Alarm(f"attempt:{row.id}:{report.outcome}", f"{report.outcome}_after_{row.outcome}", row.order_id, detail)


def _move(row: Row[tuple[object, ...]], report: Report, *, now: datetime) -> Move | None:
    event = EVENTS.get(report.outcome)
    if event is None:
        return None
    due_at = None
    if event in (E.OUTCOME_FAILED, E.OUTCOME_RETURNED):
        waits = report.fault in (Fault.TRANSIENT, Fault.FLOAT)
        due_at = retry_at(row.failures + 1, now=now) if waits else now
    data = {"attempt": row.id, "adapter": row.adapter}
    cause = f"attempt:{row.id}:{report.outcome}"
    return Move(order_id=row.order_id, event=event, cause=cause, data=data, due_at=due_at)


def _returned(row: Row[tuple[object, ...]], *, now: datetime) -> Move:
    return Move(
        order_id=row.order_id,
        event=E.OUTCOME_RETURNED,
        cause=f"attempt:{row.id}:{Outcome.RETURNED}",
        data={"attempt": row.id, "adapter": row.adapter},
        due_at=now,
    )


async def _write(
    connection: AsyncConnection, opened: Sequence[tuple[Row[tuple[object, ...]], Report]], *, now: datetime
) -> None:
    if not opened:
        return
    document = [
        {
            "id": row.id,
            "outcome": report.outcome,
            "fault": report.fault,
            "reason": report.reason,
            "evidence": dict(report.evidence),
            "provider_ref": report.provider_ref,
            "receipt": report.receipt,
            "due_at": None if report.outcome in CLOSING else next_ask(row.asks, now=now).isoformat(),
        }
        for row, report in opened
    ]
    await connection.execute(_WRITE, {"now": now, "news": json.dumps(document)})
