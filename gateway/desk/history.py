"""What people decided about something, with their reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MOST = 200


class Decided(NamedTuple):
    """One decision of a person."""

    at: datetime
    operator: str
    action: str
    reason: str
    detail: dict[str, Any]


_ABOUT = text("""
SELECT at, operator, action, reason, detail FROM operator_actions WHERE subject = :subject ORDER BY id DESC LIMIT :most
""")


async def decisions_about(connection: AsyncConnection, *, subject: str) -> list[Decided]:
    """The newest decisions about a subject (an order's id, "chain:8453"), the newest first."""
    rows = await connection.execute(_ABOUT, {"subject": subject, "most": MOST})
    return [Decided(row.at, row.operator, row.action, row.reason, row.detail) for row in rows]
