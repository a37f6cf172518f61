"""What is expected of a payment by what others did."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.experience import FAILED, PAID, WAITING, Experience, History, band_of
from gateway.routing.histogram import BUCKETS, bucket_of, guess, quantile_s
from tests.factories import FakeRail

FIVE_MINUTES = replace(FakeRail().capabilities, settles_within=timedelta(minutes=5))
CAPABILITIES = {"fake": FIVE_MINUTES}
UNITS, BAND = 124_900, band_of(124_900)
HERE = ("KES", "mpesa", 12, BAND)


def history(*counts):
    """Of (currency, institution, hour, band), a slot and a number of payments."""
    places, slots, weights = zip(*counts, strict=True)
    columns = [np.array(column) for column in zip(*places, strict=True)]
    return History(*columns, np.array(slots), np.array(weights, dtype=float))


def knows(*counts):
    return Experience(CAPABILITIES, {"fake": history(*counts)} if counts else {})


def paid(number, *, seconds, place=HERE):
    return [(place, bucket_of(seconds), number), (place, PAID, number)]


def look(experience, *, institution="mpesa", hour=12, asset="KES", units=UNITS):
    return experience.look("fake", institution, hour, asset, units)


def test_before_there_is_experience_the_rail_s_own_word_counts():
    outlook = look(knows())
    assert 60 <= outlook.p50_s <= 95
    assert 300 <= outlook.p95_s <= 360
    assert (outlook.success, outlook.samples) == (0.9, 0)
    assert outlook.success_low < 0.6


def test_a_rail_that_nobody_configured_is_guessed_to_take_a_day():
    assert 80_000 <= Experience().look("other", None, 3, "KES", 1).p95_s <= 104_000


def test_many_payments_speak_for_themselves():
    outlook = look(knows(*paid(9_000, seconds=4), *paid(1_000, seconds=40)))
    assert 4 <= outlook.p50_s <= 5
    assert 40 <= outlook.p95_s <= 48
    assert outlook.success > 0.999
    assert 0.99 < outlook.success_low < outlook.success


def test_failures_of_the_rail_lower_its_success():
    outlook = look(knows(*paid(80, seconds=4), (HERE, FAILED, 20)))
    assert outlook.success == pytest.approx(0.8, abs=0.01)
    assert 0.72 < outlook.success_low < 0.74


@pytest.mark.parametrize(
    "place",
    [
        ("KES", "mpesa", 3, BAND),
        ("KES", "mpesa", 12, BAND + 2),
        ("KES", "airtel", 12, BAND),
        ("UGX", "mtn", 12, BAND),
    ],
    ids=["another hour", "another amount", "another institution", "another currency"],
)
def test_what_others_did_is_believed_where_nothing_nearer_is_known(place):
    outlook = look(knows(*paid(1_000, seconds=4, place=place)))
    assert 4 <= outlook.p50_s <= 5
    assert outlook.success > 0.98


def test_the_nearest_outweighs_the_others():
    far = [("KES", "mpesa", 3, BAND), ("KES", "airtel", 12, BAND), ("UGX", "mtn", 12, BAND)]
    counts = [one for place in far for one in paid(100_000, seconds=4, place=place)]
    outlook = look(knows(*counts, *paid(1_000, seconds=600), (HERE, FAILED, 1_000)))
    assert 600 <= outlook.p50_s <= 720
    assert 0.5 < outlook.success < 0.52


def test_an_institution_that_nobody_named_is_any_of_them():
    slow = ("KES", "airtel", 12, BAND)
    experience = knows(*paid(1_500, seconds=4), *paid(1_000, seconds=600, place=slow))
    assert look(experience, institution="mpesa").p95_s <= 5
    assert look(experience, institution="airtel").p50_s >= 600
    anywhere = look(experience, institution=None)
    assert anywhere.p50_s <= 5
    assert anywhere.p95_s >= 600


@given(
    numbers=st.tuples(st.floats(0, 500), st.floats(0, 500)),
    others=st.floats(0, 5_000),
    failing=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_more_there_is_of_it_the_more_its_own_evidence_counts(numbers, others, failing):
    fewer, more = sorted(numbers)
    elsewhere = ("KES", "mpesa", 3, BAND)

    def far_from_own(number):
        own = [(HERE, FAILED, number)] if failing else []
        experience = knows(*paid(others, seconds=1_000, place=elsewhere), *paid(number, seconds=4), *own)
        shares = experience.shares("fake", "mpesa", 12, "KES", UNITS)
        return 1 - shares[bucket_of(4)], look(experience).success - (0.5 if failing else 1)

    (time_fewer, success_fewer), (time_more, success_more) = far_from_own(fewer), far_from_own(more)
    assert time_more <= time_fewer + 1e-9
    assert abs(success_more) <= abs(success_fewer) + 1e-9


@given(number=st.floats(0.01, 1_000), more=st.floats(1, 100))
@settings(max_examples=40, deadline=None)
def test_more_of_the_same_makes_surer(number, more):
    few, many = look(knows(*paid(number, seconds=4))), look(knows(*paid(number * more, seconds=4)))
    assert few.success_low <= many.success_low + 1e-9
    assert few.samples <= many.samples + 1e-9


def test_the_guess_fades():
    """With 40 payments it no longer moves the slowest in twenty."""
    assert look(knows(*paid(3, seconds=4))).p50_s <= 5
    assert look(knows(*paid(60, seconds=4))).p95_s <= 5


def test_payments_that_wait_make_it_slower():
    waiting = (HERE, WAITING + bucket_of(3_600), 20)
    assert look(knows(*paid(80, seconds=4))).p95_s <= 5
    assert look(knows(*paid(80, seconds=4), waiting)).p95_s >= 3_600


def test_what_was_taken_back_never_counts_below_nothing():
    outlook = look(knows(*paid(50, seconds=4), (HERE, bucket_of(9), -0.3), (HERE, FAILED, -20)))
    assert outlook.p95_s <= 5
    assert 0.99 < outlook.success < 1


@pytest.mark.parametrize(
    ("units", "band"),
    [(1, 2), (2, 2), (3, 3), (9, 3), (10, 4), (29, 4), (30, 5), (99, 5), (100, 6), (124_900, 12), (300_000, 13)],
)
def test_amounts_fall_into_bands_that_begin_at_1_3_10_30(units, band):
    assert band_of(units) == band


def test_a_look_that_was_asked_before_costs_less_than_two_microseconds():
    experience = knows(*paid(50, seconds=4))
    look(experience)
    number = 20_000
    best = min(_timed(experience, number) for _ in range(5))
    assert best / number < 2e-6  # 0.6 us on the machine that this was written on, with nothing else running


def _timed(experience, number):
    start = time.perf_counter()
    for _ in range(number):
        experience.look("fake", "mpesa", 12, "KES", UNITS)
    return time.perf_counter() - start


def test_what_it_said_can_be_said_again_without_knowing_it():
    experience = knows(*paid(50, seconds=4))
    said = [look(experience), look(experience, hour=3), look(experience, institution=None)]
    again = Experience.remembered(experience.answers, capabilities=CAPABILITIES)
    assert [look(again), look(again, hour=3), look(again, institution=None)] == said
    assert list(again.answers.values()) == said
    assert look(again, hour=4) == look(knows())


def test_a_guess_is_what_its_rail_says():
    assert quantile_s(guess(FIVE_MINUTES.settles_within), 0.95) == look(knows()).p95_s
    assert len(guess(FIVE_MINUTES.settles_within)) == BUCKETS
