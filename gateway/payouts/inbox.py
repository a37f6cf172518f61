"""The inbox of rail callbacks: stored before they are answered, handled once, at our own pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.faults import passes
from gateway.db.session import reading, transaction, wake
from gateway.offramp import (
    RAILS_OWN,
    Callback,
    CallbackRequest,
    CallsBack,
    Capabilities,
    ForgedCallback,
    Outcome,
    Report,
)
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.pace import next_watch
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.reports import checked_report
from gateway.railkit.floats import QUESTION

log = structlog.get_logger()

SET = 100
KEPT_HEADERS = frozenset({"content-type", "user-agent", "x-forwarded-for", "date"})
"""Headers stored with a callback, beside those that sign it; the rest could carry secrets."""
SIGNING = ("signature", "signature-input", "signature-date", "content-digest", "timestamp")
"""What the name of a header that signs a callback ends with (RFC 9421, RFC 9530): it proves the body, and nothing else."""
HEADER_MOST = 1_000
EVENT_ID_MOST = 200
READ_WITHIN_S = 5
"""How long adapters may take to read a set, in seconds; one whose reading doesn't end is parked, the others flow."""
_CONTESTED = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs of rows that others hold: serialization failure, deadlock, lock not available."""
_CLOSING = frozenset({Outcome.PAID, Outcome.FAILED, Outcome.RETURNED})

# What a rail still insists on when it had time to answer our questions makes us ask once more: it may have failed to answer.
_STORE = text("""
INSERT INTO callbacks (adapter, event_id, attempt_id, label, headers, body, received_at)
SELECT DISTINCT ON (adapter, event_id) adapter, event_id, attempt_id, label, CAST(headers AS jsonb), body, received_at
FROM unnest(CAST(:adapters AS text[]), CAST(:event_ids AS text[]), CAST(:attempts AS text[]), CAST(:labels AS text[]),
    CAST(:headers AS text[]), CAST(:bodies AS bytea[]), CAST(:received AS timestamptz[]))
    AS c (adapter, event_id, attempt_id, label, headers, body, received_at)
ON CONFLICT (adapter, event_id) DO UPDATE SET handled_at = NULL
    WHERE callbacks.result IN ('rang', 'known') AND excluded.received_at > callbacks.handled_at + interval '10 minutes'
RETURNING adapter, event_id
""")
_CLAIM = text("""
SELECT * FROM callbacks
WHERE handled_at IS NULL AND adapter = ANY(CAST(:adapters AS text[])) AND (CAST(:only AS bigint) IS NULL OR id = :only)
ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
""")
_DUE = text("""
SELECT id, adapter, attempt_id FROM callbacks
WHERE handled_at IS NULL AND adapter = ANY(CAST(:adapters AS text[])) ORDER BY id LIMIT :most
""")
# A row that somebody holds for long lets its set be handled one by one.
_PATIENCE = text("SET LOCAL lock_timeout = '2s'")
# In the order in which records are locked everywhere; what is read is what the locks hold.
_LOCK = text("""
SELECT a.id, a.order_id, a.adapter, a.outcome, a.closed_at FROM attempts AS a JOIN orders AS o ON o.id = a.order_id
WHERE a.id = ANY(CAST(:ids AS text[])) ORDER BY o.id FOR UPDATE OF o, a
""")
_HANDLED = text("""
UPDATE callbacks AS c SET handled_at = :now, result = n.result
FROM unnest(CAST(:ids AS bigint[]), CAST(:results AS text[])) AS n (id, result) WHERE c.id = n.id AND c.handled_at IS NULL
""")
# The doorbell: ask at once. A lease that someone holds stays theirs. What the rail gave as the reason of a failure is kept:
# should the failure be proven, the proof may say less. A closed attempt is asked about only if the news is not what we know.
_RING = text("""
UPDATE attempts AS a SET due_at = CASE WHEN a.outcome = 'sending' THEN a.due_at ELSE :now END,
    asks = CASE WHEN a.closed_at IS NULL THEN a.asks ELSE 0 END,
    fault = CASE WHEN a.closed_at IS NULL THEN COALESCE(n.fault, a.fault) ELSE a.fault END,
    reason = CASE WHEN a.closed_at IS NULL THEN COALESCE(n.reason, a.reason) ELSE a.reason END
FROM unnest(CAST(:ids AS text[]), CAST(:outcomes AS text[]), CAST(:faults AS text[]), CAST(:reasons AS text[]))
    AS n (id, outcome, fault, reason)
WHERE a.id = n.id AND (a.closed_at IS NULL OR n.outcome NOT IN ('pending', 'available', a.outcome))
RETURNING a.id
""")
_ANSWERED = text("""
UPDATE attempts AS a SET due_at = n.due_at, lease_until = NULL
FROM unnest(CAST(:ids AS text[]), CAST(:due AS timestamptz[])) AS n (id, due_at) WHERE a.id = n.id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A callback as it is stored. `event_id` is the adapter's: the same for a repeated delivery."""

    adapter: str
    event_id: str
    request: CallbackRequest


