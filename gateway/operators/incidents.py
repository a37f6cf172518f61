"""Incidents: what must not happen did. Each is opened once, stays until a named person closes it, and never disappears."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger()


class Alarm(NamedTuple):
    """Something for a person to look at."""

    cause: str
    kind: str
    order_id: str | None
    detail: Mapping[str, str]


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
