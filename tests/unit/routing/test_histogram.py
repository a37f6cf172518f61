"""Buckets of durations, against exact quantiles of the same numbers."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.histogram import (
    BUCKETS,
    EDGES_S,
    bucket_of,
    density,
    evidence,
    guess,
    quantile_s,
    wilson_low,
)

NOBODY = np.zeros(BUCKETS)
SHARES = (0.5, 0.95)
WIDTH = 2 ** (1 / 4)


def counted(seconds):
    return np.bincount([bucket_of(one) for one in seconds], minlength=BUCKETS).astype(float)


def drawn(kind, *, number, seed, scale):
    chance = np.random.default_rng(seed)
    draws = {
        "lognormal": lambda: chance.lognormal(0, 1.5, number),
        "exponential": lambda: chance.exponential(1, number),
        "uniform": lambda: chance.uniform(0.5, 2, number),
        "pareto": lambda: chance.pareto(1.5, number) + 1,
        "two_humps": lambda: np.where(
            chance.random(number) < 0.7, chance.normal(1, 0.05, number), chance.normal(60, 5, number)
        ),
        "all_the_same": lambda: np.ones(number),
    }
    return np.clip(draws[kind]() * scale, 0.2, 2_000_000)


@given(
    kind=st.sampled_from(["lognormal", "exponential", "uniform", "pareto", "two_humps", "all_the_same"]),
    number=st.integers(1, 3_000),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.5, 20_000),
)
@settings(max_examples=150, deadline=None)
def test_quantiles_are_exact_to_within_a_bucket(kind, number, seed, scale):
    seconds = drawn(kind, number=number, seed=seed, scale=scale)
    shares = density(counted(seconds), NOBODY)
    for share in SHARES:
        exact = np.quantile(seconds, share, method="inverted_cdf")
        # It is told as the end of its bucket, in whole seconds.
        assert exact * (1 - 1e-9) <= quantile_s(shares, share) <= math.ceil(exact * WIDTH)


@given(seconds=st.floats(0, 5_000_000))
def test_a_duration_lies_in_its_bucket(seconds):
    bucket = bucket_of(seconds)
    assert seconds <= EDGES_S[bucket] * (1 + 1e-9) or bucket == BUCKETS - 1
    assert bucket == 0 or EDGES_S[bucket - 1] < seconds * (1 + 1e-9)


@given(first=st.lists(st.floats(0, 1e6), min_size=1), second=st.lists(st.floats(0, 1e6), min_size=1))
def test_histograms_add_up(first, second):
    assert (counted(first) + counted(second) == counted(first + second)).all()


def test_who_waits_counts_as_taking_at_least_that_long():
    ended = counted([60] * 80)
    alone = density(ended, NOBODY)
    with_waiting = density(ended, counted([600] * 20))
    assert quantile_s(alone, 0.95) < 75
    assert quantile_s(with_waiting, 0.5) < 75
    assert 600 <= quantile_s(with_waiting, 0.95) < 720


def test_who_was_just_sent_changes_nothing():
    ended = counted([60] * 80)
    assert density(ended, counted([1] * 1_000)) == pytest.approx(density(ended, NOBODY))


def test_the_product_limit_estimate_is_the_textbook_s():
    """Four payments: ended after 10 s, waiting since 20 s, ended after 40 s, waiting since 80 s: 3/4, then 3/4 of 1/2."""
    shares = density(counted([10, 40]), counted([20, 80]))
    assert shares[bucket_of(10)] == pytest.approx(1 / 4)
    assert shares[bucket_of(40)] == pytest.approx(3 / 8)
    assert shares[bucket_of(80)] == pytest.approx(3 / 8)
    assert shares.sum() == pytest.approx(1)


def test_nothing_tells_nothing():
    assert not density(NOBODY, NOBODY).any()


def test_who_waits_is_evidence_as_far_as_it_was_expected_to_be_over():
    expected = density(counted([10, 20, 40, 80]), NOBODY)
    assert evidence(NOBODY, counted([1]), expected) == 0
    assert evidence(NOBODY, counted([25]), expected) == pytest.approx(1 / 2)
    assert evidence(counted([5]), counted([1_000]), expected) == pytest.approx(2)


@pytest.mark.parametrize("within", [timedelta(seconds=20), timedelta(minutes=5), timedelta(days=3)])
def test_a_guess_is_wide_and_keeps_the_rail_s_word(within):
    shares, most_s = guess(within), within.total_seconds()
    assert shares.sum() == pytest.approx(1)
    assert most_s / WIDTH <= quantile_s(shares, 0.95) <= most_s * WIDTH + 1
    assert most_s / 4 / WIDTH <= quantile_s(shares, 0.5) <= most_s / 4 * WIDTH + 1
    assert quantile_s(shares, 0.05) <= most_s / 12 + 1


@pytest.mark.parametrize(
    ("share", "number", "low"),
    [
        # (p + z²/2n - z √(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z = 1.6449, worked out by hand.
        (1.0, 10, 0.787), (0.9, 10, 0.652), (0.95, 100, 0.902), (0.5, 4, 0.182)
    ],
)  # fmt: skip
def test_the_lower_bound_is_wilson_s(share, number, low):
    assert wilson_low(share, number) == pytest.approx(low, abs=0.002)


@given(share=st.floats(0, 1), number=st.floats(0, 10_000))
def test_the_lower_bound_is_a_share_below_what_was_seen(share, number):
    assert 0 <= wilson_low(share, number) <= share + 1e-9
