"""Whoever goes round through any quotes, and back through the middle rates, comes home with no more than they left with."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money, Rate
from gateway.offramp import Method
from gateway.pricing.breakdown import AboveMaximum, BelowMinimum, Breakdown, of_receive, of_send
from gateway.pricing.offer import Terms
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Schedule

TOKENS = (Asset("USDC@1", 6), Asset("USDT@1", 6), Asset("DAI@1", 18), Asset("EURC@1", 6), Asset("CENT@1", 0))
CURRENCIES = (Asset("UGX", 0), Asset("KES", 2), Asset("USD", 2), Asset("BHD", 3))
START = 10**24
"""Units of a coin that nobody can use up."""

prices = st.fractions(min_value=Fraction(1, 10_000), max_value=10_000, max_denominator=10_000)
costs = st.builds(Cost, fixed=st.integers(0, 10**4), ppm=st.integers(0, 999_999))


class Leg(NamedTuple):
    """One quote: what its price depends on, and whether the amount received is the one that is given."""

    token: Asset
    terms: Terms
    partner_bps: int
    network_fee: int
    by_receive: bool
    steps: int
    """Of the amount asked for, if so; else part of what is there, in millionths."""

    def price(self, held: int, mid: Rate) -> Breakdown:
        parts = {
            "mid": mid,
            "applied": mid.less_bps(self.terms.spread_bps),
            "terms": self.terms,
            "partner_bps": self.partner_bps,
            "network_fee": Money(self.network_fee, self.token),
        }
        if self.by_receive:
            return of_receive(Money(self.steps * self.terms.step.units, self.terms.currency), **parts)
        return of_send(Money(held * self.steps // 10**6, self.token), **parts)


@st.composite
def legs(draw) -> Leg:
    currency = draw(st.sampled_from(CURRENCIES))
    step = draw(st.sampled_from([1, 5, 100]))
    rail_charge = Schedule((Band(draw(st.integers(1, 10**6)), (draw(costs),)), Band(ENDLESS, (draw(costs),))))
    terms = Terms(
        country="KE",
        currency=currency,
        method=Method.BANK,
        spread_bps=draw(st.sampled_from([0, 0, 1, 50, 9_999])),
        fee=Money(draw(st.sampled_from([0, 0, 1, 3_000])), currency),
        least=Money(1, currency),
        most=Money(10**40, currency),
        step=Money(step, currency),
        rail_charge=rail_charge,
        pass_on_rail_fee=draw(st.booleans()),
    )
    return Leg(
        token=draw(st.sampled_from(TOKENS)),
        terms=terms,
        partner_bps=draw(st.sampled_from([0, 0, 1, 100, 9_999])),
        network_fee=draw(st.sampled_from([0, 0, 1, 10**5])),
        by_receive=draw(st.booleans()),
        steps=draw(st.integers(1, 10**6)),
    )


def back(money: Money, rate: Rate) -> int:
    """What somebody gets who gives the currency away at the middle rate: whole units of the coin."""
    return Rate(rate.quote, rate.base, rate.den, rate.num).floor(money).units


@given(
    path=st.lists(legs(), min_size=1, max_size=6),
    worth=st.fixed_dictionaries(dict.fromkeys((*TOKENS, *CURRENCIES), prices)),
)
def test_no_cycle_of_quotes_yields_a_profit(path, worth):
    """The partner is in league with the sender and hands his fee over; the market is there at its middle for everything."""

    def mid(base: Asset, quote: Asset) -> Rate:
        return Rate.per_whole(worth[base] / worth[quote], base=base, quote=quote)

    home = path[0].token
    token, held = home, START
    for leg in path:
        if leg.token != token:
            token, held = leg.token, mid(token, leg.token).floor(Money(held, token)).units
        rate = mid(token, leg.terms.currency)
        try:
            parts = leg.price(held, rate)
        except (BelowMinimum, AboveMaximum):
            continue
        if parts.send.units > held:
            continue
        held += back(parts.receive + parts.partner_fee, rate) - parts.send.units
    if token != home:
        held = mid(token, home).floor(Money(held, token)).units
    assert held <= START


@given(leg=legs(), price=prices, held=st.integers(1, START))
def test_a_single_quote_there_and_back_loses_at_least_what_we_and_the_rail_are_paid(leg, price, held):
    rate = Rate.per_whole(price, base=leg.token, quote=leg.terms.currency)
    try:
        parts = leg.price(held, rate)
    except (BelowMinimum, AboveMaximum):
        return
    charged = parts.fx_margin + parts.service_fee + parts.rail_fee + parts.network_fee
    assert back(parts.receive + parts.partner_fee + charged, rate) <= parts.send.units
