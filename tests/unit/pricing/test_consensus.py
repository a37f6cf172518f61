from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pricing.consensus import RateDisputed, RateUnavailable, mid
from gateway.pricing.observations import FUTURE_SLACK, Observation
from gateway.pricing.offer import PricingRules

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = PricingRules(max_age=timedelta(hours=2), max_spread_bps=100, min_sources=2, quote_ttl=timedelta(minutes=15))


def seen(source: str, price: str, *, age: timedelta = timedelta(0), base: str = "USD", quote: str = "KES") -> Observation:
    return Observation(source=source, base=base, quote=quote, price=Fraction(price), as_of=NOW - age)


def middle(*observations: Observation, rules: PricingRules = RULES):
    return mid(observations, base="USD", quote="KES", rules=rules, now=NOW)


def rules(*, min_sources: int = 2, max_spread_bps: int = 100) -> PricingRules:
    return PricingRules(
        max_age=RULES.max_age, max_spread_bps=max_spread_bps, min_sources=min_sources, quote_ttl=RULES.quote_ttl
    )


def test_of_three_prices_the_middle_one_counts():
    assert middle(seen("a", "129.9"), seen("b", "129.2"), seen("c", "129.0")).price == Fraction("129.2")


def test_of_two_prices_the_exact_mean_counts():
    assert middle(seen("a", "129.2"), seen("b", "129.3")).price == Fraction("129.25")


def test_of_four_prices_the_mean_of_the_inner_two_counts():
    prices = (seen("a", "129"), seen("b", "129.1"), seen("c", "129.2"), seen("d", "130"))
    assert all(middle(*order).price == Fraction("129.15") for order in permutations(prices))


def test_the_mid_is_as_old_as_its_oldest_price_and_names_its_sources():
    result = middle(seen("b", "129.2", age=timedelta(hours=1)), seen("a", "129.2"))
    assert (result.as_of, result.sources) == (NOW - timedelta(hours=1), ("a", "b"))


@pytest.mark.parametrize("age", [timedelta(0), RULES.max_age, -FUTURE_SLACK])
def test_a_price_may_be_used_up_to_its_largest_age_and_a_little_ahead_of_our_clock(age):
    assert middle(seen("a", "129.2"), seen("b", "129.2", age=age)).sources == ("a", "b")


@pytest.mark.parametrize("age", [RULES.max_age + timedelta(microseconds=1), -FUTURE_SLACK - timedelta(microseconds=1)])
def test_a_price_too_old_or_from_the_future_does_not_count(age):
    with pytest.raises(RateUnavailable) as refused:
        middle(seen("a", "129.2"), seen("b", "129.2", age=age))
    assert refused.value.code == "rate_unavailable"
    assert str(refused.value) == "There is no current exchange rate for KES. Try again in a few minutes."
    assert refused.value.detail.startswith("USD/KES: 1 fresh sources, 2 needed; known: a of 2026-11-22 12:00:00 UTC, b of")


def test_prices_of_other_pairs_do_not_count():
    with pytest.raises(RateUnavailable):
        middle(seen("a", "129.2"), seen("b", "0.0078", base="KES", quote="USD"), seen("c", "3650", quote="UGX"))


def test_nothing_known_is_said_plainly():
    with pytest.raises(RateUnavailable, match="Try again") as refused:
        middle()
    assert refused.value.detail == "USD/KES: 0 fresh sources, 2 needed; known: none"


def test_no_rule_makes_a_rate_out_of_nothing():
    with pytest.raises(RateUnavailable):
        middle(rules=rules(min_sources=0))


def test_one_source_has_one_vote_and_its_newest_price_counts():
    old = seen("a", "129.0", age=timedelta(minutes=5))
    with pytest.raises(RateUnavailable):
        middle(seen("a", "129.2"), old)
    assert middle(seen("a", "129.2"), old, rules=rules(min_sources=1)).price == Fraction("129.2")


def test_sources_as_far_apart_as_allowed_are_believed():
    assert middle(seen("a", "99.5"), seen("b", "100.5")).price == 100


def test_sources_further_apart_than_allowed_stop_the_price():
    with pytest.raises(RateDisputed) as refused:
        middle(seen("a", "99.49"), seen("b", "100.5"))
    assert refused.value.code == "rate_disputed"
    assert str(refused.value) == "The exchange rate for KES is unsettled right now. Try again in a few minutes."
    assert refused.value.detail == "USD/KES: sources more than 100 bps apart: a 99.490000, b 100.500000"


@pytest.mark.parametrize("wrong", ["0.00774", "129200000000", "1.292", "140"])
def test_one_source_of_three_that_is_far_away_is_left_out_and_named(wrong):
    result = middle(seen("a", "129.2"), seen("b", "129.3"), seen("c", wrong))
    assert (result.price, result.sources) == (Fraction("129.25"), ("a", "b"))
    assert result.out[0].startswith("c says ")


def test_a_swapped_pair_is_called_one():
    result = middle(seen("a", "129.2"), seen("b", "129.3"), seen("c", "0.00774"))
    assert result.out == (
        "c says 0.007740 KES for one USD, the others 129.200000: about the inverse, so its pair is swapped",
    )


def test_of_two_sources_nobody_knows_which_is_wrong():
    with pytest.raises(RateDisputed) as refused:
        middle(seen("a", "129.2"), seen("b", "0.00774"))
    assert refused.value.detail.endswith("; one looks like the inverse of another: is a pair swapped?")


