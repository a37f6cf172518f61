"""Record what rails said of attempts: the rows, and the steps of their orders, as one set in one transaction.

The only writer of outcomes. Nothing that was said is lost: the latest report stands in the attempt, and what it replaced, or
what changed nothing, is kept in `attempt_reports`. The rules are in gateway.payouts.outcomes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import rows, tuples
from gateway.db.sets import column, split
from gateway.ledger.post import Entry, Transfer, post
from gateway.offramp import Capabilities, Outcome, Report
from gateway.operators.incidents import open_incidents
from gateway.orders.advance import TABLE, Move, advance, stepping
from gateway.orders.states import E
from gateway.payouts.judging import OPERATOR, PAID_OTHER_AMOUNT, Judged, News, entries_of, judge, moves_of, ordered
from gateway.payouts.outcomes import CLOSING, Act, Effect
from gateway.payouts.pace import next_ask, next_watch

__all__ = ["OLD_LEASE", "OPERATOR", "PAID_OTHER_AMOUNT", "News", "record", "settle_late"]

OLD_LEASE = "old_lease"
"""Source of what a worker reported too late: it is kept and counts for nothing."""


async def record(
    connection: AsyncConnection,
    *,
    news: Sequence[News],
    now: datetime,
    capabilities: Mapping[str, Capabilities] | None = None,
) -> int:
    """Write news of attempts in the caller's transaction. Returns how many changed something.

    News under an old lease only is kept: a newer holder speaks for the attempt. `capabilities` of the rails tell how long
    payments are watched that may come back.
    """
    plain = [item for item in news if item.order_id and item.lease is not None and _pays(item.report)]
    settled = await _settle(connection, plain, now=now, capabilities=capabilities or {}) if plain else frozenset()
    changed = len(settled)
    rest = [item for item in news if item.attempt_id not in settled] if settled else news
    while rest:
        wave, rest = await _wave(connection, rest)
        changed += await _record(connection, wave, now=now, capabilities=capabilities or {})
    return changed


def _pays(report: Report) -> bool:
    return report.outcome is Outcome.PAID and report.delivered is not None


# Nearly all: the first answer to a sending says that just what was ordered is paid. The orders are locked first, in the
# order of their ids, as everywhere; an attempt that somebody changed until then isn't the one that was found.
_SETTLE = stepping(
    f"""
    n AS MATERIALIZED (
        SELECT * FROM unnest({split("ids")}, {split("orders")}, CAST({split("leases")} AS bigint[]), {split("assets")},
            CAST({split("decimals")} AS smallint[]), CAST({split("units")} AS numeric[]), {split("refs")},
            {split("receipts")}, {split("reasons")}, CAST({split("evidence")} AS jsonb[]))
            AS n (id, order_id, lease, asset, decimals, units, provider_ref, receipt, reason, evidence)
    ), locked AS MATERIALIZED (
        SELECT n.*, o.state, o.version, o.quote_id
        FROM n JOIN orders AS o ON o.id = n.order_id ORDER BY o.id FOR UPDATE OF o
    ), news AS (
        UPDATE attempts AS a SET outcome = 'paid', provider_ref = n.provider_ref, receipt = n.receipt, reason = n.reason,
            evidence = n.evidence, due_at = CAST(CAST(:watch AS jsonb) ->> a.adapter AS timestamptz), lease_until = NULL,
            updated_at = :now, closed_at = :now
        FROM locked AS n JOIN assets AS s ON s.code = n.asset AND s.decimals = n.decimals
        WHERE a.id = n.id AND a.order_id = n.order_id AND a.outcome = 'sending' AND a.lease_token = n.lease
            AND a.deliver_asset = n.asset AND a.deliver_units = n.units AND a.fault IS NULL
        RETURNING a.id AS attempt, a.order_id, '{E.OUTCOME_PAID}' AS event, 'attempt\\:' || a.id || '\\:paid' AS cause,
            jsonb_build_object('attempt', a.id, 'adapter', a.adapter) AS data, NULL\\:\\:timestamptz AS due_at,
            n.state, n.version, n.quote_id
    )
    """,  # noqa: S608 - composed of constants only
    told="attempt",
)


_encode = msgspec.json.Encoder().encode


async def _settle(
    connection: AsyncConnection, news: Sequence[News], *, now: datetime, capabilities: Mapping[str, Capabilities]
) -> frozenset[str]:
    watch = {
        name: due_at.isoformat()
        for name, known in capabilities.items()
        if (due_at := next_watch(paid_at=now, capabilities=known, now=now))
    }
    reports, amounts = [item.report for item in news], [item.report.delivered for item in news if item.report.delivered]
    values = {
        **TABLE,
        "ids": column([item.attempt_id for item in news]),
        "orders": column([item.order_id for item in news]),
        "leases": column([str(item.lease) for item in news]),
        "assets": column([money.asset.code for money in amounts]),
        "decimals": column([str(money.asset.decimals) for money in amounts]),
        "units": column([str(money.units) for money in amounts]),
        "refs": column([report.provider_ref for report in reports]),
        "receipts": column([report.receipt or None for report in reports]),
        "reasons": column([report.reason or None for report in reports]),
        "evidence": column([_encode(dict(report.evidence)).decode() for report in reports]),
        "watch": json.dumps(watch),
        "now": now,
    }
    return frozenset([attempt_id for (attempt_id,) in await tuples(connection, _SETTLE, values)])


# Orders are locked with their attempts, in the order of their ids, as everywhere.
_LOCK = text("""
SELECT a.id, o.id AS order_id FROM attempts AS a JOIN orders AS o ON o.id = a.order_id
WHERE a.id = ANY(string_to_array(:ids, ',')) ORDER BY o.id, a.id FOR UPDATE OF o, a
""")
_READ = text("""
SELECT a.*, o.state, s.decimals,
    (SELECT count(*) FROM attempts AS p WHERE p.order_id = a.order_id AND p.outcome = 'failed') AS failures
