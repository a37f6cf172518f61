"""Payouts that need a person: lists and counts, read from the rows each time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.payouts.evidence import ResolutionRules

SET = 100


class Which(StrEnum):
    """Which attempts to list."""

    UNKNOWN = auto()
    """Nobody knows what became of them."""
    PENDING = auto()
    """Their rail has them."""
    OVERDUE = auto()
    """Open for longer than their rail takes."""
    FAILED = auto()
    """Over, without a payment; the newest first."""
    PROPOSED = auto()
    """Somebody's evidence waits for a second person."""
    OWED = auto()
    """They were paid in part, and the rest is still owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """An attempt as lists show it."""

    attempt_id: str
    order_id: str
    adapter: str
    outcome: str
    fault: str | None
    reason: str | None
    provider_ref: str | None
    deliver: Money
    sent_at: datetime
    asks: int
    overdue: bool
    proposal: str | None
    """The evidence that waits for a second person."""
    proposed_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many wait for a person."""

    unknown: int
    overdue: int
    """Open for too long; those of an unknown end are counted there."""
    proposed: int
    owed: int
    held: int


_OVERDUE = """a.created_at < CAST(:now AS timestamptz) - make_interval(secs => COALESCE(
    (SELECT w.seconds FROM unnest(CAST(:rails AS text[]), CAST(:seconds AS integer[])) AS w (rail, seconds)
     WHERE w.rail = a.adapter), :otherwise))"""
_OPEN = "SELECT a.id FROM attempts AS a WHERE a.closed_at IS NULL AND"
# A proposal that still holds; one about something that has changed since asks nothing of anybody.
_HOLDS = """r.outcome IS NULL AND CAST(r.standing ->> 'version' AS integer) = o.version
    AND r.standing ->> 'outcome' = a.outcome AND r.standing ->> 'provider_ref' IS NOT DISTINCT FROM a.provider_ref
    AND r.standing ->> 'receipt' IS NOT DISTINCT FROM a.receipt"""
_PROPOSED = f"""SELECT a.id FROM resolutions AS r JOIN attempts AS a ON a.id = r.attempt_id
    JOIN orders AS o ON o.id = r.order_id WHERE {_HOLDS}"""  # noqa: S608 - composed of our own texts only, as all of these
_OWED = """SELECT a.id FROM attempts AS a JOIN owed_to_recipients AS b
    ON b.order_id = a.order_id AND b.asset = a.deliver_asset
    WHERE a.delivered_units IS NOT NULL"""
_IDS = {
    None: f"{_OPEN} (a.outcome = 'unknown' OR {_OVERDUE}) UNION {_PROPOSED} UNION {_OWED}",
    Which.UNKNOWN: f"{_OPEN} a.outcome = 'unknown'",
    Which.PENDING: f"{_OPEN} a.outcome IN ('sending', 'pending', 'available')",
    Which.OVERDUE: f"{_OPEN} {_OVERDUE}",
    Which.PROPOSED: _PROPOSED,
    Which.OWED: _OWED,
    Which.FAILED: "SELECT id FROM attempts WHERE outcome = 'failed'",
}
_LISTS = {
    which: text(f"""
SELECT a.*, s.decimals, r.id AS proposal, r.proposed_by, a.closed_at IS NULL AND {_OVERDUE} AS overdue
FROM attempts AS a
JOIN orders AS o ON o.id = a.order_id
JOIN assets AS s ON s.code = a.deliver_asset
LEFT JOIN resolutions AS r ON r.attempt_id = a.id AND {_HOLDS}
WHERE a.id IN ({ids}) AND (CAST(:after AS text) = '' OR a.id {"<" if which is Which.FAILED else ">"} :after)
ORDER BY a.id {"DESC" if which is Which.FAILED else ""} LIMIT :most
""")  # noqa: S608
    for which, ids in _IDS.items()
}
_COUNTS = text(f"""
SELECT (SELECT count(*) FROM ({_OPEN} a.outcome = 'unknown') AS u) AS unknown,
    (SELECT count(*) FROM ({_OPEN} a.outcome <> 'unknown' AND {_OVERDUE}) AS l) AS overdue,
    (SELECT count(*) FROM ({_PROPOSED}) AS p) AS proposed,
    (SELECT count(*) FROM ({_OWED}) AS w) AS owed,
    (SELECT count(*) FROM waiting_orders WHERE state IN ('held', 'uncertain', 'refunding') AND state = 'held') AS held
""")  # noqa: S608


async def list_attempts(
    connection: AsyncConnection,
    *,
    rules: ResolutionRules,
    now: datetime,
    which: Which | None = None,
    after: str = "",
    most: int = SET,
) -> list[AttemptLine]:
    """Those that need a person, or those named, the oldest first; `after`: the id of the last one of the page before."""
    rows = await connection.execute(_LISTS[which], {**_times(rules, now), "after": after, "most": most})
    return [_line(row) for row in rows]


async def count_waiting(connection: AsyncConnection, *, rules: ResolutionRules, now: datetime) -> Waiting:
    """How many wait."""
    row = (await connection.execute(_COUNTS, _times(rules, now))).one()
    return Waiting(unknown=row.unknown, overdue=row.overdue, proposed=row.proposed, owed=row.owed, held=row.held)


def _times(rules: ResolutionRules, now: datetime) -> dict[str, object]:
    rails = list(rules.capabilities)
    return {
        "now": now,
        "rails": rails,
        "seconds": [_seconds(rules.settles_within(rail)) for rail in rails],
        "otherwise": _seconds(rules.settles_within("")),
    }


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)


def _line(row: Row[tuple[Any, ...]]) -> AttemptLine:
    return AttemptLine(
        attempt_id=row.id,
        order_id=row.order_id,
        adapter=row.adapter,
        outcome=row.outcome,
        fault=row.fault,
        reason=row.reason,
        provider_ref=row.provider_ref,
        deliver=Money(int(row.deliver_units), Asset(row.deliver_asset, row.decimals)),
        sent_at=row.created_at,
        asks=row.asks,
        overdue=row.overdue,
        proposal=row.proposal,
        proposed_by=row.proposed_by,
    )
