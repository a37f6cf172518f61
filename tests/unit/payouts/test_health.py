"""Breakers as a pure function."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Money
from gateway.offramp import Fault, Outcome, Report
from gateway.payouts.health import (
    FIRST_PAUSE,
    IN_ROW_MOST,
    LONGEST_PAUSE,
    WINDOW,
    WINDOW_LEAST,
    Breaker,
    Health,
    Seen,
    after,
    is_due,
    judge,
    pause,
)
from gateway.payouts.reports import LEASE_RAN_OUT, OUTSIDE_LIMITS
from tests.factories import KES, NOW, PENDING, UNKNOWN, failed, paid

OK, BAD = Seen("fake", True, ""), Seen("fake", False, "503")
answers = st.lists(st.sampled_from([OK, BAD]), max_size=60)


def see(health, *seen, now=NOW):
    return after(health, seen, rail="fake", now=now)


def opened(openings=1, *, now=NOW):
    health = see(Health(openings=openings - 1), *[BAD] * IN_ROW_MOST, now=now)
    assert health.state is Breaker.OPEN
    return health


def half_open(openings=1):
    return replace(opened(openings), state=Breaker.HALF_OPEN)


def test_five_failures_in_a_row_open_it_and_four_do_not():
    assert see(Health(), *[BAD] * (IN_ROW_MOST - 1)).state is Breaker.CLOSED
    health = see(Health(), *[BAD] * IN_ROW_MOST)
    assert (health.state, health.reason, health.since) == (Breaker.OPEN, "503", NOW)


def test_a_success_begins_the_row_anew():
    four = [BAD] * (IN_ROW_MOST - 1)
    assert see(Health(), *four, OK, *four).state is Breaker.CLOSED


def test_half_of_twenty_calls_open_it():
    pair = [OK, BAD]
    health = see(Health(), BAD, *pair * (WINDOW_LEAST // 2 - 1))
    assert health.state is Breaker.CLOSED
    assert see(health, BAD).state is Breaker.OPEN


def test_a_tenth_of_the_calls_failing_does_not():
    assert see(Health(), *([BAD] + [OK] * 9) * 50).state is Breaker.CLOSED


def test_what_is_more_than_a_minute_old_counts_no_more_but_a_row_without_success_does():
    half = [BAD, OK] * (WINDOW_LEAST // 2 - 1)
    later = NOW + WINDOW + timedelta(seconds=1)
    assert see(see(Health(), *half), BAD, now=later).state is Breaker.CLOSED
    assert see(see(Health(), *[BAD] * (IN_ROW_MOST - 1)), BAD, now=later).state is Breaker.OPEN
    assert see(see(Health(), BAD, OK), OK, now=later) == Health()


def test_a_clock_set_back_ends_the_window():
    half = [BAD, OK] * (WINDOW_LEAST // 2 - 1)
    assert see(see(Health(), *half), BAD, now=NOW - timedelta(days=1)).bad == 1


@given(answers, answers)
def test_two_workers_answers_in_any_mixture_open_it_once_the_row_is_full(first, second):
    mixed = [one for pair in zip(first, second, strict=False) for one in pair]
    in_row = longest = 0
    for one in mixed:
        in_row = 0 if one.ok else in_row + 1
        longest = max(longest, in_row)
    if longest >= IN_ROW_MOST:
        assert see(Health(), *mixed).state is Breaker.OPEN


@given(answers)
def test_counting_one_by_one_is_counting_together(seen):
    health = Health()
    for one in seen:
        health = see(health, one)
    assert health == see(Health(), *seen)


@given(answers)
def test_failures_that_are_remembered_have_a_time_and_only_they(seen):
    health = see(Health(), *seen)
    assert (health.bad == 0) == (health.window_from is None)
    assert (health.state is Breaker.OPEN) == (health.open_until is not None)


@given(answers)
def test_an_open_or_stopped_breaker_learns_nothing_from_answers_to_older_calls(seen):
    for health in (opened(), Health(state=Breaker.STOPPED)):
        assert see(health, *seen) == health


def test_a_good_probe_closes_and_forgets():
    assert see(half_open(3), OK) == Health(since=NOW)


def test_a_bad_probe_opens_again_for_longer():
    pauses = []
    health = opened()
    for _ in range(6):
        pauses.append(health.open_until - NOW)
        health = see(replace(health, state=Breaker.HALF_OPEN), BAD)
    assert all(later >= 1.8 * earlier for earlier, later in pairwise(pauses[:4]))
    assert max(pauses) <= LONGEST_PAUSE
    assert pauses[0] >= FIRST_PAUSE


@given(st.text(max_size=20), st.integers(1, 10_000))
def test_no_pause_is_shorter_than_the_first_or_longer_than_the_longest(rail, openings):
    assert FIRST_PAUSE <= pause(rail, openings) <= LONGEST_PAUSE


def test_rails_that_failed_together_are_not_tried_together():
    assert len({pause(f"rail{n}", 1) for n in range(20)}) > 3


@given(st.integers(-10 * 86_400, 10 * 86_400).map(lambda n: timedelta(seconds=n)))
def test_a_clock_that_jumps_keeps_it_open_no_longer_than_the_longest_pause(jump):
    health, now = opened(7), NOW + jump
    assert is_due(health, now=now) or is_due(health, now=now + LONGEST_PAUSE)


def test_an_open_breaker_is_due_when_its_pause_is_over_and_others_never():
    health = opened()
    assert not is_due(health, now=NOW)
    assert is_due(health, now=health.open_until)
    assert not is_due(Health(state=Breaker.STOPPED), now=NOW)
    assert not is_due(Health(), now=NOW)


PAID = paid("att", Money(100, KES))


@pytest.mark.parametrize(
    ("report", "ok"),
    [
        (PAID, True),
        (PENDING, True),
        (failed(Fault.RECIPIENT), True),
        (failed(Fault.FLOAT), True),
        (failed(Fault.RAIL), False),
        (failed(Fault.TRANSIENT), False),
        (UNKNOWN, False),
        (Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason=LEASE_RAN_OUT), None),
        (Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason=f"{OUTSIDE_LIMITS}: 1 KES"), None),
    ],
)
def test_an_answer_tells_of_the_rail_what_it_can(report, ok):
    seen = judge("fake", report)
    assert (None if seen is None else seen.ok) is ok
