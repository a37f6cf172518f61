"""What was paid in the past, hour by hour: summed once by the database, read by forecasts.

An hour is summed again until two days after it, because payouts that were open may have failed since. Payouts of an hour are
found by their ids, which begin with their time. Moves of our own float are nobody's demand: a plan would feed on itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.ids import new_id
from gateway.treasury.floatrules import Calendar, FloatRules, Place
from gateway.treasury.forecast import HOURS, History, by_day
from gateway.treasury.paydays import DAY

SETTLED = timedelta(days=2)
AT_ONCE = timedelta(days=7)
"""How much of the past is summed in one transaction."""
SLACK = timedelta(hours=1)
"""How far an id's time may be from its row's."""

_FIRST = text("SELECT created_at FROM attempts WHERE id >= :since ORDER BY id LIMIT 1")
_NEWEST = text("SELECT max(hour) FROM float_demand")
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('float_demand'))")
_FORGET = text("DELETE FROM float_demand WHERE hour >= :since AND hour < :until")
_SUM = text("""
INSERT INTO float_demand (rail, asset, hour, units, payouts)
SELECT adapter, deliver_asset, date_trunc('hour', created_at), sum(deliver_units), count(*) FROM attempts
WHERE id >= :first AND id < :last AND created_at >= :since AND created_at < :until AND outcome NOT IN ('failed', 'returned')
    AND NOT EXISTS (SELECT FROM float_runs AS r WHERE r.order_id = attempts.order_id)
GROUP BY 1, 2, 3
""")
_PRUNE = text("DELETE FROM float_demand WHERE hour < :before")
_HOURS = text("""
SELECT rail, asset, hour, units FROM float_demand WHERE hour >= :since AND hour < :until ORDER BY rail, asset, hour
""")


async def sum_demand(engine: AsyncEngine, *, rules: FloatRules, now: datetime) -> None:
    """Sum what isn't settled yet, and at first all of the past that a forecast may see, a week at a time."""
    until = _hour(now)
    async with transaction(engine, point="floats.demand_begin") as connection:
        oldest = now - rules.history
        newest = (await connection.execute(_NEWEST)).scalar_one()
        if newest is None:
            first = (await connection.execute(_FIRST, {"since": new_id("att", now=oldest)})).scalar_one_or_none()
            since = until if first is None else _hour(first)
        else:
            since = min(newest, until - SETTLED)
        await connection.execute(_PRUNE, {"before": oldest})
    while since < until:
        end = min(since + AT_ONCE, until)
        async with transaction(engine, point="floats.demand") as connection:
            if not (await connection.execute(_LOCK)).scalar_one():
                return  # another worker does
            values = {"since": since, "until": end}
            ids = {"first": new_id("att", now=since - SLACK), "last": new_id("att", now=end + SLACK)}
            await connection.execute(_FORGET, values)
            await connection.execute(_SUM, values | ids)
        since = end


async def read_histories(connection: AsyncConnection, *, rules: FloatRules, now: datetime) -> dict[Place, History]:
    """The whole local days of each float, from its first payout to yesterday."""
    sums: dict[Place, dict[datetime, int]] = {}
    for row in await connection.execute(_HOURS, {"since": now - rules.history, "until": now}):
        sums.setdefault((row.rail, row.asset), {})[row.hour] = int(row.units)
    found = {place: history(hours, calendar=rules.calendar(place[1]), now=now) for place, hours in sums.items()}
    return {place: one for place, one in found.items() if one is not None}


def history(hours: Mapping[datetime, int], *, calendar: Calendar, now: datetime) -> History | None:
    """Sums of hours as whole local days; None: there is no whole day since the first payout."""
    zone = ZoneInfo(calendar.zone)
    local = {hour.astimezone(zone): units for hour, units in hours.items()}
    today = now.astimezone(zone).date()
    past = {hour: units for hour, units in local.items() if hour.date() < today}
    if not past:
        return None
    days: dict[date, int] = {}
    by_hour = [0] * HOURS
    for hour, units in past.items():
        days[hour.date()] = days.get(hour.date(), 0) + units
        by_hour[hour.hour] += units
    first = min(hour.date() for hour in past)
    return History(first=first, units=by_day(days, first=first, end=today), by_hour=tuple(by_hour))


def together(histories: Iterable[History]) -> History | None:
    """Several floats of one currency as one."""
    every = list(histories)
    if not every:
        return None
    first, end = min(one.first for one in every), max(one.end for one in every)
    days: dict[date, int] = {}
    for one in every:
        for number, units in enumerate(one.units):
            day = one.first + number * DAY
            days[day] = days.get(day, 0) + units
    hours = tuple(sum(parts) for parts in zip(*(one.by_hour for one in every), strict=True))
    return History(first=first, units=by_day(days, first=first, end=end), by_hour=hours)


def _hour(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(moment.hour), moment.tzinfo)
