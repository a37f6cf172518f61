"""Prices that a process keeps from one set of quotes to the next are those that it would find anew."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.pricing.consensus import NoRate, RateUnavailable
from gateway.pricing.deals import KEPT_FOR, Book, Deal, Deals
from gateway.pricing.exposure import DOLLARS
from gateway.pricing.halts import CoinHalted
from gateway.pricing.market import KNOWN_FOR, market_of
from gateway.pricing.observations import FUTURE_SLACK
from gateway.pricing.offer import Offer, PricingRules, Speed, Terms, Token

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KES, USD = Asset("KES", 2), Asset("USD", 2)
MAX_AGE = timedelta(hours=2)
TOKEN = Token(chain="dev", chain_id=1, asset=Asset("USDC@1", 6), address="0x", peg="USD")


def terms(currency: Asset) -> Terms:
    return Terms(
        country="KE",
        currency=currency,
        method=Method.MOBILE_MONEY,
        spread_bps=100,
        fee=Money(0, currency),
        least=Money(1, currency),
        most=Money(10**9, currency),
        step=Money(1, currency),
    )


RULES = PricingRules(
    max_age=MAX_AGE, max_spread_bps=500, min_sources=2, quote_ttl=timedelta(minutes=15), exposure_cap=Money(1, DOLLARS)
)
OFFER = Offer(
    tokens={("dev", "USDC"): TOKEN},
    corridors={("KE", one.code, Method.MOBILE_MONEY): terms(one) for one in (KES, USD)},
    rules=RULES,
)


class Row(NamedTuple):
    """As the database tells the market."""

    what: str
    name: str
    quote: str
    document: str


def pair(*told: tuple[str, int, datetime, datetime | None], base: str = "USD", quote: str = "KES") -> Row:
    seen = [
        (source, str(price), "100", as_of.isoformat(), None if until is None else until.isoformat())
        for source, price, as_of, until in told
    ]
    return Row("pair", base, quote, json.dumps({"seen": seen, "last": None}))


FRESH = [pair(("one", 12_900, NOW, None), ("two", 12_940, NOW - timedelta(minutes=1), None))]


def found(deals: Deals, now: datetime, currency: Asset = KES) -> Deal | type[NoRate]:
    try:
        return deals.find(TOKEN, terms(currency), Speed.STANDARD, now=now)
    except NoRate as refusal:
        return type(refusal)


# Around the moments at which a price begins or ceases to count, to the microsecond.
ticks = st.sampled_from(
    [timedelta(microseconds=n) for n in (-1, 0, 1)] + [timedelta(milliseconds=n) for n in (-400, 300, 999)]
)
prices = st.tuples(
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from([12_900, 12_950, 12_990, 14_000]),
    st.builds(
        lambda back, tick: NOW - back + tick, st.sampled_from([timedelta(0), MAX_AGE, -FUTURE_SLACK, KNOWN_FOR]), ticks
    ),
    st.none() | st.builds(lambda tick: NOW + tick, ticks),
)


def told_by(*, least: int) -> st.SearchStrategy[list[Any]]:
    """What sources tell of a pair whose price is about `least` hundredths."""
    scaled = prices.map(lambda one: (one[0], one[1] * least // 12_900, *one[2:]))
    return st.lists(scaled, max_size=4, unique_by=lambda one: one[0])


@given(
    money=told_by(least=12_900),
    coin=told_by(least=100),
    local=told_by(least=12_900),
    bounds=st.sampled_from([{}, {"three": 200}]),
    moments=st.lists(st.builds(lambda tick: NOW + tick, ticks), min_size=2, max_size=8),
)
def test_a_kept_price_is_what_would_be_found_at_that_moment(
    money: list[Any], coin: list[Any], local: list[Any], bounds: dict[str, int], moments: list[datetime]
) -> None:
    offer = replace(OFFER, rules=replace(RULES, bounds=bounds))
    same({("USD", "KES"): money, ("USDC", "USD"): coin, ("USDC", "KES"): local}, moments, offer=offer)


def same(told: dict[tuple[str, str], list[Any]], moments: list[datetime], *, offer: Offer = OFFER) -> None:
    rows = [pair(*seen, base=base, quote=quote) for (base, quote), seen in told.items() if seen]
    book = Book()
    for now in moments:  # clocks may be set back, too
        anew = Deals.of(market_of(rows, offer=offer), now=now)
        for currency in (KES, USD):
            assert found(book.deals(list(rows), offer=offer, now=now), now, currency) == found(anew, now, currency)


SOON, LATER = NOW - timedelta(microseconds=1), NOW + timedelta(microseconds=1)
SURE = [("one", 12_900, NOW - timedelta(hours=1), None), ("two", 12_900, NOW - timedelta(hours=1), None)]


@pytest.mark.parametrize(
    "told",
    [
        {("USD", "KES"): [*SURE, ("three", 12_990, NOW + FUTURE_SLACK, None)]},
        {("USD", "KES"): [*SURE, ("three", 12_990, NOW - MAX_AGE, None)]},
        {("USD", "KES"): [*SURE, ("three", 12_990, NOW - timedelta(hours=1), NOW)]},
        {("USDC", "USD"): [("one", 100, NOW, None)]},
        {("USD", "KES"): SURE, ("USDC", "USD"): [("one", 99, NOW - KNOWN_FOR, NOW + timedelta(hours=1))]},
    ],
    ids=["from the future", "too old", "good until", "as of the moment itself", "not known any more"],
)
def test_a_price_is_found_anew_when_one_begins_or_ceases_to_count(told: dict[tuple[str, str], list[Any]]) -> None:
    same(told, [SOON, NOW, LATER, SOON, LATER])
    same(told, [SOON, LATER, SOON])
    same(told, [NOW, LATER])


def test_a_price_is_found_once_while_nothing_changes() -> None:
    book = Book()
    first = book.deals(FRESH, offer=OFFER, now=NOW + timedelta(microseconds=1))
    later = NOW + timedelta(milliseconds=900)
    assert book.deals(list(FRESH), offer=OFFER, now=later) is first
    assert found(first, later) is found(first, later)


@pytest.mark.parametrize(
    "rows",
    [
        [pair(("one", 12_901, NOW, None), ("two", 12_940, NOW - timedelta(minutes=1), None))],
        [pair(("one", 12_900, NOW, None))],
        [],
    ],
)
def test_what_the_market_says_otherwise_counts_at_once(rows: list[Row]) -> None:
    book, now = Book(), NOW + timedelta(microseconds=1)
    before = found(book.deals(FRESH, offer=OFFER, now=now), now)
    assert found(book.deals(rows, offer=OFFER, now=now), now) != before


def test_a_halt_counts_at_once() -> None:
    book, now = Book(), NOW + timedelta(microseconds=1)
    assert isinstance(found(book.deals(FRESH, offer=OFFER, now=now), now), Deal)
    stop = {"id": 1, "breaker": "by_hand", "reason": "x", "since": NOW.isoformat(), "stopped_by": "eve", "well_since": None}
    halted = [*FRESH, Row("stop", "USDC", "", json.dumps(stop))]
    assert found(book.deals(halted, offer=OFFER, now=now), now) is CoinHalted


def test_nothing_is_kept_for_longer_than_a_second() -> None:
    book, now = Book(), NOW + timedelta(microseconds=1)
    first = book.deals(FRESH, offer=OFFER, now=now)
    assert book.deals(FRESH, offer=OFFER, now=now + KEPT_FOR - timedelta(microseconds=1)) is first
    assert book.deals(FRESH, offer=OFFER, now=now + KEPT_FOR) is not first


def test_what_was_found_for_one_offer_is_nothing_for_another() -> None:
    book, other = Book(), replace(OFFER, rules=replace(RULES, min_sources=3))
    assert isinstance(found(book.deals(FRESH, offer=OFFER, now=LATER), LATER), Deal)
    assert found(book.deals(FRESH, offer=other, now=LATER), LATER) is RateUnavailable
