"""When a rail works on what it is given, and when its recipients can have it: cut-offs, public holidays, opening hours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.offramp import CutOff, Method

DAYS_MOST = 31
"""How many days ahead an opening is looked for; without one it is assumed to be then."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Hours in which it is open: of a rail, or of whatever pays out what it fits. None: any."""

    country: str
    """Whose public holidays count."""
    method: Method | None = None
    rail: str | None = None
    institution: str | None = None
    weekdays: frozenset[int]
    """0 is Monday."""
    opens: time
    closes: time
    """Not after `opens`: on the next day."""
    zone: str
    """IANA name of the time zone of both."""
    on_holidays: bool = False

    def fits(self, *, rail: str, country: str, method: str, institution: str | None) -> bool:
        """Whether they are a payment's."""
        return (
            self.country == country
            and self.method in (None, method)
            and self.rail in (None, rail)
            and self.institution in (None, institution)
        )


def of_cut_offs(cut_offs: Sequence[CutOff], *, country: str) -> tuple[Hours, ...]:
    """A rail's hours: what comes after a day's cut-off is worked on from the beginning of its next working day."""
    return tuple(
        Hours(country=country, weekdays=one.weekdays, opens=time(), closes=one.until, zone=one.zone) for one in cut_offs
    )


def opens_at(hours: Sequence[Hours], *, at: datetime) -> datetime:
    """The first moment from `at` on at which any of these is open; `at` itself if there are none."""
    return min((max(at, one) for one in (_next(each, at) for each in hours)), default=at)


def wait_s(rail: Sequence[Hours], counter: Sequence[Hours], *, now: datetime) -> int:
    """Seconds until a rail works on a payment, and then until its recipient can have it."""
    return (opens_at(counter, at=opens_at(rail, at=now)) - now) // timedelta(seconds=1)


def _next(hours: Hours, at: datetime) -> datetime:
    return next(_openings(hours, at), at + DAYS_MOST * _DAY)


def _openings(hours: Hours, at: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(hours.zone)
    # From the day before: what opens then may close after midnight.
    today = at.astimezone(zone).date()
    for day in (today + _DAY * number for number in range(-1, DAYS_MOST)):
        if day.weekday() not in hours.weekdays or (
            not hours.on_holidays and day in public_holidays(hours.country, day.year)
        ):
            continue
        last = day if hours.closes > hours.opens else day + _DAY
        if at < datetime.combine(last, hours.closes, zone).astimezone(at.tzinfo):
            yield datetime.combine(day, hours.opens, zone).astimezone(at.tzinfo)


@lru_cache(maxsize=1024)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """A country's, as far as `holidays` knows the country; those of its regions don't count."""
    import holidays  # noqa: PLC0415 - takes 0.4 s to import

    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()
