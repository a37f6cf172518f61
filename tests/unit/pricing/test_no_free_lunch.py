"""Any round of quotes as the gateway makes them, out of what its sources say, with whatever is given away in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.pricing.deals import Deals
from gateway.pricing.drafts import Draft, Scene, draft_all
from gateway.pricing.market import Market, Pair
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Economy, Offer, PricingRules, Speed, Terms, Token
from gateway.pricing.requests import QuoteRequest
from gateway.pricing.tariffs import ENDLESS, FREE, Band, Cost, Schedule

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
COINS = (Asset("USDC@1", 6), Asset("USDT@1", 6), Asset("DAI@1", 18))
CURRENCIES = (Asset("KES", 2), Asset("UGX", 0), Asset("BHD", 3))
RULES = PricingRules(max_age=timedelta(hours=2), max_spread_bps=100, min_sources=1, quote_ttl=timedelta(minutes=15))
PARTNER = "par_1"
START = Fraction(10**6)
"""Dollars that somebody sets out with."""

worths = st.integers(990_000, 1_010_000).map(lambda millionths: Fraction(millionths, 10**6))
"""Of a coin in dollars: off par, and not so far that it is stopped."""
prices = st.integers(10**3, 5 * 10**7).map(lambda parts: Fraction(parts, 10**4))
costs = st.builds(Cost, fixed=st.integers(0, 10**4), ppm=st.integers(0, 500_000))
schedules = st.one_of(
    st.just(FREE),
    st.builds(
        lambda end, low, high: Schedule((Band(end, (low,)), Band(ENDLESS, (high,)))), st.integers(1, 10**6), costs, costs
    ),
)


class Step(NamedTuple):
    """One quote: which, and how much of what is there is sent or asked for, in millionths."""

    coin: Asset
    currency: Asset
    speed: Speed
    partner_id: str | None
    by_receive: bool
    ppm: int


steps = st.builds(
    Step,
    coin=st.sampled_from(COINS),
    currency=st.sampled_from(CURRENCIES),
    speed=st.sampled_from(Speed),
    partner_id=st.sampled_from([None, PARTNER]),
    by_receive=st.booleans(),
    ppm=st.integers(1, 10**6),
)


@st.composite
def corridors(draw, currency: Asset) -> Terms:
    fee = st.builds(Money, st.integers(0, 5_000), st.just(currency))
    return Terms(
        country="KE",
        currency=currency,
        method=Method.BANK,
        spread_bps=draw(st.sampled_from([0, 1, 50, 5_000])),
        fee=draw(fee),
        least=Money(1, currency),
        most=Money(10**15, currency),
        step=Money(draw(st.sampled_from([1, 5, 100])), currency),
        economy=Economy(every=timedelta(hours=1), fee=draw(fee)),
        rail_charge=draw(schedules),
        pass_on_rail_fee=draw(st.booleans()),
        cash_out=draw(schedules),
    )


@st.composite
def scenes(draw, worth: dict[Asset, Fraction]) -> Scene:
    """A moment in which sources say what everything is worth."""

    def pair(base: str, quote: str, price: Fraction) -> Pair:
        return Pair(seen=(Observation(source="one", base=base, quote=quote, price=price, as_of=NOW),))

    network_fees = st.one_of(st.none(), st.integers(0, 10**6))
    tokens = {}
    for coin in COINS:
        fee = draw(network_fees)
        tokens["dev", coin.symbol] = Token(
            chain="dev",
            chain_id=1,
            asset=coin,
            address="0x",
            peg="USD",
            network_fee=None if fee is None else Money(fee, coin),
        )
    terms = [draw(corridors(currency)) for currency in CURRENCIES]
    offer = Offer(tokens=tokens, corridors={(one.country, one.currency.code, one.method): one for one in terms}, rules=RULES)
    pairs = {(coin.symbol, "USD"): pair(coin.symbol, "USD", worth[coin]) for coin in COINS}
    pairs |= {("USD", currency.code): pair("USD", currency.code, 1 / worth[currency]) for currency in CURRENCIES}
    fees_bps = {PARTNER: draw(st.sampled_from([0, 1, 100, 5_000]))}
    return Scene(
        offer=offer,
        deals=Deals.of(Market(offer=offer, pairs=pairs), now=NOW),
        frozen={},
        fees_bps=fees_bps,
        clients=frozenset(),
        now=NOW,
    )


def units_of(dollars: Fraction, asset: Asset, worth: Fraction) -> Money:
    """As many as `dollars` buy."""
    return Money(int(dollars / worth * 10**asset.decimals), asset)


def dollars_of(money: Money, worth: Fraction) -> Fraction:
    """What an amount is worth, exactly."""
    return money.units * worth / 10**money.asset.decimals


@given(data=st.data(), path=st.lists(steps, min_size=1, max_size=5))
def test_whatever_is_quoted_and_changed_back_at_the_middle_nobody_ends_with_more(data, path):
    """The partner is in league with the sender, and the market takes everything at exactly what it is worth."""
    worth = {coin: data.draw(worths) for coin in COINS} | {currency: 1 / data.draw(prices) for currency in CURRENCIES}
    scene = data.draw(scenes(worth))
    held = START
    for step in path:
        sends = units_of(held * step.ppm / 10**6, step.coin, worth[step.coin])
        gets = units_of(held * step.ppm / 10**6, step.currency, worth[step.currency])
        gets = gets.floor_to(scene.offer.corridors["KE", step.currency.code, Method.BANK].step)
        request = QuoteRequest(
            partner_id=step.partner_id,
            chain="dev",
            asset=step.coin.symbol,
            send_amount=None if step.by_receive else sends.decimal(),
            country="KE",
            currency=step.currency.code,
            method=Method.BANK,
            receive_amount=gets.decimal() if step.by_receive else None,
            speed=step.speed,
        )
        [made] = draft_all([request], scene)
        if isinstance(made, Draft):
            paid = dollars_of(made.parts.receive + made.parts.partner_fee, worth[step.currency])
            held += paid - dollars_of(made.parts.send, worth[step.coin])
            assert made.parts.in_hand <= made.parts.receive
        assert held <= START
