"""How soon rails are asked and orders tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.payouts.pace import LAST_ASK, LAST_RETRY, next_ask, next_watch, retry_at
from tests.factories import NOW, FakeRail

WATCHED = replace(FakeRail().capabilities, returns_within=timedelta(days=10))


def pauses(number):
    return [next_ask(asks, now=NOW, attempt_id="att_1") - NOW for asks in range(number)]


def test_questions_grow_rarer_and_never_end():
    asked = pauses(40)
    assert asked[:8] == sorted(asked[:8])
    assert timedelta(seconds=1.5) < asked[0] <= timedelta(seconds=2)
    assert LAST_ASK * 3 / 4 < min(asked[12:]) <= max(asked[12:]) <= LAST_ASK


def test_what_was_sent_in_one_set_is_not_asked_about_in_one():
    times = {next_ask(9, now=NOW, attempt_id=f"att_{n}") for n in range(1_000)}
    assert len(times) == 1_000
    assert max(times) - min(times) > LAST_ASK / 5


def test_the_same_attempt_is_asked_about_at_the_same_times_on_every_run():
    assert pauses(20) == pauses(20)


def test_retries_grow_rarer():
    tried = [retry_at(failures, now=NOW, order_id="ord_1") - NOW for failures in range(20)]
    assert timedelta(seconds=3) < tried[1] <= timedelta(seconds=5)
    assert LAST_RETRY * 3 / 4 < tried[-1] <= LAST_RETRY


def test_a_payment_that_may_come_back_is_watched_ever_less_often_and_a_last_time_when_its_window_ends():
    at, seen = NOW, []
    while (next_at := next_watch(paid_at=NOW, capabilities=WATCHED, now=at)) is not None:
        seen.append(next_at - at)
        at = next_at
    assert [span / timedelta(hours=1) for span in seen[:6]] == [1, 1, 2, 4, 8, 16]
    assert max(seen) == timedelta(days=1)
    assert at - NOW == WATCHED.returns_within
    assert len(seen) < 20


@pytest.mark.parametrize("days", [10, 11, 1_000])
def test_a_payment_whose_window_is_over_is_not_watched(days):
    assert next_watch(paid_at=NOW, capabilities=WATCHED, now=NOW + timedelta(days=days)) is None


def test_a_payment_that_never_comes_back_is_not_watched():
    assert next_watch(paid_at=NOW, capabilities=FakeRail().capabilities, now=NOW) is None


def test_a_clock_that_was_set_back_watches_soon():
    later = next_watch(paid_at=NOW, capabilities=WATCHED, now=NOW - timedelta(days=2))
    assert later == NOW - timedelta(days=2) + timedelta(hours=1)
