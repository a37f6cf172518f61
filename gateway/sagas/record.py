"""Record what rails said of legs: the legs, their entries in the ledger, the legs after them, the news of their attempts.

The only writer of a leg's outcome. Of attempts `gateway.payouts.record` is: it is told what the legs come to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.post import Entry, post, register_assets
from gateway.legs import LegPlan, LegReport, PaysInLegs
from gateway.money import Money
from gateway.offramp import Capabilities, Outcome, Report
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.outcomes import CLOSING
from gateway.payouts.pace import LAST_ASK, next_ask, next_watch
from gateway.payouts.record import News, record
from gateway.sagas.calls import Heard, Unsent
from gateway.sagas.due import insert, leg_row, plan_of
from gateway.sagas.verdict import attempt_report, entry_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was heard of one leg, under which lease; None: the caller has locked the row."""

    leg_id: str
    attempt_id: str
    lease: int | None
    heard: Heard
    entry: Entry | None = None
    """What is booked if it is PAID, where the report alone doesn't say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What follows for one leg."""

    row: Any
    lease: int | None
    plan: LegPlan
    following: LegPlan | None
    heard: Heard
    entry: Entry | None

    @property
    def report(self) -> LegReport | None:
        return self.heard if isinstance(self.heard, LegReport) else None

    @property
    def counts(self) -> bool:
        """Whether the leg becomes another: an open one by any report, a closed one if it is turned round."""
        if self.report is None:
            return False
        if self.row.leg_closed is None:
            return True
        turned = (self.row.outcome, self.report.outcome)
        return turned in ((Outcome.PAID, Outcome.RETURNED), (Outcome.FAILED, Outcome.PAID))

    @property
    def over(self) -> bool:
        return self.row.attempt_closed is not None

    @property
    def begins_next(self) -> bool:
        return self.counts and self._says(Outcome.PAID) and self.following is not None and not self.over

    @property
    def books(self) -> bool:
        return self.counts and self._says(Outcome.PAID)

    def _says(self, outcome: Outcome) -> bool:
        return self.report is not None and self.report.outcome is outcome

    @property
    def news(self) -> Report | None:
        """What is said of the attempt; None: nothing that concerns it."""
        if self.report is None or (self.row.leg_closed is not None and self.following is not None):
            return None
        if self.over and (self.following is not None or self.report.outcome not in CLOSING):
            return None
        return attempt_report(self.plan, self.report, following=self.following)

    def alarm(self) -> Alarm | None:
        """A leg in between that was made after all: our money is at the rail in another form than the books had it."""
        if not (self.counts and self.row.leg_closed is not None and self.following is not None):
            return None
        detail = {"attempt": self.row.attempt_id, "leg": self.row.name, "adapter": self.row.rail}
        return Alarm(f"{self.row.id}:turned", "leg_turned", self.row.order_id, detail)