def test_near_one_no_price_is_called_swapped():
    with pytest.raises(RateDisputed) as refused:
        middle(seen("a", "1"), seen("b", "0.88"))
    assert "swapped" not in refused.value.detail


def test_an_outlier_does_not_count_among_the_sources_that_a_price_needs():
    with pytest.raises(RateUnavailable) as refused:
        middle(seen("a", "129.2"), seen("b", "129.3"), seen("c", "1.292"), rules=rules(min_sources=3))
    assert "left out: c says 1.292000 KES for one USD" in refused.value.detail


def test_sources_that_fall_into_two_camps_stop_the_price():
    with pytest.raises(RateDisputed):
        middle(seen("a", "100"), seen("b", "100"), seen("c", "110"), seen("d", "110"))


def test_confidence_grows_with_voices_that_agree_and_shrinks_with_spread_and_outliers():
    two, three = [middle(*(seen(name, "100") for name in names)).confidence for names in ("ab", "abc")]
    assert (two, three) == (Fraction(2, 3), Fraction(3, 4))
    assert middle(seen("a", "99.5"), seen("b", "100.5")).confidence == two / 2
    assert middle(seen("a", "100"), seen("b", "100"), seen("c", "1")).confidence == two * two


def test_a_price_with_an_age_of_its_own_counts_as_long_as_its_source_says():
    slow = replace(seen("a", "100", age=timedelta(days=3)), good_until=NOW)
    quick = replace(seen("b", "100"), good_until=NOW - timedelta(seconds=1))
    assert middle(slow, seen("c", "100")).sources == ("a", "c")
    with pytest.raises(RateUnavailable):
        middle(slow, quick)


BOUNDED = replace(rules(), bounds={"ecb": 500})


@pytest.mark.parametrize("price", ["95", "105"])
def test_a_source_that_bounds_does_not_vote(price):
    result = middle(seen("a", price), seen("b", price), seen("ecb", "100"), rules=BOUNDED)
    assert (result.price, result.sources, result.out) == (Fraction(price), ("a", "b"), ())


@pytest.mark.parametrize("price", ["94.99", "105.01"])
def test_beyond_a_bound_there_is_no_rate_however_many_agree(price):
    agreeing = [seen(name, price) for name in "abcdef"]
    with pytest.raises(RateDisputed) as refused:
        middle(*agreeing, seen("ecb", "100", age=timedelta(hours=1)), rules=BOUNDED)
    assert refused.value.detail == (
        f"USD/KES: a, b, c, d, e, f agree on {price}0000, more than 500 bps from what ecb bounds it by: "
        "100.000000 of 2026-11-22 11:00:00 UTC"
    )


def test_a_bound_is_no_source_that_a_price_needs():
    with pytest.raises(RateUnavailable) as refused:
        middle(seen("a", "100"), seen("ecb", "100"), rules=BOUNDED)
    assert refused.value.detail == "USD/KES: 1 fresh sources, 2 needed; known: a of 2026-11-22 12:00:00 UTC"


def test_a_bound_that_is_too_old_bounds_nothing_and_one_with_an_age_of_its_own_does():
    agreeing = seen("a", "120"), seen("b", "120")
    old = seen("ecb", "100", age=timedelta(days=6))
    assert middle(*agreeing, old, rules=BOUNDED).price == 120
    with pytest.raises(RateDisputed):
        middle(*agreeing, replace(old, good_until=NOW), rules=BOUNDED)


def test_a_source_that_was_taken_out_of_the_configuration_counts_no_more():
    listed = replace(rules(), listed=frozenset("ab"))
    assert middle(seen("a", "100"), seen("b", "100"), seen("gone", "100.5"), rules=listed).sources == ("a", "b")
    with pytest.raises(RateUnavailable):
        middle(seen("a", "100"), seen("gone", "100"), rules=listed)


def test_news_are_what_as_many_voices_as_a_rate_needs_have_told_since():
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    prices = [seen("a", "100", age=hour), seen("b", "100", age=minute), seen("c", "100")]
    assert middle(*prices).newest == NOW - minute
    assert middle(*prices, rules=rules(min_sources=3)).newest == NOW - hour
    assert middle(*prices, seen("far", "200")).newest == NOW - minute


def test_a_coin_that_is_pegged_to_the_currency_itself_is_worth_one():
    result = mid([], base="USD", quote="USD", rules=RULES, now=NOW)
    assert (result.price, result.as_of, result.sources) == (1, NOW, ())


@given(st.lists(st.fractions(min_value=1, max_value=1000, max_denominator=1).map(str), min_size=1, max_size=7))
def test_the_mid_lies_between_the_lowest_and_the_highest_price(prices):
    observations = [seen(f"s{index}", price) for index, price in enumerate(prices)]
    result = middle(*observations, rules=rules(min_sources=1, max_spread_bps=10_000_000))
    assert min(map(Fraction, prices)) <= result.price <= max(map(Fraction, prices))


@pytest.mark.parametrize("price", [Fraction(0), Fraction(-1), Fraction(10**12) + 1, Fraction(1, 10**13), Fraction(1, 3)])
def test_an_absurd_price_cannot_even_be_observed(price):
    with pytest.raises(ValueError, match="no plausible price"):
        Observation(source="a", base="USD", quote="KES", price=price, as_of=NOW)
