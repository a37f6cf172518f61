"""Learn from attempts how rails did: each one counts once, when it is over, in small tables (migration 0021).

Attempts are read in the order of their ids, which is that of their making, a set at a time. Where the reading has come to,
what it added and which attempts it found still open are written in one transaction, behind one lock: any number of processes
may learn, and be killed at any instant. Nothing is done in the transactions of payouts.

Who failed the recipient's account doesn't count against the rail, and neither does our own lack of float. What a rail says
after an attempt was closed (`attempts.turns`) takes back what was counted, and counts as it stands then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ulid import ULID

from gateway.clock import Clock
from gateway.db.session import rows, transaction
from gateway.routing.experience import BAND_SQL, FAILED, PAID
from gateway.routing.histogram import bucket_sql

SET = 20_000
"""Attempts that are read at once."""
LAG = timedelta(minutes=1)
"""Attempts are read when they are as old, for by then those that were made before them are committed, whoever made them.

One that was committed later still is never read: rather missed than counted twice.
"""
LEAST = 0.001
"""What counts as less than so many payments is forgotten."""
_RANDOM_BITS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How long what a rail did counts: half as much a half-life later."""

    half_life: timedelta = timedelta(days=14)
    now_half_life: timedelta = timedelta(minutes=30)
    """Of what counts as how it does now."""
    says_nothing: tuple[str, ...] = ()
    """How reasons of failed attempts begin that never reached the rail."""


_COLUMNS = "id, order_id, way, adapter, deliver_asset, deliver_units, outcome, fault, reason, turns, created_at, updated_at"
_DECAY = "power(0.5, LEAST(200.0, GREATEST(0.0, EXTRACT(epoch FROM {span}) / {half_life})))"
_OF_SPAN = "CASE span WHEN 'usual' THEN :usual_s ELSE :now_s END"
_SPANS = "(VALUES ('usual', CAST(:usual_s AS double precision)), ('now', CAST(:now_s AS double precision)))"

_LOCK = text("SELECT upto FROM experience_progress FOR UPDATE SKIP LOCKED")