async def store_all(connection: AsyncConnection, *, arrivals: Sequence[Arrival]) -> list[bool]:
    """Put callbacks into the inbox, in the caller's transaction. Which of them were new, in their order.

    So is one that rang the doorbell before, if it comes again later than ten minutes after that.
    """
    requests = [arrival.request for arrival in arrivals]
    rows = await connection.execute(
        _STORE,
        {
            "adapters": [arrival.adapter for arrival in arrivals],
            "event_ids": [arrival.event_id for arrival in arrivals],
            "attempts": [request.attempt_id for request in requests],
            "labels": [request.label for request in requests],
            "headers": [json.dumps(_kept(request.headers)) for request in requests],
            "bodies": [request.body for request in requests],
            "received": [request.received_at for request in requests],
        },
    )
    stored = {(row.adapter, row.event_id) for row in rows}
    if stored:
        await wake(connection, "callbacks")
    new = []
    for arrival in arrivals:
        key = (arrival.adapter, arrival.event_id)
        new.append(key in stored)
        stored.discard(key)
    return new


async def store(connection: AsyncConnection, *, adapter: str, event_id: str, request: CallbackRequest) -> bool:
    """Put one callback into the inbox, in the caller's transaction. Returns whether it was new."""
    [new] = await store_all(connection, arrivals=[Arrival(adapter=adapter, event_id=event_id, request=request)])
    return new


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value[:HEADER_MOST].replace("\0", "")
        for name, value in headers.items()
        if name in KEPT_HEADERS or name.endswith(SIGNING)
    }


