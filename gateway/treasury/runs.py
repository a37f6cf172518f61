"""Runs as rows: one per period, taken over if its worker died, and what the last one said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ids import new_id
from gateway.treasury.report import Comparison, Report

LEASE = timedelta(minutes=30)
"""How long a run of the schedule may take before another worker makes it again. Both would find the same."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReconciliation:
    """The last run that came to its end, and what is open now."""

    run_id: str
    finished_at: datetime
    outcome: str
    """equal, breaks or incomplete."""
    open_breaks: int
    """Breaks that are open now, whichever run found them."""
    not_made: tuple[str, ...]
    """Comparisons that could not be made, each with its reason."""


_BEGIN = text("""
INSERT INTO reconciliations (id, period, started_at, lease_until) VALUES (:id, :period, :now, :lease_until)
ON CONFLICT (period) DO UPDATE SET started_at = excluded.started_at, lease_until = excluded.lease_until
WHERE reconciliations.finished_at IS NULL AND reconciliations.lease_until <= :now
RETURNING id
""")
_BLOCKS = text("""
SELECT DISTINCT ON (b.key) b.key AS chain_id, CAST(b.value #>> '{}' AS bigint) AS block
FROM reconciliations AS r, jsonb_each(r.blocks) AS b WHERE r.finished_at IS NOT NULL ORDER BY b.key, block DESC
""")
_FINISH = text("""
UPDATE reconciliations SET finished_at = :now, outcome = :outcome, breaks = :breaks, blocks = CAST(:blocks AS jsonb),
    report = CAST(:report AS jsonb)
WHERE id = :id AND finished_at IS NULL
""")
_LAST = text("""
SELECT id, finished_at, outcome, report, (SELECT count(*) FROM reconciliation_breaks WHERE closed_at IS NULL) AS open_breaks
FROM reconciliations WHERE finished_at IS NOT NULL ORDER BY finished_at DESC, id DESC LIMIT 1
""")


def period_of(now: datetime, *, every_s: int) -> datetime:
    """When the present period began. Periods are the same for all workers: multiples of `every_s` since 1970."""
    every = timedelta(seconds=every_s)
    return EPOCH + (now - EPOCH) // every * every


async def begin(connection: AsyncConnection, *, period: datetime | None, now: datetime) -> str | None:
    """Begin a run; gives its id. None: the period's run is made, or another worker is at it."""
    values = {"id": new_id("rec", now=now), "period": period, "now": now, "lease_until": now + LEASE}
    run_id: str | None = (await connection.execute(_BEGIN, values)).scalar_one_or_none()
    return run_id


async def compared_up_to(connection: AsyncConnection) -> dict[int, int]:
    """The block up to which each chain was compared, by chain id."""
    return {int(row.chain_id): row.block for row in await connection.execute(_BLOCKS)}


async def finish(connection: AsyncConnection, *, report: Report, blocks: Mapping[str, int]) -> None:
    """Write down what a run came to."""
    values = {"id": report.run_id, "now": report.finished_at, "outcome": report.outcome, "breaks": len(report.breaks)}
    documents = {"blocks": json.dumps(dict(blocks)), "report": json.dumps(as_document(report))}
    await connection.execute(_FINISH, {**values, **documents})


async def last_reconciliation(connection: AsyncConnection) -> LastReconciliation | None:
    """What the last run that came to its end said; None: there was none."""
    row = (await connection.execute(_LAST)).one_or_none()
    if row is None:
        return None
    return LastReconciliation(
        run_id=row.id,
        finished_at=row.finished_at,
        outcome=row.outcome,
        open_breaks=row.open_breaks,
        not_made=tuple(f"{one['check']}: {one['why']}" for one in row.report["not_made"]),
    )


def as_document(report: Report) -> dict[str, Any]:
    """A report as JSON: for programs, and for keeping."""
    return {
        "run": report.run_id,
        "started_at": report.started_at.isoformat(),
        "finished_at": report.finished_at.isoformat(),
        "outcome": report.outcome,
        "comparisons": [_comparison(one) for one in report.comparisons],
        "breaks": [
            {
                "id": report.ids.get(one.cause),
                **asdict(one),
                "since": one.since and one.since.isoformat(),
                "next_step": one.next_step.replace("{id}", report.ids.get(one.cause, "BREAK")),
            }
            for one in report.breaks
        ],
        "not_made": [asdict(one) for one in report.not_made],
        "notes": list(report.notes),
        "closed": report.closed,
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "place": one.place,
        "asset": one.asset.code,
        "decimals": one.asset.decimals,
        "ledger": one.ledger,
        "outside": one.outside,
        "in_flight_low": one.low,
        "in_flight_high": one.high,
        "in_flight": one.count,
        "items": [asdict(item) for item in one.items],
        "difference": one.difference,
    }
