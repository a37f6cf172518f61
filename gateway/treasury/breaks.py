"""Breaks as rows: opened once per cause, closed by the first run that doesn't find them any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ids import new_id
from gateway.operators.incidents import Alarm, open_incidents
from gateway.treasury.movements import Movement
from gateway.treasury.report import Break, Findings

CLOSER = "reconciliation"
"""Who closes the incident of a break that is over: no operator can have this name's incidents to answer for."""

_FIELDS = """checked_by, kind, place, asset, ours, theirs, effect, order_id, attempt_id, rail, line_id, detail, said,
    next_step, since"""
_NEW = ", ".join(f"excluded.{name}" for name in _FIELDS.replace(",", " ").split())
_PUT = text(f"""
INSERT INTO reconciliation_breaks (id, cause, {_FIELDS}, found_at, found_by, seen_at)
SELECT id, cause, {_FIELDS}, :now, :run, :now
FROM jsonb_to_recordset(CAST(:breaks AS jsonb)) AS b (id text, cause text, checked_by text, kind text, place text,
    asset text, ours numeric, theirs numeric, effect numeric, order_id text, attempt_id text, rail text, line_id text,
    detail jsonb, said text, next_step text, since timestamptz)
ORDER BY cause
ON CONFLICT (cause) WHERE closed_at IS NULL DO UPDATE
SET ({_FIELDS}, seen_at) = (SELECT {_NEW}, excluded.seen_at)
RETURNING id, cause, found_by = :run AS fresh
""")  # noqa: S608 - composed of our own text only
# What another run has seen since this one began isn't over, whatever this one saw before.
_CLOSE = text("""
UPDATE reconciliation_breaks SET closed_at = :now, closed_because = 'gone'
WHERE closed_at IS NULL AND checked_by = ANY(CAST(:made AS text[])) AND cause <> ALL(CAST(:causes AS text[]))
AND seen_at < :started_at
RETURNING id
""")
_OVER = text("UPDATE incidents SET closed_at = :now, closed_by = :closer WHERE cause = ANY(:causes) AND closed_at IS NULL")
_CARRIED = text("""
SELECT detail FROM reconciliation_breaks
WHERE closed_at IS NULL AND cause LIKE 'log\\:' || :chain_id || '\\:%' ORDER BY cause
""")


async def keep_breaks(
    connection: AsyncConnection, *, findings: Findings, run_id: str, started_at: datetime, now: datetime
) -> tuple[dict[str, str], int]:
    """Write down what a run found. Gives the numbers of the breaks by their causes, and how many earlier ones are over."""
    unique = {one.cause: one for one in findings.breaks}
    document = [_document(one, break_id=new_id("brk", now=now)) for one in unique.values()]
    rows = (await connection.execute(_PUT, {"breaks": json.dumps(document), "run": run_id, "now": now})).all()
    ids = {row.cause: row.id for row in rows}
    alarms = [_alarm(unique[row.cause], row.id) for row in rows if row.fresh]
    await open_incidents(connection, alarms=alarms, now=now)
    values = {"made": findings.made, "causes": list(unique), "started_at": started_at, "now": now}
    gone = list((await connection.execute(_CLOSE, values)).scalars())
    await close_incidents(connection, break_ids=gone, closer=CLOSER, now=now)
    return ids, len(gone)


async def close_incidents(connection: AsyncConnection, *, break_ids: Sequence[str], closer: str, now: datetime) -> None:
    """The incidents of breaks that are over are over, too."""
    causes = [f"break:{break_id}" for break_id in break_ids]
    await connection.execute(_OVER, {"causes": causes, "closer": closer, "now": now})


async def carried(connection: AsyncConnection, *, chain_id: int) -> list[Movement]:
    """Transfers that an earlier run found: they stay unbooked until the books know them, without being read again."""
    rows = (await connection.execute(_CARRIED, {"chain_id": chain_id})).all()
    return [_movement(row) for row in rows]


def _movement(row: Row[Any]) -> Movement:
    detail = row.detail
    return Movement(
        block=int(detail["block"]),
        index=int(detail["log_index"]),
        tx_hash=detail["tx_hash"],
        token=detail["token"],
        sender=detail["from"],
        recipient=detail["to"],
        units=int(detail["units"]),
    )


def _alarm(one: Break, break_id: str) -> Alarm:
    detail = {"break": break_id, "place": one.place, "said": one.said, "next": one.next_step.replace("{id}", break_id)}
    return Alarm(f"break:{break_id}", one.kind, one.order_id, detail)


def _document(one: Break, *, break_id: str) -> dict[str, object]:
    numbers = {"ours": one.ours, "theirs": one.theirs, "effect": one.effect}
    return {
        "id": break_id,
        "cause": one.cause,
        "checked_by": one.checked_by,
        "kind": one.kind,
        "place": one.place,
        "asset": one.asset,
        **{name: None if units is None else str(units) for name, units in numbers.items()},
        "order_id": one.order_id,
        "attempt_id": one.attempt_id,
        "rail": one.rail,
        "line_id": one.line_id,
        "detail": dict(one.detail),
        "said": one.said,
        "next_step": one.next_step,
        "since": one.since and one.since.isoformat(),
    }