FROM attempts AS a
JOIN orders AS o ON o.id = a.order_id
JOIN assets AS s ON s.code = a.deliver_asset
WHERE a.id = ANY(string_to_array(:ids, ','))
""")


async def _wave(connection: AsyncConnection, news: Sequence[News]) -> tuple[list[News], list[News]]:
    """Lock, and take one piece of news per order: what the next one finds depends on it. The others come after."""
    locked = await connection.execute(_LOCK, {"ids": ",".join({item.attempt_id: None for item in news})})
    orders = {row.id: row.order_id for row in locked}
    wave: dict[str, News] = {}
    later = []
    for item in news:
        order_id = orders.get(item.attempt_id)
        if order_id is None:
            continue
        if wave.setdefault(order_id, item) is not item:
            later.append(item)
    return list(wave.values()), later


async def _record(
    connection: AsyncConnection, news: Sequence[News], *, now: datetime, capabilities: Mapping[str, Capabilities]
) -> int:
    ids = ",".join(item.attempt_id for item in news)
    attempts = {row.id: row for row in await rows(connection, _READ, {"ids": ids})}
    late = {item.attempt_id: item for item in news if item.lease not in (None, attempts[item.attempt_id].lease_token)}
    cases = [judge(attempts[item.attempt_id], item) for item in news if item.attempt_id not in late]
    kept = [(item.attempt_id, OLD_LEASE, item.report) for item in late.values()]
    kept += [(case.row.id, case.source, case.report) for case in cases if not case.changes]
    await open_incidents(connection, alarms=[case.alarm for case in cases if case.alarm], now=now)
    await _keep(connection, kept, now=now)
    changing = [case for case in cases if case.changes]
    await _write(connection, changing, now=now, capabilities=capabilities)
    await post(connection, entries=[entry for case in cases for entry in entries_of(case)], now=now)
    await advance(connection, moves=[move for case in cases for move in moves_of(case, now=now)], now=now, locked=True)
    funded = [case.row.order_id for case in changing if case.report.outcome in (Outcome.FAILED, Outcome.RETURNED)]
    await settle_late(connection, order_ids=funded, now=now)
    return len(changing)


# The same words twice are kept once.
_KEEP = text("""
INSERT INTO attempt_reports (attempt_id, at, source, outcome, fault, reason, provider_ref, evidence)
SELECT n.id, :now, n.source, n.outcome, n.fault, n.reason, n.provider_ref, n.evidence
FROM jsonb_to_recordset(CAST(:kept AS jsonb)) AS n (id text, source text, outcome text, fault text, reason text,
    provider_ref text, evidence jsonb)
JOIN attempts AS a ON a.id = n.id
WHERE (a.outcome, a.fault, a.reason, a.provider_ref, a.evidence)
    IS DISTINCT FROM (n.outcome, n.fault, n.reason, COALESCE(n.provider_ref, a.provider_ref), n.evidence)
AND NOT EXISTS (SELECT FROM attempt_reports AS r WHERE r.attempt_id = n.id
    AND (r.source, r.outcome, r.fault, r.reason, r.provider_ref, r.evidence)
        IS NOT DISTINCT FROM (n.source, n.outcome, n.fault, n.reason, n.provider_ref, n.evidence))
