"""How a rail does, by what is known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from gateway.offramp import CutOff, Institution
from gateway.routing.experience import FAILED, PAID, SLOTS, WAITING, Experience, History
from gateway.routing.histogram import bucket_of
from gateway.routing.weather import (
    SENTENCES,
    Breaker,
    Place,
    Reading,
    Seen,
    State,
    Weather,
    Why,
    opening,
    readings,
)
from tests.factories import NOW, FakeRail

MPESA, AIRTEL = Institution("mpesa", "M-PESA"), Institution("airtel", "Airtel Money")
KENYA = Place("fake", "KE", "KES", "mobile_money")
PLAIN = FakeRail().capabilities
USUALLY = Experience(
    {"fake": PLAIN},
    {
        "fake": History(
            np.array(["KES"] * 2), np.array(["", "mpesa"]), np.array([12, 12]), np.array([12, 12]),
            np.array([bucket_of(20)] * 2), np.array([500.0, 500.0]),
        )
    },
)  # fmt: skip
OFFICE = CutOff(weekdays=frozenset(range(5)), until=time(17), zone="Africa/Nairobi")


def recent(*counts):
    weights = np.zeros(SLOTS)
    for slot, number in counts:
        weights[slot] += number
    return weights


def seen(*, capabilities=PLAIN, now=NOW, usual=USUALLY, **facts):
    return Seen(capabilities={"fake": capabilities}, usual=usual, now=now, **facts)


def at(found, place=KENYA):
    return found[place]


def paid(number, *, seconds):
    return [(bucket_of(seconds), number), (PAID, number)]


def test_a_rail_of_which_nothing_is_known_works():
    assert readings(seen(usual=Experience())) == {KENYA: Reading(State.OPERATIONAL, Why.WORKS)}


@pytest.mark.parametrize(
    ("state", "until", "reading"),
    [
        ("stopped", None, Reading(State.CLOSED, Why.STOPPED, NOW)),
        ("open", NOW + timedelta(seconds=30), Reading(State.CLOSED, Why.FAILING, NOW, NOW + timedelta(seconds=30))),
        ("open", NOW - timedelta(seconds=1), Reading(State.DELAYED, Why.TRIED_AGAIN, NOW)),
        ("half_open", None, Reading(State.DELAYED, Why.TRIED_AGAIN, NOW)),
        ("closed", None, Reading(State.OPERATIONAL, Why.WORKS)),
    ],
)
def test_its_breaker_tells(state, until, reading):
    breakers = {"fake": Breaker(state=state, since=NOW, open_until=until)}
    assert at(readings(seen(breakers=breakers))) == reading


def test_a_rail_without_money_for_one_payment_is_closed():
    least = PLAIN.corridors[0].least.units
    assert at(readings(seen(left={("fake", "KES"): least - 1}))) == Reading(State.CLOSED, Why.FLOAT_LOW)
    assert at(readings(seen(left={("fake", "KES"): least}))).state is State.OPERATIONAL
    assert at(readings(seen(left={("fake", "UGX"): 0}))).state is State.OPERATIONAL


def test_a_rail_out_of_its_hours_is_closed_until_it_works_again():
    monday = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)  # midnight in Nairobi
    sunday = seen(capabilities=replace(PLAIN, cut_offs=(OFFICE,)))
    assert at(readings(sunday)) == Reading(State.CLOSED, Why.OUT_OF_HOURS, None, monday)


@pytest.mark.parametrize(
    ("now", "opens_at"),
    [
        (datetime(2026, 11, 20, 13, 59, 59, tzinfo=UTC), None),
        (datetime(2026, 11, 20, 14, 0, tzinfo=UTC), datetime(2026, 11, 22, 21, 0, tzinfo=UTC)),
        (datetime(2026, 11, 19, 14, 0, tzinfo=UTC), datetime(2026, 11, 19, 21, 0, tzinfo=UTC)),
    ],
    ids=["before the cut-off", "on Friday after it", "on Thursday after it"],
)
def test_after_a_cut_off_it_works_on_the_next_working_day(now, opens_at):
    assert opening((OFFICE,), now=now) == opens_at


def test_a_rail_that_works_says_until_when():
    friday = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    found = readings(seen(capabilities=replace(PLAIN, cut_offs=(OFFICE,)), now=friday))
    assert at(found) == Reading(State.OPERATIONAL, Why.WORKS, None, datetime(2026, 11, 20, 14, 0, tzinfo=UTC))


def test_any_of_its_hours_is_enough():
    saturday = CutOff(weekdays=frozenset({5, 6}), until=time(23), zone="Africa/Nairobi")
    assert opening((OFFICE, saturday), now=NOW) is None
    assert opening((), now=NOW) is None


def test_payments_that_take_long_now_are_a_delay():
    found = readings(seen(recent={("fake", "KES", ""): recent(*paid(10, seconds=300))}))
    assert at(found) == Reading(State.DELAYED, Why.SLOW)


@pytest.mark.parametrize(
    "counts",
    [
        paid(10, seconds=20),
        paid(10, seconds=70),
        paid(4, seconds=3_000),
        [*paid(10, seconds=20), *paid(4, seconds=3_000)],
        [(WAITING + bucket_of(2), 500)],
    ],
    ids=["as usual", "a little longer", "a few", "most as usual", "just sent"],
)
def test_what_may_happen_any_day_is_none(counts):
    found = readings(seen(recent={("fake", "KES", ""): recent(*counts)}, heard={"fake": NOW}))
    assert at(found).state is State.OPERATIONAL


def test_payments_that_wait_are_a_delay_too():
    found = readings(seen(recent={("fake", "KES", ""): recent((WAITING + bucket_of(300), 8))}, heard={"fake": NOW}))
    assert at(found) == Reading(State.DELAYED, Why.SLOW)


def test_a_rail_that_answers_nothing_is_silent():
    heard_at = NOW - timedelta(minutes=4)
    facts = {"recent": {("fake", "KES", ""): recent((WAITING + bucket_of(400), 3))}, "heard": {"fake": heard_at}}
    assert at(readings(seen(**facts))) == Reading(State.DELAYED, Why.SILENT, heard_at)
    later = at(readings(seen(**facts, now=NOW + timedelta(minutes=1, seconds=30))))
    assert (later.state, later.why) == (State.CLOSED, Why.SILENT)
    assert at(readings(seen(**facts, now=heard_at + timedelta(seconds=30)))).why is not Why.SILENT


def test_a_rail_that_was_asked_nothing_for_a_day_is_not_silent_for_a_day():
    facts = {"recent": {("fake", "KES", ""): recent((WAITING + bucket_of(120), 3))}}
    reading = at(readings(seen(**facts, heard={"fake": NOW - timedelta(days=1)})))
    assert (reading.state, reading.why) == (State.DELAYED, Why.SILENT)
    assert NOW - timedelta(seconds=120) <= reading.since <= NOW - timedelta(seconds=100)


def test_a_rail_that_never_answered_is_silent_too():
    found = readings(seen(recent={("fake", "KES", ""): recent((WAITING + bucket_of(200), 3))}))
    assert at(found)[:2] == (State.DELAYED, Why.SILENT)


def test_payments_that_fail_are_a_delay():
    counts = [*paid(5, seconds=20), (FAILED, 5)]
    assert at(readings(seen(recent={("fake", "KES", ""): recent(*counts)}))) == Reading(State.DELAYED, Why.FAILURES)


def test_a_bank_that_is_worse_than_the_others_is_named():
    corridor = replace(PLAIN.corridors[0], institutions=(MPESA, AIRTEL))
    facts = {
        ("fake", "KES", "mpesa"): recent(*paid(50, seconds=20)),
        ("fake", "KES", "airtel"): recent(*paid(10, seconds=900)),
    }
    found = readings(seen(capabilities=replace(PLAIN, corridors=(corridor,)), recent=facts))
    assert found == {
        KENYA: Reading(State.OPERATIONAL, Why.WORKS),
        KENYA._replace(institution="airtel"): Reading(State.DELAYED, Why.SLOW),
    }
    weather = Weather(found)
    assert weather.at(*KENYA[:4], "airtel").state is State.DELAYED
    assert weather.at(*KENYA[:4], "mpesa").state is State.OPERATIONAL
    assert weather.at("other", *KENYA[1:4]).state is State.OPERATIONAL


def test_the_best_of_several_rails_counts():
    slow, closed = Reading(State.DELAYED, Why.SLOW), Reading(State.CLOSED, Why.STOPPED)
    weather = Weather({KENYA: closed, KENYA._replace(rail="other"): slow})
    assert weather.best(*KENYA[1:4]) == ("other", slow)
    assert weather.best("UG", "UGX", "cash") is None


def test_every_reason_has_its_sentence():
    assert set(SENTENCES) == set(Why)
