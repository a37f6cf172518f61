"""The pace of calls: whatever comes when, no second sees more than the limit, and nothing waits for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payouts.gcra import CLOCKS_APART, Pace
from tests.factories import NOW

SECOND = timedelta(seconds=1)
milliseconds = st.integers(0, 2_000).map(lambda n: timedelta(milliseconds=n))


def run(pace, steps, *, next_at=None, now=NOW):
    """Calls as they were let through: at each step time passes and some are wanted."""
    made = []
    for passes, wanted in steps:
        now += passes
        calls = min(wanted, pace.free(next_at, now=now))
        if calls:
            next_at = pace.taken(next_at, calls=calls, now=now)
        made += [now] * calls
    return made, next_at, now


def most_in_a_second(made):
    return max((sum(first <= other < first + SECOND for other in made) for first in made), default=0)


@given(st.integers(1, 300), st.lists(st.tuples(milliseconds, st.integers(0, 400)), max_size=40))
def test_no_second_sees_more_than_the_limit(limit, steps):
    made, _, _ = run(Pace.of(limit), steps)
    assert most_in_a_second(made) <= limit


@pytest.mark.parametrize("limit", [1, 2, 7, 10, 19, 20, 99, 100, 1_000])
def test_who_always_asks_gets_nine_tenths_of_the_limit_or_more(limit):
    steps = [(timedelta(milliseconds=1), limit)] * 5_000
    made, _, _ = run(Pace.of(limit), steps)
    assert 5 * limit * 9 // 10 <= len(made) <= 5 * limit + limit // 10


@pytest.mark.parametrize("limit", [1, 2, 10, 19, 20, 50, 100, 250])
def test_who_always_asks_gets_no_more_than_the_limit_in_any_second(limit):
    made, _, _ = run(Pace.of(limit), [(timedelta(milliseconds=1), limit)] * 2_100)
    assert most_in_a_second(made) <= limit


@given(st.integers(1, 300), milliseconds)
def test_the_moment_named_is_the_first_at_which_a_call_is_free(limit, passes):
    pace = Pace.of(limit)
    _, next_at, now = run(pace, [(timedelta(0), 1_000), (passes, 1_000)])
    again = pace.again_at(next_at, now=now)
    assert pace.free(next_at, now=again) >= 1
    if again > now:
        assert pace.free(next_at, now=again - timedelta(microseconds=1)) == 0


@given(st.integers(1, 300), st.integers(-10 * 86_400, 10 * 86_400).map(lambda n: timedelta(seconds=n)))
def test_a_clock_that_jumps_lets_through_one_burst_and_stops_nothing_for_longer_than_clocks_may_differ(limit, jump):
    pace = Pace.of(limit)
    _, next_at, now = run(pace, [(timedelta(0), 1_000)])
    now += jump
    assert pace.free(next_at, now=now) <= pace.burst
    # As `allowances` does, what is settled is written each time that somebody looks.
    next_at = pace.settled(next_at, now=now)
    assert next_at - now <= CLOCKS_APART + pace.interval * pace.burst
    now += CLOCKS_APART + pace.interval * pace.burst
    assert pace.free(next_at, now=now) >= 1


def test_a_clock_set_back_by_a_day_lets_nothing_through_at_once():
    pace = Pace.of(100)
    _, next_at, now = run(pace, [(timedelta(0), 1_000)])
    assert pace.free(next_at, now=now - timedelta(days=1)) == 0