""")


async def _keep(connection: AsyncConnection, kept: Iterable[tuple[str, str, Report]], *, now: datetime) -> None:
    document = [
        {
            "id": attempt_id,
            "source": source,
            "outcome": report.outcome,
            "fault": report.fault,
            "reason": report.reason,
            "provider_ref": report.provider_ref,
            "evidence": dict(report.evidence),
        }
        for attempt_id, source, report in kept
    ]
    if document:
        await connection.execute(_KEEP, {"kept": json.dumps(document), "now": now})


_WRITE = text("""
WITH n AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:news AS jsonb)) AS n (id text, source text, outcome text, fault text, reason text,
        evidence jsonb, provider_ref text, receipt text, due_at timestamptz, closes boolean, turns smallint, claimed boolean,
        delivered numeric)
), replaced AS (
    INSERT INTO attempt_reports (attempt_id, at, source, outcome, fault, reason, provider_ref, evidence)
    SELECT a.id, a.updated_at, a.source, a.outcome, a.fault, a.reason, a.provider_ref, a.evidence
    FROM n JOIN attempts AS a ON a.id = n.id
    WHERE a.outcome <> 'sending' AND (a.outcome, a.fault, a.reason, a.provider_ref, a.evidence)
        IS DISTINCT FROM (n.outcome, n.fault, n.reason, COALESCE(n.provider_ref, a.provider_ref), n.evidence)
)
UPDATE attempts AS a SET
    outcome = n.outcome, fault = n.fault, reason = n.reason, evidence = n.evidence, source = n.source,
    provider_ref = COALESCE(n.provider_ref, a.provider_ref), receipt = COALESCE(n.receipt, a.receipt),
    due_at = n.due_at, lease_until = NULL, updated_at = :now,
    closed_at = CASE WHEN n.closes THEN :now ELSE a.closed_at END, claimed = n.claimed,
    delivered_units = COALESCE(n.delivered, a.delivered_units),
    lease_token = CASE WHEN n.turns > a.turns THEN nextval('lease_tokens') ELSE a.lease_token END, turns = n.turns
FROM n WHERE a.id = n.id
""")


# What the rail says later counts: a code may be renewed.
_PICKUP = text("""
INSERT INTO pickups (attempt_id, code, expires_at, place, at) VALUES (:id, :code, :expires_at, :place, :now)
ON CONFLICT (attempt_id) DO UPDATE SET code = excluded.code, expires_at = excluded.expires_at, place = excluded.place,
    at = excluded.at
""")


async def _write(
    connection: AsyncConnection, cases: Sequence[Judged], *, now: datetime, capabilities: Mapping[str, Capabilities]
) -> None:
    document = [
        {
            "id": case.row.id,
            "source": case.source,
            "outcome": case.report.outcome,
            "fault": case.report.fault,
            "reason": case.report.reason,
            "evidence": dict(case.report.evidence),
            "provider_ref": case.report.provider_ref,
            "receipt": case.report.receipt,
            "due_at": _iso(_due_at(case, capabilities.get(case.rail), now=now)),
            "closes": case.act in (Act.CLOSE, Act.PAID_AFTER_ALL),
            "turns": case.turns,
            "claimed": case.effect is Effect.CLAIM,
            "delivered": str(case.report.delivered.units) if case.in_part and case.report.delivered else None,
        }
        for case in cases
    ]
    if document:
        await connection.execute(_WRITE, {"now": now, "news": json.dumps(document)})
    pickups = [
        {"id": case.row.id, "code": pickup.code, "expires_at": pickup.expires_at, "place": pickup.where, "now": now}
        for case in cases
        if (pickup := case.report.pickup) is not None
    ]
    if pickups:
        await connection.execute(_PICKUP, pickups)


def _due_at(case: Judged, capabilities: Capabilities | None, *, now: datetime) -> datetime | None:
    """When the rail is asked again: about what is open, and about a payment that may still come back."""
    if case.report.outcome is Outcome.PAID and capabilities is not None:
        return next_watch(paid_at=now, capabilities=capabilities, now=now)
    if case.report.outcome in CLOSING:
        return None
    return next_ask(case.row.asks, now=now, attempt_id=case.row.id)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


_LATE = text("""
SELECT DISTINCT ON (a.order_id) a.id, a.order_id, a.adapter, a.turns, a.deliver_asset, a.deliver_units, s.decimals
FROM attempts AS a
JOIN orders AS o ON o.id = a.order_id
JOIN assets AS s ON s.code = a.deliver_asset
WHERE a.order_id = ANY(string_to_array(:ids, ',')) AND a.claimed AND o.state IN ('funded', 'held')
ORDER BY a.order_id, a.id
""")
_COUNTED = text("UPDATE attempts SET claimed = false WHERE id = ANY(string_to_array(:ids, ','))")


async def settle_late(connection: AsyncConnection, *, order_ids: Sequence[str], now: datetime) -> list[str]:
    """Settle orders that wait to be paid by a payment that a rail made without need before; the caller holds their rows.

    What it took is no longer our claim, then. Returns which orders were settled.
    """
    if not order_ids:
        return []
    late = await rows(connection, _LATE, {"ids": ",".join(order_ids)})
    if not late:
        return []
    causes = {row.order_id: f"attempt:{row.id}:counted:{row.turns}" for row in late}
    entries = [
        Entry(
            causes[row.order_id],
            "payout_unclaimed",
            (Transfer(f"rail:{row.adapter}", f"claims:{row.adapter}", ordered(row)),),
            row.order_id,
        )
        for row in late
    ]
    moves = [
        Move(
            order_id=row.order_id,
            event=E.OUTCOME_PAID,
            cause=causes[row.order_id],
            data={"attempt": row.id, "adapter": row.adapter},
        )
        for row in late
    ]
    await connection.execute(_COUNTED, {"ids": ",".join(row.id for row in late)})
    await post(connection, entries=entries, now=now)
    await advance(connection, moves=moves, now=now, locked=True)
    return [row.order_id for row in late]
