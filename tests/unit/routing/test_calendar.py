"""When a rail works on a payment, and when its recipient can have it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.offramp import CutOff, Method
from gateway.routing.calendar import DAYS_MOST, Hours, of_cut_offs, opens_at, public_holidays, wait_s

WEEK = frozenset(range(5))
NAIROBI = "Africa/Nairobi"  # three hours ahead of UTC
BANK = of_cut_offs((CutOff(weekdays=WEEK, until=time(15), zone=NAIROBI),), country="KE")
SHOP = (
    Hours(country="KE", method=Method.CASH, weekdays=WEEK, opens=time(8), closes=time(18), zone=NAIROBI),
    Hours(country="KE", method=Method.CASH, weekdays=frozenset({5}), opens=time(9), closes=time(13), zone=NAIROBI),
)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        ((), "2026-11-22T12:00", "2026-11-22T12:00"),
        (BANK, "2026-11-23T11:59:59", "2026-11-23T11:59:59"),
        # Past Monday's cut-off: from the beginning of Tuesday, there.
        (BANK, "2026-11-23T12:00", "2026-11-23T21:00"),
        # Friday evening: Monday.
        (BANK, "2026-11-27T12:00", "2026-11-29T21:00"),
        # Good Friday to Easter Monday 2026.
        (BANK, "2026-04-02T12:00", "2026-04-06T21:00"),
        (SHOP, "2026-11-23T04:00", "2026-11-23T05:00"),
        (SHOP, "2026-11-23T15:00", "2026-11-24T05:00"),
        # Friday evening: Saturday morning; Saturday afternoon: Monday.
        (SHOP, "2026-11-27T15:00", "2026-11-28T06:00"),
        (SHOP, "2026-11-28T10:00", "2026-11-30T05:00"),
    ],
)
def test_the_next_opening_knows_cut_offs_weekends_and_holidays(hours, now, opens):
    assert opens_at(hours, at=at(now)) == at(opens)


def test_a_shop_open_on_holidays_is_open():
    holiday = at("2026-12-25T09:00")
    open_then = Hours(
        country="KE", weekdays=frozenset(range(7)), opens=time(8), closes=time(18), zone=NAIROBI, on_holidays=True
    )
    assert opens_at((open_then,), at=holiday) == holiday
    assert opens_at(SHOP, at=holiday) > holiday


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin():
    friday = Hours(country="KE", weekdays=frozenset({4}), opens=time(20), closes=time(2), zone=NAIROBI)
    assert opens_at((friday,), at=at("2026-11-27T22:59")) == at("2026-11-27T22:59")
    assert opens_at((friday,), at=at("2026-11-27T23:00")) == at("2026-12-04T17:00")


def test_the_clock_s_change_moves_the_opening():
    berlin = (
        Hours(
            country="DE",
            weekdays=frozenset(range(7)),
            opens=time(8),
            closes=time(18),
            zone="Europe/Berlin",
            on_holidays=True,
        ),
    )
    assert opens_at(berlin, at=at("2026-10-24T20:00")) == at("2026-10-25T07:00")
    assert opens_at(berlin, at=at("2026-10-23T20:00")) == at("2026-10-24T06:00")


def test_cash_waits_for_the_rail_and_then_for_the_counter():
    # Monday 18:30 there: the rail works on it from midnight, the shop opens at eight.
    assert wait_s(BANK, SHOP, now=at("2026-11-23T15:30")) == 13.5 * 3600
    assert wait_s((), (), now=at("2026-11-23T15:30")) == 0


def test_what_never_opens_is_taken_to_open_in_a_month():
    never = Hours(country="KE", weekdays=frozenset(), opens=time(8), closes=time(9), zone=NAIROBI)
    assert opens_at((never,), at=at("2026-11-23T00:00")) == at("2026-11-23T00:00") + timedelta(days=DAYS_MOST)


def test_a_country_that_nobody_lists_has_no_holidays():
    assert public_holidays("XX", 2026) == frozenset()
    assert len(public_holidays("KE", 2026)) > 5


def test_hours_fit_what_they_name():
    one = Hours(country="KE", method=Method.CASH, rail="agents", weekdays=WEEK, opens=time(8), closes=time(18), zone=NAIROBI)
    assert one.fits(rail="agents", country="KE", method="cash", institution=None)
    assert not one.fits(rail="other", country="KE", method="cash", institution=None)
    assert not one.fits(rail="agents", country="UG", method="cash", institution=None)
    assert not one.fits(rail="agents", country="KE", method="bank", institution=None)


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - the strategy adds it
def test_an_opening_lies_ahead_and_is_open(now):
    for hours in (BANK, SHOP, BANK + SHOP):
        opens = opens_at(hours, at=now)
        assert opens >= now
        assert opens_at(hours, at=opens) == opens
