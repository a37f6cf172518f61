"""Poll: every open attempt is asked about until the rail has said something final, whoever sent it and whatever was lost.

Closed ones are asked about too while their money may still come back, and when their rail says something else of them. One
that was never heard of is treated by its rail's way with doubles: where they are dropped it is sent again under the same id,
where it can be found it is asked about, and where neither is sure a person decides.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.faults import again, passes
from gateway.db.session import transaction
from gateway.legs import PaysInLegs
from gateway.money import Asset, Money
from gateway.offramp import (
    Asked,
    AttemptRef,
    Capabilities,
    Destination,
    Instruction,
    Method,
    Offramp,
    Outcome,
    Report,
    Resend,
)
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.pace import lease_until, next_ask, next_watch
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.send import NoAnswer, ask, send

log = structlog.get_logger()

TICK_S = 0.25
"""How long answers wait for slower ones, in seconds: then those that are there are recorded, and their places taken."""
SHELVED_FOR = timedelta(minutes=5)
"""How soon an attempt whose rail is not configured is looked at again."""
SHELVED_EVERY = timedelta(minutes=1)
SHELVED_MOST = 100
TOO_FAR = timedelta(hours=2)
"""No open attempt waits for so long: a later time comes from a clock that was set back."""
DOUBTS_MOST = 8
"""Questions about a closed attempt that its rail doesn't answer clearly: some eight minutes' worth."""
OVERDUE_LEAST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An attempt that this worker alone may ask about until `until`."""

    adapter: str
    order_id: str
    instruction: Instruction
    provider_ref: str | None
    sent_at: datetime
    closed_at: datetime | None
    outcome: str
    doubted: bool
    """A person has seen that it wasn't paid, and another one looks at that: it isn't sent again meanwhile."""
    asks: int
    lease: int
    until: datetime

    @property
    def attempt_id(self) -> str:
        """The attempt's id."""
        return self.instruction.attempt_id


Answers = Sequence[tuple[Due, Report | None]]
"""What was heard of each; None: nothing."""

_CLAIM = text("""
WITH due AS MATERIALIZED (
    SELECT a.id, r.until, r.dedupes
    FROM unnest(CAST(:adapters AS text[]), CAST(:free AS integer[]), CAST(:until AS timestamptz[]),
        CAST(:dedupes AS boolean[])) AS r (adapter, free, until, dedupes)
    CROSS JOIN LATERAL (
        SELECT id FROM attempts
        WHERE adapter = r.adapter AND due_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
        ORDER BY due_at LIMIT r.free FOR UPDATE SKIP LOCKED
    ) AS a
), taken AS (
    UPDATE attempts AS a SET asks = a.asks + 1, due_at = due.until, lease_token = nextval('lease_tokens'),
        lease_until = due.until,
        resent_at = CASE WHEN due.dedupes AND a.outcome IN ('sending', 'unknown')
            AND a.asks % 2 = CASE a.outcome WHEN 'sending' THEN 0 ELSE 1 END THEN :now ELSE a.resent_at END
    FROM due WHERE a.id = due.id RETURNING a.*
)
SELECT t.*, EXISTS (
    SELECT FROM resolutions AS p WHERE p.attempt_id = t.id AND p.outcome IS NULL AND p.verdict IN ('failed', 'returned')
) AS doubted,
    s.decimals, q.country, COALESCE(w.method, q.method) AS method, r.name, COALESCE(w.account, r.account) AS account,
    CASE WHEN w.rank IS NULL THEN r.institution ELSE w.institution END AS institution
FROM taken AS t
JOIN assets AS s ON s.code = t.deliver_asset
JOIN orders AS o ON o.id = t.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN recipients AS r ON r.order_id = o.id
LEFT JOIN recipient_ways AS w ON w.order_id = o.id AND w.rank = t.way
""")
# A doorbell sets due_at to a time before the lease's end.
_LOCK = text("""
SELECT a.id, a.due_at < a.lease_until AS rung FROM attempts AS a JOIN orders AS o ON o.id = a.order_id
WHERE a.id = ANY(CAST(:ids AS text[])) ORDER BY o.id FOR UPDATE OF o, a
""")
_NEXT = text("""
UPDATE attempts AS a SET due_at = n.due_at, lease_until = NULL
FROM unnest(CAST(:ids AS text[]), CAST(:leases AS bigint[]), CAST(:due AS timestamptz[]), CAST(:closed AS boolean[]))
    AS n (id, lease, due_at, closed)
WHERE a.id = n.id AND a.lease_token = n.lease AND (n.closed OR a.closed_at IS NULL)
""")
_SHELVE = text("""
UPDATE attempts AS a SET due_at = :later FROM (
    SELECT id FROM attempts WHERE due_at <= :now AND adapter <> ALL(CAST(:adapters AS text[])) LIMIT :most
    FOR UPDATE SKIP LOCKED
) AS lost
WHERE a.id = lost.id RETURNING a.id, a.order_id, a.adapter, a.outcome, a.closed_at
""")
_BRING_BACK = text("""
UPDATE attempts AS a SET due_at = :now, lease_until = NULL, lease_token = nextval('lease_tokens') FROM (
    SELECT id FROM attempts WHERE closed_at IS NULL AND due_at > :too_far LIMIT :most FOR UPDATE SKIP LOCKED
) AS far
WHERE a.id = far.id
""")