# Orders are locked with their attempts, in the order of their ids, as everywhere; the legs after them.
_LOCK = text("""
SELECT o.id FROM attempts AS a JOIN orders AS o ON o.id = a.order_id
WHERE a.id = ANY(CAST(:ids AS text[])) ORDER BY o.id, a.id FOR UPDATE OF o, a
""")
_READ = text("""
SELECT l.id, l.attempt_id, l.rail, l.number, l.name, l.outcome, l.asks, l.lease_token, l.closed_at AS leg_closed,
    a.order_id, a.closed_at AS attempt_closed, a.due_at < a.lease_until AS rung
FROM legs AS l JOIN attempts AS a ON a.id = l.attempt_id
WHERE l.id = ANY(CAST(:ids AS text[])) ORDER BY l.id FOR UPDATE OF l
""")
_WRITE = text("""
UPDATE legs AS l SET outcome = n.outcome, provider_ref = COALESCE(n.provider_ref, l.provider_ref),
    receipt = COALESCE(n.receipt, l.receipt),
    gave_asset = COALESCE(n.gave_asset, l.gave_asset), gave_units = COALESCE(n.gave_units, l.gave_units),
    got_asset = COALESCE(n.got_asset, l.got_asset), got_units = COALESCE(n.got_units, l.got_units),
    fee_asset = COALESCE(n.fee_asset, l.fee_asset), fee_units = COALESCE(n.fee_units, l.fee_units),
    facts = l.facts || n.facts, fault = n.fault, reason = n.reason, evidence = n.evidence, updated_at = :now,
    closed_at = CASE WHEN n.closes THEN COALESCE(l.closed_at, :now) END
FROM jsonb_to_recordset(CAST(:legs AS jsonb)) AS n (id text, outcome text, provider_ref text, receipt text,
    gave_asset text, gave_units numeric, got_asset text, got_units numeric, fee_asset text, fee_units numeric,
    facts jsonb, fault text, reason text, evidence jsonb, closes boolean)
WHERE l.id = n.id
""")
_FREE = text("""
UPDATE legs AS l SET due_at = n.due_at, lease_until = NULL, sent_at = CASE WHEN n.unsent THEN NULL ELSE l.sent_at END
FROM unnest(CAST(:ids AS text[]), CAST(:due AS timestamptz[]), CAST(:unsent AS boolean[])) AS n (id, due_at, unsent)
WHERE l.id = n.id
""")
_ATTEMPTS = text("""
UPDATE attempts AS a SET due_at = n.due_at, lease_until = NULL
FROM unnest(CAST(:ids AS text[]), CAST(:due AS timestamptz[])) AS n (id, due_at) WHERE a.id = n.id
""")
_CLOSED = text("SELECT id, outcome, closed_at FROM attempts WHERE id = ANY(CAST(:ids AS text[])) AND closed_at IS NOT NULL")


async def lock_attempts(connection: AsyncConnection, *, attempts: Sequence[str]) -> None:
    """Lock attempts with their orders, as whoever writes of them does; what is read is read after that."""
    await connection.execute(_LOCK, {"ids": list(attempts)})


async def record_legs(
    connection: AsyncConnection,
    *,
    told: Sequence[Told],
    adapters: Mapping[str, PaysInLegs],
    capabilities: Mapping[str, Capabilities],
    now: datetime,
) -> int:
    """Write what was heard of legs in the caller's transaction. Returns how many legs became others.

    What comes under an old lease is kept with its attempt and counts for nothing.
    """
    if not told:
        return 0
    await lock_attempts(connection, attempts=[one.attempt_id for one in told])
    rows = {row.id: row for row in await connection.execute(_READ, {"ids": [one.leg_id for one in told]})}
    old = [one for one in told if one.lease not in (None, rows[one.leg_id].lease_token)]
    steps = [_step(rows[one.leg_id], one, adapters) for one in told if one not in old]
    late = [one for one in old if isinstance(one.heard, LegReport)]
    changed = [step for step in steps if step.counts]
    await _write(connection, changed, now=now)
    await _book(connection, [step for step in steps if step.books], now=now)
    begun = [
        leg_row(step.row.attempt_id, step.row.rail, step.following, number=step.row.number + 1)
        for step in steps
        if step.begins_next and step.following is not None
    ]
    await insert(connection, legs=begun, now=now)
    news = [News(attempt_id=s.row.attempt_id, report=s.news, lease=s.lease) for s in steps if s.news is not None]
    news += [_late(one, rows[one.leg_id], adapters) for one in late]
    await record(connection, news=news, now=now, capabilities=capabilities)
    await open_incidents(connection, alarms=[alarm for step in steps if (alarm := step.alarm())], now=now)
    await _set_due(connection, steps, capabilities=capabilities, now=now)
    return len(changed)


def _step(row: Any, one: Told, adapters: Mapping[str, PaysInLegs]) -> _Step:
    adapter = adapters[row.rail]
    following = None if row.number >= len(adapter.legs) else plan_of(adapter, row.number + 1)
    plan = plan_of(adapter, row.number)
    return _Step(row=row, lease=one.lease, plan=plan, following=following, heard=one.heard, entry=one.entry)