# One statement, hence one snapshot: an attempt that closes meanwhile is open for all of it, or closed for all of it.
_LEARN = text(f"""
WITH picked AS MATERIALIZED (
    (SELECT {_COLUMNS}, closed_at, false AS known FROM attempts AS a WHERE id > :upto AND id < :until
        AND NOT EXISTS (SELECT FROM float_runs AS m WHERE m.order_id = a.order_id) ORDER BY id LIMIT :most)
    UNION ALL
    SELECT {_COLUMNS}, closed_at, true FROM attempts AS a WHERE turns > 0 AND id <= :upto
        AND NOT EXISTS (SELECT FROM float_runs AS m WHERE m.order_id = a.order_id)
        AND NOT EXISTS (SELECT FROM experience_turned AS t WHERE t.attempt_id = a.id AND t.turns = a.turns)
        AND NOT EXISTS (SELECT FROM experience_waiting AS w WHERE w.attempt_id = a.id)
), placed AS (
    SELECT p.id, p.adapter AS rail, p.deliver_asset AS asset,
        COALESCE(CASE WHEN p.way = 0 THEN r.institution ELSE w.institution END, '') AS institution,
        CAST(EXTRACT(hour FROM p.created_at AT TIME ZONE 'UTC') AS smallint) AS hour,
        {BAND_SQL.format("p.deliver_units")} AS band,
        p.outcome, p.fault, p.reason, p.turns, p.created_at, p.updated_at, p.closed_at, p.known, false AS timed
    FROM picked AS p
    LEFT JOIN recipients AS r ON p.way = 0 AND r.order_id = p.order_id
    LEFT JOIN recipient_ways AS w ON w.order_id = p.order_id AND w.rank = p.way
), changed AS MATERIALIZED (
    SELECT w.attempt_id AS id, w.rail, w.asset, w.institution, w.hour, w.band, a.outcome, a.fault, a.reason, a.turns,
        w.sent_at AS created_at, a.updated_at, a.closed_at, false AS known, w.timed
    FROM experience_waiting AS w CROSS JOIN LATERAL (SELECT * FROM attempts WHERE id = w.attempt_id OFFSET 0) AS a
    WHERE a.closed_at IS NOT NULL OR (a.outcome = 'available' AND NOT w.timed)
), stands AS MATERIALIZED (
    SELECT s.*, s.outcome = 'paid' AS paid, s.outcome IN ('failed', 'returned') AND s.fault IN ('rail', 'transient')
        AND NOT COALESCE(s.reason, '') ^@ ANY(CAST(:says_nothing AS text[])) AS failed
    FROM (SELECT * FROM placed UNION ALL SELECT * FROM changed) AS s
), stood AS (
    -- What of it counts already. The first turn is one from what was counted without note: its report was kept.
    SELECT s.*, EXISTS (SELECT FROM pickups AS p WHERE p.attempt_id = s.id) AS collected, f.at AS failed_at,
        s.known AND COALESCE(t.paid, (s.turns % 2 = 1) <> s.paid) AS was_paid,
        s.known AND COALESCE(t.failed, (s.turns % 2 = 1) = s.paid AND f.fault IN ('rail', 'transient')
            AND NOT COALESCE(f.reason, '') ^@ ANY(CAST(:says_nothing AS text[])), false) AS was_failed
    FROM stands AS s
    LEFT JOIN experience_turned AS t ON s.known AND t.attempt_id = s.id
    LEFT JOIN LATERAL (
        SELECT at, fault, reason FROM attempt_reports AS r
        WHERE s.known AND r.attempt_id = s.id AND outcome IN ('failed', 'returned') AND source <> 'old_lease'
        ORDER BY r.id LIMIT 1
    ) AS f ON true
), counted AS (
    SELECT s.rail, s.asset, s.institution, s.hour, s.band, f.slot, f.at, f.number
    FROM stood AS s CROSS JOIN LATERAL (VALUES
        ({bucket_sql("COALESCE(s.closed_at, s.updated_at) - s.created_at")}, COALESCE(s.closed_at, s.updated_at),
            CASE WHEN s.timed THEN 0
                 WHEN s.known THEN CASE WHEN s.collected THEN 0 ELSE CAST(s.paid AS int) - CAST(s.was_paid AS int) END
                 ELSE CAST(s.outcome IN ('paid', 'available') AS int) END),
        ({PAID}, s.closed_at, CAST(s.paid AS int) - CAST(s.was_paid AS int)),
        ({FAILED}, CASE WHEN s.was_failed THEN s.failed_at WHEN s.known THEN s.updated_at ELSE s.closed_at END,
            CAST(s.failed AS int) - CAST(s.was_failed AS int))
    ) AS f (slot, at, number) WHERE f.number <> 0
), added AS (
    SELECT p.span, c.rail, c.asset, c.institution, CASE p.span WHEN 'usual' THEN c.hour ELSE 0 END AS hour,
        CASE p.span WHEN 'usual' THEN c.band ELSE 0 END AS band, c.slot,
        sum(c.number * {_DECAY.format(span="CAST(:now AS timestamptz) - c.at", half_life="p.half_life_s")}) AS weight
    FROM counted AS c CROSS JOIN {_SPANS} AS p (span, half_life_s)
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), kept AS (
    INSERT INTO experience AS e (span, rail, asset, institution, hour, band, slot, weight, at)
    SELECT span, rail, asset, institution, hour, band, slot, weight, :now FROM added WHERE abs(weight) >= {LEAST}
    ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (span, rail, asset, institution, hour, band, slot) DO UPDATE SET at = GREATEST(e.at, excluded.at),
        weight = e.weight * {_DECAY.format(span="excluded.at - e.at", half_life=_OF_SPAN.replace("span", "e.span"))}
            + excluded.weight * {_DECAY.format(span="e.at - excluded.at", half_life=_OF_SPAN.replace("span", "e.span"))}
), waits AS (
    INSERT INTO experience_waiting (attempt_id, rail, asset, institution, hour, band, sent_at, timed)
    SELECT id, rail, asset, institution, hour, band, created_at, outcome = 'available' FROM placed WHERE closed_at IS NULL
), over AS (
    DELETE FROM experience_waiting AS w USING changed AS c WHERE w.attempt_id = c.id AND c.closed_at IS NOT NULL
), collectable AS (
    UPDATE experience_waiting AS w SET timed = true FROM changed AS c WHERE w.attempt_id = c.id AND c.closed_at IS NULL
), turned AS (
    INSERT INTO experience_turned AS t (attempt_id, turns, paid, failed)
    SELECT id, turns, paid, failed FROM stands WHERE turns > 0
    ON CONFLICT (attempt_id) DO UPDATE SET turns = excluded.turns, paid = excluded.paid, failed = excluded.failed
), heard AS (
    INSERT INTO rail_heard AS h (rail, heard_at)
    SELECT rail, max(updated_at) FROM (
        SELECT rail, updated_at FROM stands
        WHERE outcome IN ('paid', 'returned') OR (outcome = 'failed' AND fault <> 'transient')
        UNION ALL
        SELECT adapter, updated_at FROM attempts WHERE closed_at IS NULL AND outcome IN ('pending', 'available')
    ) AS a GROUP BY rail ORDER BY rail
    ON CONFLICT (rail) DO UPDATE SET heard_at = GREATEST(h.heard_at, excluded.heard_at)
), progress AS (
    UPDATE experience_progress AS p SET upto = GREATEST(p.upto, (SELECT max(id) FROM picked WHERE NOT known)),
        half_life = make_interval(secs => :usual_s), now_half_life = make_interval(secs => :now_s), learned_at = :now
)
SELECT count(*) AS read FROM picked WHERE NOT known
""")  # noqa: S608 - the expressions are ours
_FORGET = text(f"""
DELETE FROM experience
WHERE abs(weight) * {_DECAY.format(span="CAST(:now AS timestamptz) - at", half_life=_OF_SPAN)} < {LEAST}
""")  # noqa: S608 - the expressions are ours


async def learn(engine: AsyncEngine, *, clock: Clock, memory: Memory) -> int:
    """Count one set of attempts, those that were open and are over, and those that turned. Returns 0 if that was all.

    Does nothing while another process is at it.
    """
    now = clock()
    values = {
        "now": now,
        "until": _first_id(now - LAG),
        "most": SET,
        "usual_s": memory.half_life.total_seconds(),
        "now_s": memory.now_half_life.total_seconds(),
        "says_nothing": list(memory.says_nothing),
    }
    async with transaction(engine, point="experience.learn") as connection:
        progress = await rows(connection, _LOCK, {})
        if not progress:
            return 0
        # First, so that no weight is ever worn down to less than the database can multiply.
        await rows(connection, _FORGET, values)
        found = await rows(connection, _LEARN, {**values, "upto": progress[0].upto})
    read = int(found[0].read)
    return read if read == SET else 0


def _first_id(at: datetime) -> str:
    """The least id that an attempt made at that moment can have."""
    return f"att_{ULID.from_int(int(at.timestamp() * 1000) << _RANDOM_BITS)}"