async def poll(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Ask about all that is due, each rail by itself, and return when everything has been recorded. Returns how many.

    No rail is asked more at once than half of what it takes; the other half is for payments. One that doesn't answer fills
    its own places only.
    """
    running: dict[asyncio.Task[Report | None], Due] = {}
    asked, shelve_at = 0, clock()
    try:
        while True:
            now = clock()
            if now >= shelve_at:
                await _shelve(engine, rails=rails, now=now)
                shelve_at = now + SHELVED_EVERY
            due = await _claim(engine, rails=rails, taken=Counter(item.adapter for item in running.values()), now=now)
            running |= {asyncio.create_task(_hear(rails[item.adapter], item, clock=clock)): item for item in due}
            asked += len(due)
            if not running:
                return asked
            done, _ = await asyncio.wait(running, timeout=TICK_S)
            answers = [(running.pop(task), task.result()) for task in list(running) if task in done]
            await _settle(engine, answers, rails=rails, clock=clock)
    finally:
        for task in running:
            task.cancel()


async def _claim(engine: AsyncEngine, *, rails: Rails, taken: Mapping[str, int], now: datetime) -> list[Due]:
    capabilities = rails.capabilities
    # Legs are asked about one by one: gateway.sagas.
    asked = {name: facts for name, facts in capabilities.items() if not isinstance(rails[name], PaysInLegs)}
    room = {name: max(facts.concurrency // 2, 1) - taken[name] for name, facts in asked.items()}
    names = [name for name, free in room.items() if free > 0]
    if not names:
        return []
    parameters = {
        "now": now,
        "adapters": names,
        "free": [room[name] for name in names],
        "until": [lease_until(capabilities[name], now=now) for name in names],
        "dedupes": [capabilities[name].resend is Resend.DEDUPED for name in names],
    }

    async def act() -> list[Due]:
        async with transaction(engine, point="poll.claim") as connection:
            due = [_due(row) for row in await connection.execute(_CLAIM, parameters)]
            alarms = [alarm for item in due if (alarm := _alarm(item, capabilities[item.adapter], now=now))]
            await open_incidents(connection, alarms=alarms, now=now)
            return due

    return await again(act)


def _alarm(item: Due, capabilities: Capabilities, *, now: datetime) -> Alarm | None:
    """What a person has to know of an open attempt: at once if it can't be found again, of any other when it is late."""
    if item.closed_at is not None:
        return None
    unheard = item.outcome in ("sending", Outcome.UNKNOWN)
    if unheard and capabilities.resend is Resend.BLIND:
        return _attempt_alarm(item, "blind", "payout_blind_unknown")
    if now - item.sent_at > max(capabilities.settles_within, OVERDUE_LEAST):
        return _attempt_alarm(item, "overdue", "payout_overdue")
    return None


def _attempt_alarm(item: Due, cause: str, kind: str) -> Alarm:
    detail = {"attempt": item.attempt_id, "adapter": item.adapter, "outcome": item.outcome}
    return Alarm(f"attempt:{item.attempt_id}:{cause}", kind, item.order_id, detail)


async def _hear(adapter: Offramp, item: Due, *, clock: Clock) -> Report | None:
    """Ask, or send the same id again where the rail drops doubles; None: nothing new is known."""
    now = clock()
    # Too little of the lease is left for an answer: a worker that was frozen leaves it to whoever has taken over.
    if now + adapter.capabilities.answer_within > item.until:
        return None
    if _may_resend(adapter.capabilities, item, now=now):
        return await send(adapter, item.instruction, again=True)
    attempt = AttemptRef(
        attempt_id=item.attempt_id, provider_ref=item.provider_ref, deliver=item.instruction.deliver, sent_at=item.sent_at
    )
    answer = await ask(adapter, attempt)
    return None if isinstance(answer, Asked | NoAnswer) else answer


def _may_resend(capabilities: Capabilities, item: Due, *, now: datetime) -> bool:
    """Nothing was ever heard of it: perhaps it never left. Every other time we ask; in between we send the same id again.

    Only as long as it will surely arrive while the provider remembers the id.
    """
    return (
        item.outcome in ("sending", Outcome.UNKNOWN)
        and capabilities.resend is Resend.DEDUPED
        and not item.doubted
        and now + capabilities.answer_within < item.sent_at + capabilities.resend_within
        and item.asks % 2 == (1 if item.outcome == "sending" else 0)
    )


async def _settle(engine: AsyncEngine, answers: Answers, *, rails: Rails, clock: Clock) -> None:
    """Record answers as a set. One that can't be recorded goes to a person, and keeps none of the others."""
    try:
        await again(partial(_write, engine, answers, rails=rails, now=clock()))
    except Exception as error:
        if passes(error):
            raise
        log.exception("answers_not_recorded", number=len(answers))
    else:
        return
    for answer in answers:
        try:
            await again(partial(_write, engine, [answer], rails=rails, now=clock()))
        except Exception as error:
            if passes(error):
                raise
            item, _ = answer
            alarm = _attempt_alarm(item, "unrecordable", "answer_not_recorded")
            await again(partial(_write, engine, [(item, None)], rails=rails, now=clock(), alarms=[alarm]))


async def _write(
    engine: AsyncEngine, answers: Answers, *, rails: Rails, now: datetime, alarms: Sequence[Alarm] = ()
) -> None:
    if not answers:
        return
    async with transaction(engine, point="poll.record") as connection:
        locked = await connection.execute(_LOCK, {"ids": [item.attempt_id for item, _ in answers]})
        rung = {row.id for row in locked if row.rung}
        news = [News(attempt_id=item.attempt_id, report=report, lease=item.lease) for item, report in answers if report]
        await record(connection, news=news, now=now, capabilities=rails.capabilities)
        doubts = [
            _attempt_alarm(item, f"doubt:{item.lease}", "closed_payout_doubted")
            for item, report in answers
            if _given_up(item, report, rails[item.adapter].capabilities, now=now)
        ]
        await open_incidents(connection, alarms=[*alarms, *doubts], now=now)
        again_at = [
            (item, now if item.attempt_id in rung else _next(item, report, rails[item.adapter].capabilities, now=now))
            for item, report in answers
            if report is None or item.closed_at is not None or item.attempt_id in rung
        ]
        await _set_due(connection, again_at, rung=rung)


async def _set_due(connection: AsyncConnection, again_at: Sequence[tuple[Due, datetime | None]], *, rung: set[str]) -> None:
    if not again_at:
        return
    await connection.execute(
        _NEXT,
        {
            "ids": [item.attempt_id for item, _ in again_at],
            "leases": [item.lease for item, _ in again_at],
            "due": [due_at for _, due_at in again_at],
            "closed": [item.closed_at is not None or item.attempt_id in rung for item, _ in again_at],
        },
    )


def _next(item: Due, report: Report | None, capabilities: Capabilities, *, now: datetime) -> datetime | None:
    """When to ask again; None: never, for it is over."""
    if item.closed_at is None or (not _clear(report) and item.asks < DOUBTS_MOST):
        return next_ask(item.asks, now=now, attempt_id=item.attempt_id)
    if report is not None and report.outcome in (Outcome.FAILED, Outcome.RETURNED):
        return None
    return next_watch(paid_at=item.closed_at, capabilities=capabilities, now=now)


def _given_up(item: Due, report: Report | None, capabilities: Capabilities, *, now: datetime) -> bool:
    """Whether a rail said something else of a closed attempt, and will not say what."""
    return (
        item.closed_at is not None
        and not _clear(report)
        and not capabilities.returns_within
        and _next(item, report, capabilities, now=now) is None
    )


def _clear(report: Report | None) -> bool:
    return report is not None and report.outcome in (Outcome.PAID, Outcome.FAILED, Outcome.RETURNED)


async def _shelve(engine: AsyncEngine, *, rails: Rails, now: datetime) -> None:
    """Tell of open attempts whose rail is no longer configured: nobody can ask about them."""
    parameters = {"now": now, "later": now + SHELVED_FOR, "adapters": list(rails), "most": SHELVED_MOST}
    async with transaction(engine, point="poll.shelve") as connection:
        await connection.execute(_BRING_BACK, {"now": now, "too_far": now + TOO_FAR, "most": SHELVED_MOST})
        lost = await connection.execute(_SHELVE, parameters)
        alarms = [
            Alarm(
                f"attempt:{row.id}:rail_gone",
                "rail_gone",
                row.order_id,
                {"attempt": row.id, "adapter": row.adapter, "outcome": row.outcome},
            )
            for row in lost
            if row.closed_at is None
        ]
        await open_incidents(connection, alarms=alarms, now=now)


def _due(row: Row[tuple[object, ...]]) -> Due:
    return Due(
        adapter=row.adapter,
        order_id=row.order_id,
        instruction=Instruction(
            attempt_id=row.id,
            deliver=Money(int(row.deliver_units), Asset(row.deliver_asset, row.decimals)),
            to=Destination(
                country=row.country,
                method=Method(row.method),
                account=row.account,
                holder=row.name,
                institution=row.institution,
            ),
        ),
        provider_ref=row.provider_ref,
        sent_at=row.created_at,
        closed_at=row.closed_at,
        outcome=row.outcome,
        doubted=row.doubted,
        asks=row.asks,
        lease=row.lease_token,
        until=row.lease_until,
    )
