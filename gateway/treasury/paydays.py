"""What the demand of a day follows, as numbers: weekday, paydays, public holidays. Dates are local to the currency."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from functools import cache

from gateway.treasury.floatrules import Calendar

DAY = timedelta(days=1)
SATURDAY = 5
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TERMS = (*WEEKDAYS, "month's end", "last working day", "mid-month", "holiday", "day before a holiday")
"""What `terms` gives, in its order."""


def terms(day: date, calendar: Calendar) -> tuple[int, ...]:
    """How far each of `TERMS` holds for a day, in hundredths: of five countries with one holiday, a fifth."""
    return (
        *(100 * (day.weekday() == number) for number in range(len(WEEKDAYS))),
        100 * _within(day.day, calendar.month_end),
        100 * (day == last_working_day(day.year, day.month, calendar.countries)),
        100 * _within(day.day, calendar.mid_month),
        _share(day, calendar.countries),
        _share(day + DAY, calendar.countries),
    )


def is_working_day(day: date, countries: tuple[str, ...]) -> bool:
    """Whether banks work in all of the countries: neither a weekend's day nor a public holiday."""
    return day.weekday() < SATURDAY and not any(is_holiday(day, country) for country in countries)


def is_holiday(day: date, country: str) -> bool:
    """Whether it is a public holiday there, by the package `holidays`; False for a country that it doesn't know."""
    return day in _holidays(country, day.year)


@cache
def last_working_day(year: int, month: int, countries: tuple[str, ...]) -> date:
    """Of a month: when wages are paid in most of the world."""
    last = date(year, month, monthrange(year, month)[1])
    return next((day for back in range(10) if is_working_day(day := last - back * DAY, countries)), last)


@cache
def _holidays(country: str, year: int) -> frozenset[date]:
    import holidays  # noqa: PLC0415 - takes 0.2 s to import

    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()


def _within(day: int, window: tuple[int, int]) -> bool:
    """A window may go over the end of the month."""
    first, last = window
    return first <= day <= last if first <= last else day >= first or day <= last


def _share(day: date, countries: tuple[str, ...]) -> int:
    return 100 * sum(is_holiday(day, country) for country in countries) // len(countries) if countries else 0
