"""Incidents: what must not happen did. Each is opened once, stays until a named person closes it, and never disappears."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.operators.actions import record_action

log = structlog.get_logger()


class Alarm(NamedTuple):
    """Something for a person to look at."""

    cause: str
    kind: str
    order_id: str | None
    detail: Mapping[str, str]


class IncidentNotOpen(Refusal):
    """No such incident, or somebody closed it already."""

    code = "incident_not_open"

    def __init__(self, incident_id: int) -> None:
        super().__init__(f"incident {incident_id} is not open: somebody closed it before, or there never was one")


class IncidentView(NamedTuple):
    """One incident, as lists show it."""

    id: int
    kind: str
    cause: str
    order_id: str | None
    detail: Mapping[str, Any]
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None


_OPEN = text("""
INSERT INTO incidents (cause, kind, order_id, detail, opened_at)
SELECT cause, kind, order_id, detail::jsonb, :now
FROM unnest(CAST(:causes AS text[]), CAST(:kinds AS text[]), CAST(:orders AS text[]), CAST(:details AS text[]))
    AS i (cause, kind, order_id, detail)
ON CONFLICT (cause) DO NOTHING
RETURNING kind, cause
""")


async def open_incidents(connection: AsyncConnection, *, alarms: Sequence[Alarm], now: datetime) -> None:
    """Open those that aren't open yet, in the caller's transaction, and say so in the log."""
    if not alarms:
        return
    rows = await connection.execute(
        _OPEN,
        {
            "now": now,
            "causes": [alarm.cause for alarm in alarms],
            "kinds": [alarm.kind for alarm in alarms],
            "orders": [alarm.order_id for alarm in alarms],
            "details": [json.dumps(dict(alarm.detail)) for alarm in alarms],
        },
    )
    for row in rows:
        log.error("incident_opened", kind=row.kind, cause=row.cause)


_COLUMNS = "id, kind, cause, order_id, detail, opened_at, closed_at, closed_by"
_LIST_OPEN = text(f"SELECT {_COLUMNS} FROM incidents WHERE closed_at IS NULL ORDER BY opened_at, id LIMIT :most")  # noqa: S608
_FIND = text(f"SELECT {_COLUMNS} FROM incidents WHERE id = :id")  # noqa: S608 - the column list is ours
_CLOSE = text("UPDATE incidents SET closed_at = :now, closed_by = :operator WHERE id = :id AND closed_at IS NULL")


async def list_open_incidents(connection: AsyncConnection, *, most: int) -> list[IncidentView]:
    """At most `most` open incidents, the oldest first: it has waited longest."""
    return [IncidentView(*row) for row in await connection.execute(_LIST_OPEN, {"most": most})]


async def find_incident(connection: AsyncConnection, *, incident_id: int) -> IncidentView | None:
    """One incident, open or closed; None: there is none of that number."""
    row = (await connection.execute(_FIND, {"id": incident_id})).one_or_none()
    return None if row is None else IncidentView(*row)


async def close_incident(
    connection: AsyncConnection, *, incident_id: int, operator: str, reason: str, now: datetime
) -> None:
    """Close one, by a named person with a reason. Raises `IncidentNotOpen`, and as `record_action` does."""
    await record_action(
        connection, operator=operator, action="incident.close", subject=f"incident:{incident_id}", reason=reason, now=now
    )
    closed = await connection.execute(_CLOSE, {"id": incident_id, "operator": operator, "now": now})
    if closed.rowcount == 0:
        raise IncidentNotOpen(incident_id)