async def handle_callbacks(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Handle one set of stored callbacks: proof is recorded, all else rings the doorbell. Returns how many.

    One that can't be handled is parked for a person, and keeps none of the others.
    """
    try:
        return await _handle(engine, rails=rails, now=clock())
    except Exception as error:
        if passes(error) and not _is_contested(error):
            raise
        log.warning("callbacks_handled_apart", error=type(error).__name__)
    return await _handle_apart(engine, rails=rails, clock=clock)


async def _handle_apart(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    async with reading(engine) as connection:
        due = (await connection.execute(_DUE, {"adapters": list(rails), "most": SET})).all()
    handled = 0
    for row in due:
        try:
            handled += await _handle(engine, rails=rails, now=clock(), only=row.id)
        except Exception as error:
            if _is_contested(error):
                continue
            if passes(error):
                raise
            log.exception("callback_parked", callback=row.id)
            handled += await _park(engine, row, error, now=clock())
    return handled


def _is_contested(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _CONTESTED


async def _park(engine: AsyncEngine, row: Row[tuple[object, ...]], error: Exception, *, now: datetime) -> int:
    result = f"parked: {type(error).__name__}"
    async with transaction(engine, point="inbox.park") as connection:
        locked = (await connection.execute(_LOCK, {"ids": [row.attempt_id]})).first()
        await open_incidents(connection, alarms=[_alarm(row, "callback_parked", locked, result)], now=now)
        return (await connection.execute(_HANDLED, {"now": now, "ids": [row.id], "results": [result]})).rowcount


def _alarm(row: Row[tuple[object, ...]], kind: str, attempt: Row[tuple[object, ...]] | None, result: str) -> Alarm:
    detail = {"callback": str(row.id), "adapter": row.adapter, "attempt": row.attempt_id, "result": result}
    return Alarm(f"callback:{row.attempt_id}:{kind}", kind, attempt and attempt.order_id, detail)


@dataclass(slots=True, kw_only=True)
class _Set:
    """What a set of callbacks comes to."""

    results: dict[int, str]
    news: list[News]
    bells: dict[str, tuple[int, Report]]
    alarms: list[Alarm]
    answered: dict[str, datetime | None]
    """Closed attempts whose rail has said clearly how they stand, and when to ask again."""


async def _handle(engine: AsyncEngine, *, rails: Rails, now: datetime, only: int | None = None) -> int:
    async with transaction(engine, point="inbox.handle") as connection:
        await connection.execute(_PATIENCE)
        claimed = (await connection.execute(_CLAIM, {"adapters": list(rails), "only": only, "most": SET})).all()
        if not claimed:
            return 0
        # One of each attempt: what a second one says is judged when the first one has been recorded.
        rows = list({_concern(row): row for row in reversed(claimed)}.values())
        # Not in this thread: other work shares its loop, and nobody knows how long an adapter may think.
        async with asyncio.timeout(READ_WITHIN_S):
            read = await asyncio.to_thread(lambda: [_read(row, rails) for row in rows])
        locked = await connection.execute(_LOCK, {"ids": [row.attempt_id for row in rows]})
        attempts = {attempt.id: attempt for attempt in locked}
        found = _Set(results={}, news=[], bells={}, alarms=[], answered={})
        for row, callback in zip(rows, read, strict=True):
            capabilities, attempt = rails[row.adapter].capabilities, attempts.get(row.attempt_id)
            # Where the body names the attempt, a rail could name one that another rail pays.
            own = attempt if attempt is not None and attempt.adapter == row.adapter else None
            _judge(found, row, callback, own, capabilities=capabilities, now=now)
        await record(connection, news=found.news, now=now, capabilities=rails.capabilities)
        await _ring(connection, found, now=now)
        await connection.execute(_ANSWERED, {"ids": list(found.answered), "due": list(found.answered.values())})
        await open_incidents(connection, alarms=found.alarms, now=now)
        values = {"now": now, "ids": list(found.results), "results": list(found.results.values())}
        await connection.execute(_HANDLED, values)
        return len(rows)


def _concern(row: Row[tuple[object, ...]]) -> object:
    """What is handled one at a time: an attempt's callbacks. Those that name none have nothing to do with each other."""
    return row.id if row.attempt_id == RAILS_OWN else row.attempt_id


def _judge(
    found: _Set,
    row: Row[tuple[object, ...]],
    callback: Callback | Exception,
    attempt: Row[tuple[object, ...]] | None,
    *,
    capabilities: Capabilities,
    now: datetime,
) -> None:
    """Decide about one callback. The attempt is the address's: what the body says can't carry the news to another one."""
    alarm = None
    if attempt is None and row.attempt_id.startswith(f"{QUESTION}_"):
        result = "answer"  # to a question of ours that waits for it in the inbox
    elif attempt is None:
        result = alarm = "callback_for_unknown_attempt"
    elif isinstance(callback, ForgedCallback):
        result = "unreadable"
    elif isinstance(callback, Exception):
        # The adapter's bug; the payment is asked about all the same.
        result, alarm = f"parked: {type(callback).__name__}", "callback_parked"
        found.bells[row.attempt_id] = (row.id, Report(outcome=Outcome.UNKNOWN))
    elif callback.attempt_id != row.attempt_id:
        result = alarm = "callback_for_other_attempt"
        found.bells[row.attempt_id] = (row.id, Report(outcome=Outcome.UNKNOWN))
    elif callback.proof and (attempt.outcome, callback.report.outcome) != (Outcome.RETURNED, Outcome.PAID):
        result = f"proof:{callback.report.outcome}"
        found.news.append(News(attempt_id=row.attempt_id, report=callback.report))
        if attempt.closed_at is not None and callback.report.outcome in _CLOSING:
            paid = callback.report.outcome is Outcome.PAID
            found.answered[row.attempt_id] = (
                next_watch(paid_at=attempt.closed_at, capabilities=capabilities, now=now) if paid else None
            )
    else:
        # Also proof of a payment that came back: it may be older than that.
        result = "rang"
        found.bells[row.attempt_id] = (row.id, callback.report)
    found.results[row.id] = result
    if alarm is not None:
        found.alarms.append(_alarm(row, alarm, attempt, result))


def _read(row: Row[tuple[object, ...]], rails: Rails) -> Callback | Exception:
    adapter = rails[row.adapter]
    if not isinstance(adapter, CallsBack):
        return ForgedCallback("this rail doesn't call")
    request = CallbackRequest(
        attempt_id=row.attempt_id, label=row.label, headers=row.headers, body=row.body, received_at=row.received_at
    )
    return read_callback(adapter, request)


def read_callback(adapter: CallsBack, request: CallbackRequest) -> Callback | Exception:
    """What the adapter makes of a callback, fit to be stored; `ForgedCallback` or its own fault if it can't read it."""
    try:
        callback = adapter.read_callback(request)
        event_id = callback.event_id
        if not (type(event_id) is str and 0 < len(event_id) <= EVENT_ID_MOST and event_id.isprintable()):
            return ValueError("an event id that isn't one")
        return Callback(
            event_id=event_id,
            attempt_id=callback.attempt_id,
            report=checked_report(callback.report),
            proof=callback.proof is True,
        )
    except Exception as error:
        if not isinstance(error, ForgedCallback):
            log.exception("callback_raised", attempt=request.attempt_id, label=request.label)
        return error


async def _ring(connection: AsyncConnection, found: _Set, *, now: datetime) -> None:
    if not found.bells:
        return
    reports = [report for _, report in found.bells.values()]
    failures = [report if report.outcome is Outcome.FAILED else None for report in reports]
    rung = await connection.execute(
        _RING,
        {
            "now": now,
            "ids": list(found.bells),
            "outcomes": [report.outcome for report in reports],
            "faults": [report and report.fault for report in failures],
            "reasons": [report and report.reason for report in failures],
        },
    )
    heard = {row.id for row in rung}
    for attempt_id, (callback_id, _) in found.bells.items():
        if attempt_id not in heard and found.results[callback_id] == "rang":
            found.results[callback_id] = "known"
    if heard:
        await wake(connection, "attempts")
