"""Reads of breaks, for commands, console and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakView:
    """One break, open or closed."""

    id: str
    kind: str
    place: str
    said: str
    next_step: str
    effect: Money | None
    """By how much more lies at the place than the books say; None: nothing outside is concerned."""
    order_id: str | None
    attempt_id: str | None
    rail: str | None
    line_id: str | None
    detail: Mapping[str, str]
    since: datetime | None
    found_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    closed_because: str | None
    closed_by: str | None


_COLUMNS = """
SELECT b.*, a.decimals FROM reconciliation_breaks AS b LEFT JOIN assets AS a ON a.code = b.asset
"""
_OPEN = text(f"{_COLUMNS} WHERE b.closed_at IS NULL ORDER BY b.found_at, b.id LIMIT :most")
_FIND = text(f"{_COLUMNS} WHERE b.id = :id")
_COUNTS = text("SELECT kind, count(*) AS breaks FROM reconciliation_breaks WHERE closed_at IS NULL GROUP BY kind")


async def open_breaks(connection: AsyncConnection, *, most: int) -> list[BreakView]:
    """At most `most` open breaks, the oldest first."""
    return [_view(row) for row in await connection.execute(_OPEN, {"most": most})]


async def find_break(connection: AsyncConnection, *, break_id: str) -> BreakView | None:
    """One break; None: there is none of that number."""
    row = (await connection.execute(_FIND, {"id": break_id})).one_or_none()
    return None if row is None else _view(row)


async def count_open_breaks(connection: AsyncConnection) -> dict[str, int]:
    """How many breaks are open, by kind."""
    return {row.kind: row.breaks for row in await connection.execute(_COUNTS)}


def _view(row: Row[Any]) -> BreakView:
    effect = None if row.decimals is None or row.effect == 0 else Money(int(row.effect), Asset(row.asset, row.decimals))
    return BreakView(
        id=row.id,
        kind=row.kind,
        place=row.place,
        said=row.said,
        next_step=row.next_step.replace("{id}", row.id),
        effect=effect,
        order_id=row.order_id,
        attempt_id=row.attempt_id,
        rail=row.rail,
        line_id=row.line_id,
        detail=row.detail,
        since=row.since,
        found_at=row.found_at,
        seen_at=row.seen_at,
        closed_at=row.closed_at,
        closed_because=row.closed_because,
        closed_by=row.closed_by,
    )