def _late(one: Told, row: Any, adapters: Mapping[str, PaysInLegs]) -> News:
    step = _step(row, one, adapters)
    assert isinstance(one.heard, LegReport)
    report = attempt_report(step.plan, one.heard, following=step.following)
    return News(attempt_id=one.attempt_id, report=report, lease=one.lease)


async def _write(connection: AsyncConnection, steps: Sequence[_Step], *, now: datetime) -> None:
    reports = [step.report for step in steps if step.report is not None]
    assets = [money.asset for report in reports for money in (report.gave, report.got, report.fee) if money is not None]
    await register_assets(connection, assets=assets)
    document = [_written(step.row.id, report) for step, report in zip(steps, reports, strict=True)]
    if document:
        await connection.execute(_WRITE, {"legs": json.dumps(document), "now": now})


def _written(leg_id: str, report: LegReport) -> dict[str, object]:
    money: dict[str, object] = {}
    for name, amount in (("gave", report.gave), ("got", report.got), ("fee", report.fee)):
        money |= _columns(name, amount)
    return {
        "id": leg_id,
        "outcome": report.outcome,
        "provider_ref": report.provider_ref,
        "receipt": report.receipt,
        **money,
        "facts": dict(report.facts),
        "fault": report.fault,
        "reason": report.reason,
        "evidence": dict(report.evidence),
        "closes": report.outcome in CLOSING,
    }


def _columns(name: str, amount: Money | None) -> dict[str, object]:
    if amount is None:
        return {}
    return {f"{name}_asset": amount.asset.code, f"{name}_units": str(amount.units)}


async def _book(connection: AsyncConnection, steps: Sequence[_Step], *, now: datetime) -> None:
    entries = []
    for step in steps:
        assert step.report is not None
        made = step.entry or entry_of(step.row.id, step.report, rail=step.row.rail, order_id=step.row.order_id)
        if made is not None:
            entries.append(made)
    await post(connection, entries=entries, now=now)


async def _set_due(
    connection: AsyncConnection, steps: Sequence[_Step], *, capabilities: Mapping[str, Capabilities], now: datetime
) -> None:
    if not steps:
        return
    unsent = [isinstance(step.heard, Unsent) and step.row.outcome == "sending" for step in steps]
    legs = {"ids": [step.row.id for step in steps], "due": [_leg_due(step, now=now) for step in steps], "unsent": unsent}
    await connection.execute(_FREE, legs)
    ids = [step.row.attempt_id for step in steps]
    closed = {row.id: row for row in await connection.execute(_CLOSED, {"ids": ids})}
    due = [_attempt_due(step, closed.get(step.row.attempt_id), capabilities[step.row.rail], now=now) for step in steps]
    await connection.execute(_ATTEMPTS, {"ids": ids, "due": due})


def _leg_due(step: _Step, *, now: datetime) -> datetime | None:
    """When the leg is looked at next; of one that has ended, when its attempt is."""
    ended = step.row.leg_closed is not None or (step.report is not None and step.report.outcome in CLOSING)
    if ended:
        return None
    return now if step.row.rung else next_ask(step.row.asks, now=now, attempt_id=step.row.attempt_id)


def _attempt_due(step: _Step, closed: Any, capabilities: Capabilities, *, now: datetime) -> datetime | None:
    """When it is made sure that nothing was forgotten; of a payment that may still come back, when it is watched next."""
    if closed is None:
        return now + LAST_ASK
    if step.row.rung:
        return now
    if closed.outcome == Outcome.PAID and step.following is None:
        return next_watch(paid_at=closed.closed_at, capabilities=capabilities, now=now)
    ended = step.row.leg_closed is not None or (step.report is not None and step.report.outcome in CLOSING)
    return None if ended else now + LAST_ASK
