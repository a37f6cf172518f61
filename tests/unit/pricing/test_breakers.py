"""Breakers and the time that quotes hold, as plain functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.pricing.breakers import BreakerRules, Published, depegged, doubt, jumped
from gateway.pricing.rule import RULE, Cause, Stage, Treatment
from gateway.pricing.volatility import TtlRules, ttl, variance

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, MOST = timedelta(hours=1), timedelta(minutes=15)
RULES = BreakerRules(jump_bps=500, jump_per=HOUR, jump_rounds=3)
LAST = Published(
    price=Fraction(100),
    at=NOW,
    low=Fraction(98),
    high=Fraction(101),
    since=NOW - HOUR,
    moves=Fraction(0),
    newest=NOW,
)


@pytest.mark.parametrize(
    ("price", "after", "is_jump"),
    [
        ("102.9", timedelta(0), False),  # five percent above the lowest of the hour
        ("102.91", timedelta(0), True),
        ("96.2", timedelta(0), False),  # five percent below the highest, as that sees it
        ("96.1", timedelta(0), True),
        ("107.8", HOUR, True),  # within the period nothing more is allowed
        ("107.8", 4 * HOUR, False),  # in four periods twice as much
        ("107.81", 4 * HOUR, True),
        ("122.6", 25 * HOUR, True),  # after a night and a day no price will do that is a quarter off
    ],
)
def test_a_jump_is_measured_against_all_that_was_published_within_the_period(price, after, is_jump):
    assert jumped(Fraction(price), LAST, rules=RULES, now=NOW + after) is is_jump


def test_rounds_confirm_a_jump_as_long_as_they_say_about_the_same():
    once = doubt(Fraction(120), LAST, newest=NOW, rules=RULES)
    twice = doubt(Fraction(122), once, newest=NOW, rules=RULES)
    assert (once.rounds, twice.rounds, twice.pending) == (1, 2, 122)
    elsewhere = doubt(Fraction(140), twice, newest=NOW, rules=RULES)
    assert (elsewhere.rounds, elsewhere.pending, elsewhere.price) == (1, 140, 100)


@pytest.mark.parametrize(("price", "outside"), [("0.99", False), ("0.9899", True), ("1.01", False), ("1.0101", True)])
def test_a_coin_is_depegged_outside_its_band_on_either_side(price, outside):
    assert depegged(Fraction(price), rules=RULES) is outside


def test_the_variance_is_that_of_the_moves_over_their_time():
    steady = [(NOW + n * HOUR, Fraction(100)) for n in range(3)]
    assert variance(steady) == variance(steady[:1]) == 0
    # One percent in an hour is 100 basis points: squared, 10,000 per hour.
    assert variance([(NOW, Fraction(100)), (NOW + HOUR, Fraction(101))]) == 10_000
    assert variance([(NOW, Fraction(100)), (NOW + 2 * HOUR, Fraction(101))]) == 5_000


def test_a_quote_holds_until_the_expected_move_would_use_up_its_share_of_the_spread():
    rules = TtlRules(least=timedelta(seconds=60), sigmas=2, share_percent=50)
    # 2 sigma sqrt(T) = 50 bps with sigma 100 bps an hour: T = (50 / 200)^2 hours = 225 s.
    assert ttl(Fraction(10_000), spread_bps=100, most=MOST, rules=rules) == timedelta(seconds=225)
    assert ttl(Fraction(0), spread_bps=0, most=MOST, rules=rules) == MOST
    assert ttl(Fraction(10**9), spread_bps=100, most=MOST, rules=rules) == timedelta(seconds=60)
    assert ttl(Fraction(10**9), spread_bps=100, most=timedelta(seconds=5), rules=rules) == timedelta(seconds=5)


@given(
    some.integers(0, 10**12),
    some.integers(0, 9_999),
    some.integers(1, 604_800),
    some.integers(1, 604_800),
    some.integers(1, 10),
)
def test_the_time_lies_between_its_bounds_and_never_grows_with_volatility(moves, spread, most, least, sigmas):
    rules = TtlRules(least=timedelta(seconds=least), sigmas=sigmas)
    bounds = {"spread_bps": spread, "most": timedelta(seconds=most), "rules": rules}
    holds = ttl(Fraction(moves, 10**6), **bounds)
    assert min(timedelta(seconds=least), bounds["most"]) <= holds <= bounds["most"]
    assert ttl(Fraction(moves + 1, 10**6), **bounds) <= holds
    if holds > rules.least and moves:
        # 2 sides squared, so that no root is needed.
        moved = sigmas**2 * Fraction(moves, 10**6) * (holds // timedelta(seconds=1)) / 3600
        assert moved <= Fraction(spread, 2) ** 2


def test_every_cause_and_stage_has_its_line_and_only_a_coin_holds_money():
    assert RULE.keys() == {(cause, stage) for cause in Cause for stage in Stage}
    held = {key for key, line in RULE.items() if line.treatment is Treatment.HELD}
    assert held == {(Cause.COIN, Stage.AWAITING_DEPOSIT)}


def test_a_price_that_comes_back_is_no_jump():
    assert not jumped(Fraction(100), replace(LAST, pending=Fraction(120), rounds=2), rules=RULES, now=NOW)
