"""Which legs are due: attempts whose legs have to begin, doorbells passed on to the leg that is meant, and claims."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.legs import Leg, LegPlan, LegReport, PaysInLegs, leg_id
from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Destination, Fault, Instruction, Method, Outcome, Resend
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.pace import FIRST_ASK, LAST_ASK, lease_until
from gateway.payouts.rails import Rails

SET = 100
OVERDUE_LEAST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueLeg:
    """A leg that this worker alone may send or ask about until `until`."""

    rail: str
    order_id: str
    leg: Leg
    number: int
    outcome: str
    asks: int
    first: bool
    """Nothing of it has ever left us: it is to be sent."""
    over: bool
    """Its attempt is closed, by a person or because it was paid: nothing is sent any more, only asked."""
    doubted: bool
    """A person has seen that it won't be paid, and another one looks at that: nothing is sent meanwhile."""
    closed: bool
    """The leg has ended; its rail may have said something new of it."""
    begun_at: datetime
    lease: int
    until: datetime

    @property
    def attempt_id(self) -> str:
        """The attempt's id."""
        return self.leg.payment.attempt_id


def in_legs(rails: Rails) -> dict[str, PaysInLegs]:
    """Those rails that pay in legs."""
    return {name: adapter for name, adapter in rails.items() if isinstance(adapter, PaysInLegs)}


_LOOK = text("""
SELECT a.id, a.adapter, a.closed_at, l.id AS leg FROM attempts AS a
LEFT JOIN LATERAL (SELECT id FROM legs WHERE attempt_id = a.id ORDER BY number DESC LIMIT 1) AS l ON true
WHERE a.adapter = ANY(CAST(:rails AS text[])) AND a.due_at <= :soon AND (a.due_at <= :now OR l.id IS NULL)
AND (a.lease_until IS NULL OR a.lease_until <= :now)
ORDER BY a.due_at LIMIT :most FOR UPDATE OF a SKIP LOCKED
""")
BEGIN = text("""
INSERT INTO legs (id, attempt_id, rail, number, name, on_chain, outcome, facts, evidence, asks, due_at, lease_token,
    created_at, updated_at)
SELECT n.id, n.attempt_id, n.rail, n.number, n.name, n.on_chain, 'sending', '{}', '{}', 0, :now, 0, :now, :now
FROM jsonb_to_recordset(CAST(:legs AS jsonb))
    AS n (id text, attempt_id text, rail text, number smallint, name text, on_chain boolean)
""")
# The new token is the fence: a dispatcher that was frozen before it could say that it came too late isn't heard.
_TAKEN = text("""
UPDATE attempts SET lease_token = nextval('lease_tokens'), lease_until = NULL, due_at = :later
WHERE id = ANY(CAST(:ids AS text[]))
""")
_RING = text("""
UPDATE legs SET due_at = :now WHERE id = ANY(CAST(:ids AS text[])) AND (lease_until IS NULL OR lease_until <= :now)
""")
_LATER = text("""
UPDATE attempts SET
    due_at = CASE WHEN closed_at IS NULL OR id = ANY(CAST(:asked AS text[])) THEN CAST(:later AS timestamptz) END
WHERE id = ANY(CAST(:ids AS text[]))
""")


async def begin(engine: AsyncEngine, *, rails: Rails, now: datetime) -> int:
    """Begin the legs of new attempts, and pass on what makes an attempt due (a doorbell, the watch after a payment).

    An attempt's own `due_at` is no timer of its legs, but a look in some minutes that nothing was forgotten. Returns how
    many attempts were looked at.
    """
    adapters = in_legs(rails)
    if not adapters:
        return 0
    async with transaction(engine, point="legs.begin") as connection:
        values = {"rails": list(adapters), "now": now, "soon": now + FIRST_ASK, "most": SET}
        found = (await connection.execute(_LOOK, values)).all()
        if not found:
            return 0
        new = [row for row in found if row.leg is None and row.closed_at is None]
        rung = [row for row in found if row.leg is not None]
        later = now + LAST_ASK
        await insert(connection, legs=[first_leg(row.id, row.adapter, adapters[row.adapter]) for row in new], now=now)
        await connection.execute(_TAKEN, {"ids": [row.id for row in new], "later": later})
        await connection.execute(_RING, {"ids": [row.leg for row in rung], "now": now})
        others = {"ids": [row.id for row in found if row not in new], "asked": [row.id for row in rung], "later": later}
        await connection.execute(_LATER, others)
        return len(found)


