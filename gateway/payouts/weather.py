"""Watch the rails' weather (gateway.routing.weather): work it out of what is known of each, and write it for all to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.session import transaction
from gateway.payouts.rails import Rails
from gateway.payouts.standing import rail_standings
from gateway.routing.experience import load, load_recent
from gateway.routing.weather import Breaker, Place, Reading, Seen, readings

_ALONE = text("SELECT FROM experience_progress FOR UPDATE SKIP LOCKED")
_HEARD = text("SELECT rail, heard_at FROM rail_heard")
_HEAR = text("""
INSERT INTO rail_heard AS h (rail, heard_at) VALUES (:rail, :now)
ON CONFLICT (rail) DO UPDATE SET heard_at = GREATEST(h.heard_at, excluded.heard_at)
""")
# It lasts since it began: as long as state and reason stay the same.
_WRITE = text("""
WITH n AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:readings AS jsonb)) AS n (rail text, country text, currency text, method text,
        institution text, state text, reason text, since timestamptz, changes_at timestamptz)
), gone AS (
    DELETE FROM rail_weather AS w WHERE NOT EXISTS (
        SELECT FROM n WHERE (n.rail, n.country, n.currency, n.method, n.institution)
            = (w.rail, w.country, w.currency, w.method, w.institution))
)
INSERT INTO rail_weather AS w (rail, country, currency, method, institution, state, reason, since, changes_at, as_of)
SELECT rail, country, currency, method, institution, state, reason, COALESCE(since, :now), changes_at, :now FROM n
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (rail, country, currency, method, institution) DO UPDATE SET state = excluded.state, reason = excluded.reason,
    changes_at = excluded.changes_at, as_of = excluded.as_of,
    since = CASE WHEN (w.state, w.reason) = (excluded.state, excluded.reason) THEN w.since ELSE excluded.since END
""")


async def watch_weather(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Look at all rails and write how they do, unless another process is at it. Returns 0 for the loop that runs it."""
    now = clock()
    async with transaction(engine, point="weather.watch") as connection:
        if (await connection.execute(_ALONE)).one_or_none() is None:
            return 0
        found = readings(await _look(connection, rails=rails, now=now))
        document = json.dumps([_document(place, reading) for place, reading in found.items()])
        await connection.execute(_WRITE, {"readings": document, "now": now})
    return 0


async def hear(connection: AsyncConnection, *, rail: str, now: datetime) -> None:
    """Note that a rail answered something that was no payment, such as a question for our balance."""
    await connection.execute(_HEAR, {"rail": rail, "now": now})


async def _look(connection: AsyncConnection, *, rails: Rails, now: datetime) -> Seen:
    capabilities = rails.capabilities
    standings = await rail_standings(connection, rails=rails)
    return Seen(
        capabilities=capabilities,
        usual=await load(connection, now, capabilities=capabilities),
        recent=await load_recent(connection, now),
        breakers={
            one.rail: Breaker(state=one.state, since=one.breaker.since, open_until=one.breaker.open_until)
            for one in standings
            if one.breaker is not None
        },
        heard={row.rail: row.heard_at for row in await connection.execute(_HEARD)},
        left={
            (one.rail, money.held.asset.code): money.held.units - money.promised.units
            for one in standings
            for money in one.floats
        },
        now=now,
    )


def _document(place: Place, reading: Reading) -> Mapping[str, str | None]:
    return {
        **place._asdict(),
        "state": reading.state,
        "reason": reading.why,
        "since": reading.since and reading.since.isoformat(),
        "changes_at": reading.changes_at and reading.changes_at.isoformat(),
    }
