"""Coins' prices in local money, as votes on the rate of their peg."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.pricing.breakers import BPS, Breaker
from gateway.pricing.consensus import Mid, NoRate, RateUnavailable
from gateway.pricing.halts import CoinDepegged, Stop
from gateway.pricing.market import Market, Pair
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Offer, PricingRules, Terms, Token
from gateway.pricing.sources.cross import fitted

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = PricingRules(max_age=2 * HOUR, max_spread_bps=100, min_sources=2, quote_ttl=timedelta(minutes=15))
KES = Asset("KES", 2)
R = Fraction("129.2")
TINY = Fraction(1, 10**18)


def coin(symbol: str, peg: str = "USD") -> Token:
    return Token(chain="base", chain_id=1, asset=Asset(f"{symbol}@1", 6), address="0x", peg=peg)


KENYA = Terms(
    country="KE",
    currency=KES,
    method=Method.BANK,
    spread_bps=50,
    fee=Money(0, KES),
    least=Money(1, KES),
    most=Money(10**9, KES),
    step=Money(1, KES),
)
OFFER = Offer(
    tokens={("base", symbol): coin(symbol) for symbol in ("USDC", "USDT")},
    corridors={("KE", "KES", Method.BANK): KENYA},
    rules=RULES,
)


def told(source: str, base: str, quote: str, price: object, *, at: datetime = NOW) -> Observation:
    exact = price if isinstance(price, Fraction) else Fraction(str(price))
    return Observation(source=source, base=base, quote=quote, price=exact, as_of=at)


def market(*observations: Observation, rules: PricingRules = RULES, stops: tuple[Stop, ...] = ()) -> Market:
    pairs: dict[tuple[str, str], Pair] = {}
    for one in observations:
        key = one.base, one.quote
        pairs[key] = Pair(seen=(*pairs.get(key, Pair()).seen, one))
    return Market(offer=replace(OFFER, rules=rules), pairs=pairs, stops=stops)


def agreed(*observations: Observation, rules: PricingRules = RULES, stops: tuple[Stop, ...] = ()) -> Mid:
    return market(*observations, rules=rules, stops=stops).agreed("USD", "KES", NOW)


OXR = told("oxr", "USD", "KES", R)


def test_a_coins_local_price_votes_by_the_coins_own_price():
    found = agreed(OXR, told("bitso", "USDC", "KES", R * Fraction("0.995")), told("link", "USDC", "USD", "0.995"))
    assert (found.price, found.sources, found.out) == (R, ("bitso", "oxr"), ())


def test_without_a_price_of_its_own_the_coin_counts_as_par_if_par_is_assumed():
    local = told("bitso", "USDC", "KES", 129)
    assert agreed(OXR, local).price == Fraction("129.1")
    strict = replace(RULES, breakers=replace(RULES.breakers, par_assumed=False))
    with pytest.raises(RateUnavailable) as refused:
        agreed(OXR, local, rules=strict)
    assert "left out: bitso by USDC: USDC/USD: no source prices it" in refused.value.detail


@given(
    own=st.integers(990_000, 1_010_000).map(lambda parts: Fraction(parts, 10**6)),
    rate=st.integers(10**3, 10**9).map(lambda parts: Fraction(parts, 10**4)),
    venues=st.integers(1, 4),
)
def test_a_coin_that_drifts_within_its_band_moves_no_rate(own, rate, venues):
    local = [told(f"venue{number}", "USDC", "KES", own * rate) for number in range(venues)]
    found = agreed(told("oxr", "USD", "KES", rate), told("link", "USDC", "USD", own), *local)
    assert abs(found.price / rate - 1) < TINY
    assert len(found.sources) == venues + 1


@given(own=st.one_of(st.integers(1, 989_999), st.integers(1_010_001, 10**7)).map(lambda parts: Fraction(parts, 10**6)))
def test_a_coin_off_its_peg_does_not_vote_whatever_it_fell_or_rose_to(own):
    told_of_coin = told("link", "USDC", "USD", own), told("bitso", "USDC", "KES", own * R)
    found = agreed(OXR, told("yc", "USD", "KES", R), *told_of_coin)
    assert (found.price, found.sources) == (R, ("oxr", "yc"))
    assert found.out[0].startswith("bitso by USDC: USDC costs ")
    with pytest.raises(RateUnavailable):
        agreed(OXR, *told_of_coin)


@given(fallen=st.integers(1, 990_000).map(lambda parts: Fraction(parts, 10**6)), venues=st.integers(1, 5))
def test_a_depeg_that_no_source_tells_of_has_one_voice_however_many_venues_see_it(fallen, venues):
    local = [told(f"venue{number}", "USDC", "KES", fallen * R) for number in range(venues)]
    assert agreed(OXR, told("yc", "USD", "KES", R), *local).price == R
    with pytest.raises(NoRate):
        agreed(*local)
    if fallen < Fraction(99, 100) - Fraction(1, 1000):
        with pytest.raises(NoRate):
            agreed(OXR, *local)


lies = st.integers(1, 10**9).map(lambda parts: Fraction(parts, 10**5))


@given(
    pair=st.none() | lies,
    local=st.none() | lies,
    own=st.none() | lies | st.just(Fraction("0.9901")),
    honest=st.integers(0, 3),
)
def test_one_source_that_lies_about_all_it_is_asked_moves_no_rate_by_more_than_sources_may_differ(pair, local, own, honest):
    lied = [("USD", "KES", pair), ("USDC", "KES", local), ("USDC", "USD", own)]
    liar = [told("liar", base, quote, price) for base, quote, price in lied if price is not None]
    venues = [told(f"venue{number}", "USDC", "KES", R) for number in range(honest)]
    try:
        found = agreed(OXR, told("yc", "USD", "KES", R), *venues, *liar)
    except NoRate:
        return
    assert abs(found.price - R) * BPS <= R * RULES.max_spread_bps


@given(
    direct=st.lists(lies, min_size=1, max_size=6),
    venues=st.lists(lies, max_size=6),
    own=st.integers(990_000, 1_010_000).map(lambda parts: Fraction(parts, 10**6)),
)
def test_the_rate_is_the_median_where_a_coins_venues_count_together_once(direct, venues, own):
    wide = replace(RULES, min_sources=1, max_spread_bps=10**12)
    found = agreed(
        *(told(f"d{number}", "USD", "KES", price) for number, price in enumerate(direct)),
        *(told(f"v{number}", "USDC", "KES", price) for number, price in enumerate(venues)),
        told("link", "USDC", "USD", own),
        rules=wide,
    )
    crossed = [fitted(price / own) for price in venues]
    # As many copies of each as make all voices equal: the ordinary median of them is the one by voices.
    assert found.price == median([*(direct * max(len(venues), 1)), *crossed])


@given(fallen=st.integers(1, 989_999), lie=st.integers(1_000_000, 10**12))
def test_one_of_two_sources_cannot_hide_that_a_coin_has_fallen(fallen, lie):
    fell = told("link", "USDC", "USD", Fraction(fallen, 10**6))
    liar = told("liar", "USDC", "USD", Fraction(lie, 10**6))
    with pytest.raises(CoinDepegged):
        market(fell, liar).worth("USDC", "USD", NOW)


def test_two_venues_of_one_coin_are_one_voice_and_of_two_coins_are_two():
    with pytest.raises(RateUnavailable, match="no current exchange rate") as refused:
        agreed(told("bitso", "USDC", "KES", R), told("luno", "USDC", "KES", R))
    assert "1 fresh sources, 2 needed; known: bitso by USDC of" in refused.value.detail
    assert agreed(told("bitso", "USDC", "KES", R), told("luno", "USDT", "KES", R)).price == R


def test_a_source_that_tells_the_pair_itself_does_not_vote_by_a_coin_as_well():
    twice = (told("oxr", "USDC", "KES", R + 1), told("oxr", "USDT", "KES", R + 1))
    assert agreed(OXR, *twice, told("yc", "USD", "KES", R)).price == R
    with pytest.raises(RateUnavailable):
        agreed(OXR, *twice)


def test_of_a_sources_prices_of_several_coins_the_newest_counts():
    old = told("luno", "USDT", "KES", R + 1, at=NOW - HOUR)
    assert agreed(OXR, told("luno", "USDC", "KES", R), old).price == R


def test_a_venue_that_is_far_away_is_left_out_and_named_with_its_coin():
    found = agreed(OXR, told("bitso", "USDC", "KES", R), told("luno", "USDC", "KES", "140"))
    assert (found.price, found.sources) == (R, ("bitso", "oxr"))
    assert found.out == ("luno by USDC says 140.000000 KES for one USD, the others 129.200000: too far away",)


def test_a_stale_local_price_does_not_count_and_is_not_talked_about():
    found = agreed(OXR, told("yc", "USD", "KES", R), told("bitso", "USDC", "KES", 1, at=NOW - 3 * HOUR))
    assert (found.sources, found.out) == (("oxr", "yc"), ())


def test_a_coin_whose_own_price_has_gone_stale_does_not_vote():
    old = told("link", "USDC", "USD", 1, at=NOW - 3 * HOUR)
    with pytest.raises(RateUnavailable, match="no current") as refused:
        agreed(OXR, told("bitso", "USDC", "KES", R), old)
    assert "left out: bitso by USDC: USDC/USD: 0 fresh sources" in refused.value.detail


@pytest.mark.parametrize("breaker", [Breaker.DEPEG, Breaker.BY_HAND])
def test_a_coin_that_is_stopped_does_not_vote_even_if_its_price_is_back(breaker):
    stop = Stop(id=1, breaker=breaker, subject="USDC", reason="it fell", since=NOW)
    with pytest.raises(RateUnavailable, match="no current") as refused:
        agreed(OXR, told("bitso", "USDC", "KES", R), told("link", "USDC", "USD", 1), stops=(stop,))
    assert "left out: bitso by USDC: USDC stopped" in refused.value.detail


def test_a_price_that_is_absurd_once_it_is_crossed_is_left_out():
    tiny = told("link", "USDC", "USD", "0.991")
    assert agreed(OXR, told("yc", "USD", "KES", R), told("x", "USDC", "KES", 10**12), tiny).sources == ("oxr", "yc")


def test_a_coin_is_worth_what_its_venue_pays_for_it():
    venue = told("bitso", "USDC", "KES", Fraction("128.6"))
    now = market(told("oxr", "USD", "KES", Fraction("128.6") / Fraction("0.995") // TINY * TINY), venue,
                 told("link", "USDC", "USD", "0.995"))  # fmt: skip
    assert abs(now.value(coin("USDC"), "KES", NOW).price - Fraction("128.6")) < TINY * 10**3


def test_a_coin_that_only_a_bound_or_an_unlisted_source_prices_counts_as_par():
    rules = replace(RULES, bounds={"ecb": 500}, listed=frozenset({"ecb", "oxr"}))
    now = market(told("ecb", "USDC", "USD", "0.5"), told("gone", "USDC", "USD", "0.5"), rules=rules)
    assert now.worth("USDC", "USD", NOW) is None


def test_coins_of_another_peg_do_not_vote():
    offer = replace(OFFER, tokens={**OFFER.tokens, ("base", "EURC"): coin("EURC", "EUR")})
    seen = Pair(seen=(told("bitso", "EURC", "KES", R),))
    there = Market(offer=offer, pairs={("USD", "KES"): Pair(seen=(OXR,)), ("EURC", "KES"): seen})
    with pytest.raises(RateUnavailable):
        there.agreed("USD", "KES", NOW)