def first_leg(attempt_id: str, rail: str, adapter: PaysInLegs) -> dict[str, object]:
    """The row of an attempt's first leg."""
    return leg_row(attempt_id, rail, adapter.legs[0], number=1)


def leg_row(attempt_id: str, rail: str, plan: LegPlan, *, number: int) -> dict[str, object]:
    """The row of a leg that begins."""
    id_ = leg_id(attempt_id, number)
    return {
        "id": id_,
        "attempt_id": attempt_id,
        "rail": rail,
        "number": number,
        "name": plan.name,
        "on_chain": plan.on_chain,
    }


async def insert(connection: AsyncConnection, *, legs: list[dict[str, object]], now: datetime) -> None:
    """Write legs that begin, due at once."""
    if legs:
        await connection.execute(BEGIN, {"legs": json.dumps(legs), "now": now})


# The attempt is locked with its leg, so that a person's word and ours never cross; its lease says that we are at it.
_CLAIM = text("""
WITH due AS MATERIALIZED (
    SELECT l.*, r.until, nextval('lease_tokens') AS token
    FROM unnest(CAST(:rails AS text[]), CAST(:free AS integer[]), CAST(:until AS timestamptz[])) AS r (rail, free, until)
    CROSS JOIN LATERAL (
        SELECT g.id, g.attempt_id, g.sent_at IS NULL AS first, a.closed_at IS NOT NULL AS over
        FROM legs AS g JOIN attempts AS a ON a.id = g.attempt_id
        WHERE g.rail = r.rail AND NOT g.on_chain AND g.due_at <= :now AND (g.lease_until IS NULL OR g.lease_until <= :now)
        ORDER BY g.due_at LIMIT r.free FOR UPDATE SKIP LOCKED
    ) AS l
), held AS (
    UPDATE attempts AS a SET lease_token = due.token, lease_until = due.until,
        due_at = CASE WHEN a.due_at IS NULL OR a.due_at < due.until THEN due.until ELSE a.due_at END,
        resent_at = CASE WHEN due.first OR (g.rail || '/' || g.name = ANY(CAST(:deduped AS text[]))
            AND g.outcome IN ('sending', 'unknown')) THEN :now ELSE a.resent_at END
    FROM due JOIN legs AS g ON g.id = due.id WHERE a.id = due.attempt_id
), taken AS (
    UPDATE legs AS g SET asks = g.asks + 1, sent_at = COALESCE(g.sent_at, CASE WHEN NOT due.over THEN :now END),
        due_at = due.until, lease_token = due.token, lease_until = due.until
    FROM due WHERE g.id = due.id RETURNING g.*, due.first, due.over
)
SELECT t.*, a.order_id, a.deliver_units, a.deliver_asset, s.decimals, EXISTS (
    SELECT FROM resolutions AS p WHERE p.attempt_id = a.id AND p.outcome IS NULL AND p.verdict IN ('failed', 'returned')
) AS doubted,
    q.country, COALESCE(w.method, q.method) AS method, r.name AS holder, COALESCE(w.account, r.account) AS account,
    CASE WHEN w.rank IS NULL THEN r.institution ELSE w.institution END AS institution
FROM taken AS t JOIN attempts AS a ON a.id = t.attempt_id
JOIN assets AS s ON s.code = a.deliver_asset
JOIN orders AS o ON o.id = a.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN recipients AS r ON r.order_id = o.id
LEFT JOIN recipient_ways AS w ON w.order_id = o.id AND w.rank = a.way
""")
_DONE = text("""
SELECT l.*, gave.decimals AS gave_decimals, got.decimals AS got_decimals, fee.decimals AS fee_decimals FROM legs AS l
LEFT JOIN assets AS gave ON gave.code = l.gave_asset
LEFT JOIN assets AS got ON got.code = l.got_asset
LEFT JOIN assets AS fee ON fee.code = l.fee_asset
WHERE l.attempt_id = ANY(CAST(:ids AS text[])) AND l.outcome = 'paid' ORDER BY l.number
""")


