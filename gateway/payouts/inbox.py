"""The inbox of rail callbacks: stored before they are answered, handled once, at our own pace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.session import transaction, wake
from gateway.offramp import Callback, CallbackRequest, CallsBack, ForgedCallback, Outcome, Report
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record

log = structlog.get_logger()

SET = 100

_STORE = text("""
INSERT INTO callbacks (adapter, event_id, attempt_id, label, headers, body, received_at)
VALUES (:adapter, :event_id, :attempt_id, :label, CAST(:headers AS jsonb), :body, :received_at)
ON CONFLICT (adapter, event_id) DO NOTHING
RETURNING id
""")
_CLAIM = text("""
SELECT * FROM callbacks WHERE handled_at IS NULL AND adapter = ANY(:adapters) ORDER BY id LIMIT :most
FOR UPDATE SKIP LOCKED
""")
_HANDLED = text("""
UPDATE callbacks AS c SET handled_at = :now, result = n.result
FROM unnest(CAST(:ids AS bigint[]), CAST(:results AS text[])) AS n (id, result) WHERE c.id = n.id
""")
# The doorbell: ask at once. A lease that someone holds stays theirs; they are asking already. What the rail gave as the
# reason of a failure is kept: should the failure be proven, the proof may say less.
_RING = text("""
UPDATE attempts AS a SET due_at = CASE WHEN a.outcome = 'sending' THEN a.due_at ELSE :now END,
    fault = COALESCE(n.fault, a.fault), reason = COALESCE(n.reason, a.reason)
FROM unnest(CAST(:ids AS text[]), CAST(:faults AS text[]), CAST(:reasons AS text[])) AS n (id, fault, reason)
WHERE a.id = n.id AND a.closed_at IS NULL
""")
KEPT_HEADERS = frozenset({"content-type", "user-agent", "x-forwarded-for", "date"})
"""Headers stored with a callback; the rest could carry secrets."""


async def store(connection: AsyncConnection, *, adapter: str, event_id: str, request: CallbackRequest) -> bool:
    """Put a callback into the inbox, in the caller's transaction. Returns whether it was new."""
    result = await connection.execute(
        _STORE,
        {
            "adapter": adapter,
            "event_id": event_id,
            "attempt_id": request.attempt_id,
            "label": request.label,
            "headers": json.dumps({k: v for k, v in request.headers.items() if k in KEPT_HEADERS}),
            "body": request.body,
            "received_at": request.received_at,
        },
    )
    new = result.first() is not None
    if new:
        await wake(connection, "callbacks")
    return new


async def handle_callbacks(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Handle one set of stored callbacks: proof is recorded, all else rings the doorbell. Returns how many."""
    now = clock()
    async with transaction(engine) as connection:
        rows = (await connection.execute(_CLAIM, {"adapters": list(rails), "most": SET})).all()
        if not rows:
            return 0
        read = [(row, _read(row, rails)) for row in rows]
        # One piece of news per attempt and set: a second one is handled in the next.
        proofs: dict[str, News] = {}
        handled = []
        for row, callback in read:
            if callback is None or not callback.proof:
                handled.append((row, "unreadable" if callback is None else "rang"))
            elif row.attempt_id not in proofs:
                # The attempt is the address's: what the body says cannot carry the news to another one.
                proofs[row.attempt_id] = News(attempt_id=row.attempt_id, report=callback.report)
                handled.append((row, f"proof:{callback.report.outcome}"))
        await record(connection, news=list(proofs.values()), now=now)
        bells = {row.attempt_id: callback.report for row, callback in read if callback and not callback.proof}
        await _ring(connection, bells, now=now)
        await _mark(connection, handled, now=now)
        return len(rows)


def _read(row: Row[tuple[object, ...]], rails: Rails) -> Callback | None:
    adapter = rails[row.adapter]
    if not isinstance(adapter, CallsBack):
        return None
    request = CallbackRequest(
        attempt_id=row.attempt_id, label=row.label, headers=row.headers, body=row.body, received_at=row.received_at
    )
    try:
        return adapter.read_callback(request)
    except ForgedCallback:
        return None
    except Exception:
        # An adapter's bug with one callback must not keep the others waiting; the payment is asked about all the same.
        log.exception("callback_raised", adapter=row.adapter, callback=row.id)
        return None


async def _ring(connection: AsyncConnection, bells: Mapping[str, Report], *, now: datetime) -> None:
    if not bells:
        return
    failures = [report if report.outcome is Outcome.FAILED else None for report in bells.values()]
    await connection.execute(
        _RING,
        {
            "now": now,
            "ids": list(bells),
            "faults": [report and report.fault for report in failures],
            "reasons": [report and report.reason for report in failures],
        },
    )
    await wake(connection, "attempts")


async def _mark(
    connection: AsyncConnection, handled: Sequence[tuple[Row[tuple[object, ...]], str]], *, now: datetime
) -> None:
    await connection.execute(
        _HANDLED,
        {"now": now, "ids": [row.id for row, _ in handled], "results": [result for _, result in handled]},
    )
