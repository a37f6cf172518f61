"""Levels: what each float has by the rail and by the books, what of it is promised, and whether that is enough.

Two words on one float: what the rail told last, and what the books say. Payments under way may have left the one and not yet
the other. What may still be promised (`available`) is the less of both, without what open payments will take: a float whose
two words differ is reckoned as poor as the poorer one says. What approved moves will take counts as promised, too.

A person is told when a float falls below a mark, once, and the incident is closed when it is a twentieth above the mark
again: a float that trembles around its mark opens one, not hundreds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.post import register_assets
from gateway.money import Asset, Money
from gateway.operators.incidents import Alarm, open_incidents
from gateway.treasury.floatrules import Mark, Place
from gateway.treasury.forecast import Forecast
from gateway.treasury.stockout import HORIZONS, StockOut

TOO_OLD = timedelta(hours=24)
"""An answer of a rail that is older says nothing about now."""
RECOVERED = 20
"""An alarm is over when this part of the mark lies above it: 5 %."""
CLOSER = "float watch"
"""Who closes the incident of a float that was filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One float."""

    rail: str
    asset: Asset
    told: int | None
    """What the rail said that can be paid out; None: it doesn't tell, or hasn't yet."""
    told_at: datetime | None
    held: int | None
    """What the books say; None: no top-up was ever booked, so that they don't track it."""
    promised: int
    """What open payments will take of it."""
    now: datetime
    reserved: int = 0
    """What approved moves will take of it that haven't begun."""
    incoming: int = 0
    """What approved moves bring that isn't there yet."""

    @property
    def place(self) -> Place:
        """Its name."""
        return self.rail, self.asset.code

    @property
    def left(self) -> int | None:
        """What is there without what was promised and reserved; below zero: more was than is there. None: nobody knows."""
        fresh = self.told is not None and self.told_at is not None and self.now - self.told_at <= TOO_OLD
        known = [units for units in (self.held, self.told if fresh else None) if units is not None]
        return min(known) - self.promised - self.reserved if known else None

    @property
    def available(self) -> int | None:
        """What may still be promised; None: nobody knows."""
        return None if self.left is None else max(self.left, 0)

    @property
    def difference(self) -> int | None:
        """By how much more the rail told than the books say; None: one of them says nothing."""
        return None if self.told is None or self.held is None else self.told - self.held

    @property
    def unexplained(self) -> int | None:
        """What of the difference payments under way don't explain: they may have left the rail and not the books."""
        if self.difference is None:
            return None
        return self.difference if self.difference > 0 else min(self.difference + self.promised, 0)

    def money(self, units: int) -> Money:
        """An amount of its currency."""
        return Money(units, self.asset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One float with what is expected of it."""

    level: Level
    low: int | None
    critical: int | None
    chances: StockOut | None


_LEVELS = text("""
WITH promised AS (
    SELECT adapter AS rail, deliver_asset AS asset, sum(deliver_units) AS units
    FROM attempts WHERE closed_at IS NULL GROUP BY adapter, deliver_asset
), tracked AS (SELECT rail, asset, held FROM rail_balances WHERE top_ups > 0
), reserved AS (
    SELECT substr(account, 6) AS rail, asset, sum(units) AS units FROM float_reserved WHERE account ^@ 'rail\\:'
    GROUP BY account, asset
), incoming AS (SELECT rail, asset, sum(units) AS units FROM float_incoming GROUP BY rail, asset)
SELECT rail, asset, s.decimals, f.told, f.told_at, t.held, COALESCE(p.units, 0) AS promised,
    COALESCE(r.units, 0) AS reserved, COALESCE(i.units, 0) AS incoming
FROM floats AS f FULL JOIN tracked AS t USING (rail, asset) LEFT JOIN promised AS p USING (rail, asset)
LEFT JOIN reserved AS r USING (rail, asset) LEFT JOIN incoming AS i USING (rail, asset)
JOIN assets AS s ON s.code = asset
WHERE rail = ANY(CAST(:rails AS text[])) ORDER BY array_position(CAST(:rails AS text[]), rail), asset
""")
_TELL = text("""
INSERT INTO floats (rail, asset, told, told_at)
SELECT rail, asset, units, :now FROM unnest(CAST(:rails AS text[]), CAST(:assets AS text[]), CAST(:units AS numeric[]))
    AS t (rail, asset, units) ORDER BY rail, asset
ON CONFLICT (rail, asset) DO UPDATE SET (told, told_at) = (excluded.told, excluded.told_at)
""")
_MAKE = text("""
INSERT INTO floats (rail, asset) SELECT * FROM unnest(CAST(:rails AS text[]), CAST(:assets AS text[])) AS t (rail, asset)
ORDER BY rail, asset ON CONFLICT DO NOTHING
""")
_LOCK = text("""
SELECT rail, asset, low_since, critical_since FROM floats WHERE rail = ANY(CAST(:rails AS text[]))
ORDER BY rail, asset FOR UPDATE
""")
_KEEP = text("""
UPDATE floats AS f SET (available, low, critical, low_since, critical_since, chance_6h, chance_24h, chance_72h, seen_at) =
    (n.available, n.low, n.critical, n.low_since, n.critical_since, n.chance_6h, n.chance_24h, n.chance_72h, :now)
FROM jsonb_to_recordset(CAST(:floats AS jsonb)) AS n (rail text, asset text, available numeric, low numeric,
    critical numeric, low_since timestamptz, critical_since timestamptz, chance_6h int, chance_24h int, chance_72h int)
WHERE (f.rail, f.asset) = (n.rail, n.asset)
""")
_REMEMBER = text("""
INSERT INTO float_levels (rail, asset, at, available)
SELECT rail, asset, :now, available FROM floats WHERE rail = ANY(CAST(:rails AS text[])) AND available IS NOT NULL
ON CONFLICT DO NOTHING
""")
_PRUNE = text("DELETE FROM float_levels WHERE at < :before")
_OVER = text("UPDATE incidents SET closed_at = :now, closed_by = :closer WHERE cause = ANY(:causes) AND closed_at IS NULL")
_PAST = text("""
SELECT rail, asset, at, available FROM float_levels WHERE at >= :since ORDER BY rail, asset, at
""")


async def keep_told(connection: AsyncConnection, *, told: Mapping[str, Iterable[Money]], now: datetime) -> None:
    """Write down what rails said, by rail. Raises `DecimalsChanged` for a currency that the ledger has otherwise."""
    rows = {(rail, money.asset.code): money for rail, answer in told.items() for money in answer}
    await register_assets(connection, assets=[money.asset for money in rows.values()])
    values = {"rails": [rail for rail, _ in rows], "assets": [code for _, code in rows], "now": now}
    await connection.execute(_TELL, {**values, "units": [money.units for money in rows.values()]})


async def read_levels(connection: AsyncConnection, *, rails: Sequence[str], now: datetime) -> list[Level]:
    """Every float of these rails of which anybody says anything, in the order of the rails."""
    return [
        Level(
            rail=row.rail,
            asset=Asset(row.asset, row.decimals),
            told=_whole(row.told),
            told_at=row.told_at,
            held=_whole(row.held),
            promised=int(row.promised),
            now=now,
            reserved=int(row.reserved),
            incoming=int(row.incoming),
        )
        for row in await connection.execute(_LEVELS, {"rails": list(rails)})
    ]


def units_of(mark: Mark | None, *, asset: Asset, forecast: Forecast | None, now: datetime) -> int | None:
    """What a mark comes to; None: there is none, or it counts in hours and nothing was ever paid there."""
    if mark is None:
        return None
    if isinstance(mark, Money):
        return mark.units if mark.asset == asset else None
    return None if forecast is None else forecast.over(now, now + mark).mean


async def judge(connection: AsyncConnection, *, judged: Sequence[Judged], now: datetime) -> bool:
    """Keep how floats stand, open an incident for each that fell below a mark and close those of which it is over.

    In the caller's transaction; gives whether any was opened. Workers that do so at once follow one another.
    """
    rails = sorted({one.level.rail for one in judged})
    places = [one.level.place for one in judged]
    await connection.execute(_MAKE, {"rails": [rail for rail, _ in places], "assets": [code for _, code in places]})
    known = {(row.rail, row.asset): row for row in await connection.execute(_LOCK, {"rails": rails})}
    alarms: list[Alarm] = []
    over: list[str] = []
    floats = []
    for one in judged:
        since = {
            name: _crossing(one, name, mark, getattr(known[one.level.place], f"{name}_since"), alarms, over)
            for name, mark in (("low", one.low), ("critical", one.critical))
        }
        floats.append(_document(one, since))
    await connection.execute(_KEEP, {"floats": json.dumps(floats), "now": now})
    await connection.execute(_REMEMBER, {"rails": rails, "now": now})
    await open_incidents(connection, alarms=alarms, now=now)
    if over:
        await connection.execute(_OVER, {"causes": over, "closer": CLOSER, "now": now})
    return bool(alarms)


async def prune(connection: AsyncConnection, *, before: datetime) -> None:
    """Forget levels of before."""
    await connection.execute(_PRUNE, {"before": before})


async def past_levels(connection: AsyncConnection, *, since: datetime) -> dict[Place, list[tuple[datetime, int]]]:
    """What was available of each float at each look, the oldest first."""
    found: dict[Place, list[tuple[datetime, int]]] = {}
    for row in await connection.execute(_PAST, {"since": since}):
        found.setdefault((row.rail, row.asset), []).append((row.at, int(row.available)))
    return found


def _crossing(
    one: Judged, name: str, mark: int | None, since: datetime | None, alarms: list[Alarm], over: list[str]
) -> datetime | None:
    """Since when the float is below the mark, after this look; None: it isn't. One that nobody knows stays as it was."""
    available = one.level.available
    if available is None and mark is not None:
        return since
    if since is None:
        if mark is None or available is None or available >= mark:
            return None
        alarms.append(_alarm(one, name, mark))
        return one.level.now
    if mark is None or available is None or available * RECOVERED >= mark * (RECOVERED + 1):
        over.append(_cause(one.level, name, since))
        return None
    return since


def _alarm(one: Judged, name: str, mark: int) -> Alarm:
    level = one.level
    assert level.available is not None
    chances = (
        {f"dry_within_{hours}_h": percent(chance) for hours, chance in one.chances.within.items()} if one.chances else {}
    )
    detail = {
        "rail": level.rail,
        "available": str(level.money(level.available)),
        "promised": str(level.money(level.promised)),
        name: str(level.money(mark)),
        **chances,
        "next": "`lastmile float plan` says what to move",
    }
    return Alarm(_cause(level, name, level.now), f"float_{name}", None, detail)


def percent(chance: int) -> str:
    """A chance in hundredths of a percent as people read it: "12.5 %"."""
    return f"{chance // 100}.{chance % 100 // 10} %"


def _cause(level: Level, name: str, since: datetime) -> str:
    return f"float:{level.rail}:{level.asset.code}:{name}:{since:%Y-%m-%dT%H:%M:%SZ}"


def _document(one: Judged, since: Mapping[str, datetime | None]) -> dict[str, Any]:
    within = one.chances.within if one.chances else {}
    numbers = {"available": one.level.available, "low": one.low, "critical": one.critical}
    return {
        "rail": one.level.rail,
        "asset": one.level.asset.code,
        **{name: None if units is None else str(units) for name, units in numbers.items()},
        **{f"{name}_since": moment and moment.isoformat() for name, moment in since.items()},
        **{f"chance_{hours}h": within.get(hours) for hours in HORIZONS},
    }


def _whole(units: Any) -> int | None:
    return None if units is None else int(units)
