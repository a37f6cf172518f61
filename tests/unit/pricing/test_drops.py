"""Drops are at the same times for everybody: multiples of the slot since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.pricing.drops import next_drop

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.timedeltas(timedelta(days=10_000), timedelta(days=80_000)).map(lambda since: EPOCH + since)
slots = st.integers(1, 604_800).map(lambda seconds: timedelta(seconds=seconds))


@given(moments, slots)
def test_the_next_drop_is_the_first_multiple_that_is_not_over(now: datetime, every: timedelta) -> None:
    drop = next_drop(now, every=every)
    assert now <= drop < now + every
    assert not (drop - EPOCH) % every


@given(moments, slots)
def test_whoever_comes_at_a_drop_goes_with_it(now: datetime, every: timedelta) -> None:
    drop = next_drop(now, every=every)
    assert next_drop(drop, every=every) == drop
    assert next_drop(drop + timedelta(microseconds=1), every=every) == drop + every


def test_an_hourly_drop_is_on_the_hour_and_a_weeks_on_a_thursday() -> None:
    now = datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC)
    assert next_drop(now, every=timedelta(hours=1)) == datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
    assert f"{next_drop(now, every=timedelta(days=7)):%A}" == "Thursday"