async def claim(engine: AsyncEngine, *, rails: Rails, taken: Mapping[str, int], now: datetime) -> list[DueLeg]:
    """Claim legs that are due and not on chain, per rail as many as it has room for beside those `taken`."""
    adapters, capabilities = in_legs(rails), rails.capabilities
    room = {name: max(capabilities[name].concurrency // 2, 1) - taken.get(name, 0) for name in adapters}
    names = [name for name, free in room.items() if free > 0]
    if not names:
        return []
    parameters = {
        "now": now,
        "rails": names,
        "free": [room[name] for name in names],
        "until": [lease_until(capabilities[name], now=now) for name in names],
        "deduped": [
            f"{name}/{plan.name}" for name in names for plan in adapters[name].legs if plan.resend is Resend.DEDUPED
        ],
    }
    async with transaction(engine, point="legs.claim") as connection:
        found = (await connection.execute(_CLAIM, parameters)).all()
        done = await read_done(connection, attempts=[row.attempt_id for row in found])
        due = [_due(row, done.get(row.attempt_id, {})) for row in found]
        alarms = [alarm for item in due if (alarm := _alarm(item, adapters[item.rail], capabilities, now=now))]
        await open_incidents(connection, alarms=alarms, now=now)
        return due


async def read_done(connection: AsyncConnection, *, attempts: list[str]) -> dict[str, dict[str, LegReport]]:
    """The reports of those legs that are paid, by attempt and name."""
    done: dict[str, dict[str, LegReport]] = {}
    if attempts:
        for row in await connection.execute(_DONE, {"ids": attempts}):
            done.setdefault(row.attempt_id, {})[row.name] = report_of(row)
    return done


def report_of(row: Any) -> LegReport:
    """A leg's row as the report that it was written from. `row` has the decimals of its assets."""
    return LegReport(
        outcome=Outcome(row.outcome),
        provider_ref=row.provider_ref,
        receipt=row.receipt,
        gave=_money(row.gave_units, row.gave_asset, row.gave_decimals),
        got=_money(row.got_units, row.got_asset, row.got_decimals),
        fee=_money(row.fee_units, row.fee_asset, row.fee_decimals),
        facts=row.facts,
        fault=None if row.fault is None else Fault(row.fault),
        reason=row.reason,
        evidence=row.evidence,
    )


def _money(units: int | None, asset: str | None, decimals: int | None) -> Money | None:
    if units is None or asset is None or decimals is None:
        return None
    return Money(int(units), Asset(asset, decimals))


def payment_of(row: Any) -> Instruction:
    """The payment that a leg is of. `row` has the attempt's amount, and the recipient."""
    return Instruction(
        attempt_id=row.attempt_id,
        deliver=Money(int(row.deliver_units), Asset(row.deliver_asset, row.decimals)),
        to=Destination(
            country=row.country,
            method=Method(row.method),
            account=row.account,
            holder=row.holder,
            institution=row.institution,
        ),
    )


def _due(row: Row[tuple[Any, ...]], done: Mapping[str, LegReport]) -> DueLeg:
    leg = Leg(
        leg_id=row.id,
        name=row.name,
        payment=payment_of(row),
        # What came before this one; of a leg that has ended, it itself is not among them.
        done={name: report for name, report in done.items() if name != row.name},
        provider_ref=row.provider_ref,
        sent_at=row.sent_at,
    )
    return DueLeg(
        rail=row.rail,
        order_id=row.order_id,
        leg=leg,
        number=row.number,
        outcome=row.outcome,
        asks=row.asks,
        first=row.first,
        over=row.over,
        doubted=row.doubted,
        closed=row.closed_at is not None,
        begun_at=row.created_at,
        lease=row.lease_token,
        until=row.lease_until,
    )


def _alarm(item: DueLeg, adapter: PaysInLegs, capabilities: Mapping[str, Capabilities], *, now: datetime) -> Alarm | None:
    """What a person has to know: at once of a leg that can't be found again, of any other when it is late."""
    if item.closed:
        return None
    unheard = not item.first and item.outcome in ("sending", Outcome.UNKNOWN)
    if unheard and plan_of(adapter, item.number).resend is Resend.BLIND:
        return leg_alarm(item, "blind", "leg_blind_unknown")
    if now - item.begun_at > max(capabilities[item.rail].settles_within, OVERDUE_LEAST):
        return leg_alarm(item, "overdue", "leg_overdue")
    return None


def plan_of(adapter: PaysInLegs, number: int) -> LegPlan:
    """The plan of a leg, by its number. Raises `LookupError` if the adapter has fewer legs than it had."""
    return adapter.legs[number - 1]


def leg_alarm(item: DueLeg, cause: str, kind: str) -> Alarm:
    """An alarm about a leg, once per cause."""
    detail = {"attempt": item.attempt_id, "leg": item.leg.name, "adapter": item.rail, "outcome": item.outcome}
    return Alarm(f"{item.leg.leg_id}:{cause}", kind, item.order_id, detail)
