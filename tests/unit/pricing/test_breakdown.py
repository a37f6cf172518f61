from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money, Rate
from gateway.offramp import Method
from gateway.pricing.breakdown import AboveMaximum, BelowMinimum, Breakdown, NotPayable, of_receive, of_send
from gateway.pricing.observations import PRICE_LEAST, PRICE_MOST, PRICE_PARTS
from gateway.pricing.offer import Terms
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Schedule

USDC = Asset("USDC@31337", 6)
KES = Asset("KES", 2)
HUGE = 10**60
MID = Rate.per_whole(Fraction("129.2"), base=USDC, quote=KES)
APPLIED = MID.less_bps(100)


def terms(*, currency: Asset = KES, fee: int = 3_000, least: int = 1_000, most: int = 25_000_000, step: int = 100) -> Terms:
    return Terms(
        country="KE",
        currency=currency,
        method=Method.MOBILE_MONEY,
        spread_bps=0,
        fee=Money(fee, currency),
        least=Money(least, currency),
        most=Money(most, currency),
        step=Money(step, currency),
    )


def sent(text: str, **changes: int):
    return of_send(Money.parse(text, USDC), mid=MID, applied=APPLIED, terms=terms(**changes))


def received(text: str, **changes: int):
    return of_receive(Money.parse(text, KES), mid=MID, applied=APPLIED, terms=terms(**changes))


def test_ten_dollars_become_1249_shillings_and_every_cent_is_accounted_for():
    parts = sent("10")
    assert parts.value == Money.parse("1292.00", KES)
    assert parts.fx_margin == Money.parse("12.92", KES)
    assert parts.service_fee == Money.parse("30.00", KES)
    assert parts.rounding == Money.parse("0.08", KES)
    assert parts.receive == Money.parse("1249.00", KES)
    assert parts.cost_percent == "3.33"


def test_asking_for_1249_shillings_costs_the_least_that_brings_them():
    parts = received("1249")
    assert parts.send == Money.parse("9.999375", USDC)
    assert parts.receive == Money.parse("1249.00", KES)
    assert of_send(parts.send, mid=MID, applied=APPLIED, terms=terms()) == parts
    one_less = Money(parts.send.units - 1, USDC)
    assert of_send(one_less, mid=MID, applied=APPLIED, terms=terms()).receive == Money.parse("1248.00", KES)


def test_less_than_the_minimum_is_refused_with_what_would_be_enough():
    with pytest.raises(BelowMinimum) as refused:
        sent("0.3")
    assert str(refused.value) == "The recipient has to get at least 10.00 KES: send at least 0.312725 USDC."
    assert (refused.value.code, refused.value.field) == ("below_minimum", "send.amount")
    assert sent("0.312725").receive == Money.parse("10.00", KES)


def test_what_the_fee_eats_is_below_the_minimum():
    with pytest.raises(BelowMinimum):
        sent("0.000001")


def test_more_than_the_maximum_is_refused_with_what_would_do():
    with pytest.raises(AboveMaximum) as refused:
        sent("1" + "0" * 59)
    assert str(refused.value) == "The recipient can get at most 250000.00 KES at once: send at most 1954.764362 USDC."
    assert (refused.value.code, refused.value.field) == ("above_maximum", "send.amount")
    assert sent("1954.764362").receive == Money.parse("250000.00", KES)


@pytest.mark.parametrize(("asked", "error"), [("9.99", BelowMinimum), ("250000.01", AboveMaximum)])
def test_the_limits_hold_for_the_amount_asked_for_too(asked, error):
    with pytest.raises(error) as refused:
        received(asked)
    assert refused.value.field == "receive.amount"


@pytest.mark.parametrize("asked", ["10", "250000"])
def test_both_limits_are_payable(asked):
    assert received(asked).receive == Money.parse(asked, KES)


def test_between_two_payable_amounts_both_are_named():
    with pytest.raises(NotPayable) as refused:
        received("1249.50")
    assert (
        str(refused.value) == "1249.50 KES can't be paid out exactly. The nearest amounts are 1249.00 KES and 1250.00 KES."
    )
    assert (refused.value.code, refused.value.field) == ("not_payable", "receive.amount")


def test_limits_between_two_payable_amounts_are_drawn_in():
    with pytest.raises(BelowMinimum, match=r"at least 11\.00 KES"):
        received("10.50", least=1_050)
    with pytest.raises(AboveMaximum, match=r"at most 99\.00 KES"):
        received("99.50", most=9_950)


def test_nothing_is_never_a_payout():
    with pytest.raises(BelowMinimum):
        sent("0.000001", fee=0, least=0)


def test_what_a_coarse_coin_brings_too_much_is_rounding():
    coarse = Asset("CENT@1", 0)
    mid = Rate.per_whole(Fraction(7), base=coarse, quote=KES)
    parts = of_receive(Money(1_000, KES), mid=mid, applied=mid, terms=terms(fee=0))
    assert (parts.send.units, parts.receive.units, parts.rounding.units) == (2, 1_000, 400)


def test_each_fee_is_a_part_of_its_own_and_what_the_recipient_pays_for_cash_stands_beside_the_sum():
    priced = replace(
        terms(), rail_charge=flat(1_300), pass_on_rail_fee=True, cash_out=Schedule((Band(ENDLESS, (Cost(2_900, 5_000),)),))
    )
    cent = Money.parse("0.05", USDC)
    parts = of_send(Money.parse("10", USDC), mid=MID, applied=APPLIED, terms=priced, partner_bps=50, network_fee=cent)
    assert [(fee.kind, str(fee.amount)) for fee in parts.fees] == [
        ("fx_margin", "12.92 KES"),
        ("service_fee", "30.00 KES"),
        ("partner_fee", "6.40 KES"),  # 0.5 % of 1279.08, rounded up
        ("rail_fee", "13.00 KES"),
        ("network_fee", "6.46 KES"),
        ("rounding", "0.22 KES"),
    ]
    assert (str(parts.receive), str(parts.cash_out), str(parts.in_hand)) == ("1223.00 KES", "35.12 KES", "1187.88 KES")
    assert (str(parts.cost), parts.cost_percent) == ("104.12 KES", "8.06")


def test_what_isn_t_passed_on_costs_nothing_extra():
    assert of_send(
        Money.parse("10", USDC), mid=MID, applied=APPLIED, terms=replace(terms(), rail_charge=flat(1_300))
    ) == sent("10")


def test_cash_can_cost_no_more_than_there_is():
    parts = of_send(Money.parse("1", USDC), mid=MID, applied=APPLIED, terms=replace(terms(), cash_out=flat(10**9)))
    assert (parts.in_hand.units, parts.cash_out) == (0, parts.receive)
    assert (parts.cost_percent, parts.within_sdg) == ("100.00", False)


@pytest.mark.parametrize(
    ("fee", "percent", "within"), [(3_000, "3.00", True), (3_001, "3.01", False), (2_999, "3.00", True)]
)
def test_three_percent_are_within_the_target_and_what_is_shown_says_the_same(fee, percent, within):
    whole = Rate.per_whole(Fraction(1), base=USDC, quote=KES)
    parts = of_send(Money.parse("1000", USDC), mid=whole, applied=whole, terms=terms(fee=fee, step=1))
    assert (parts.cost_percent, parts.within_sdg) == (percent, within)


def flat(units: int) -> Schedule:
    return Schedule((Band(ENDLESS, (Cost(units),)),))


class Market(NamedTuple):
    """All that a price depends on but the amount."""

    mid: Rate
    applied: Rate
    terms: Terms
    partner_bps: int
    network_fee: Money | None

    def of_send(self, send: Money) -> Breakdown:
        return of_send(send, **self._asdict())

    def of_receive(self, receive: Money) -> Breakdown:
        return of_receive(receive, **self._asdict())

    def reaches(self, steps: int) -> Money:
        return Money(steps * self.terms.step.units, self.terms.currency)


costs = st.builds(
    Cost, fixed=st.one_of(st.just(0), st.integers(0, 10**6)), ppm=st.one_of(st.just(0), st.integers(0, 999_999))
)
schedules = st.builds(
    lambda ends, each: Schedule(
        tuple(Band(end, (cost,)) for end, cost in zip([*sorted(ends), ENDLESS], each, strict=False))
    ),
    ends=st.sets(st.integers(1, 10**7), max_size=3),
    each=st.lists(costs, min_size=4, max_size=4),
)


@st.composite
def markets(draw, *, rising=False) -> Market:
    """`rising`: with a rail that never takes less for more."""
    token = draw(st.sampled_from([Asset("T@1", 6), Asset("T@1", 18)]))
    currency = draw(st.sampled_from([Asset("UGX", 0), Asset("KES", 2), Asset("BHD", 3)]))
    price = draw(
        st.one_of(
            st.fractions(min_value=Fraction(1, 1000), max_value=50_000, max_denominator=10_000),
            st.fractions(min_value=PRICE_LEAST, max_value=PRICE_MOST, max_denominator=10**12),
        )
    )
    mid = Rate.per_whole(price, base=token, quote=currency)
    step = draw(st.sampled_from([1, 5, 10, 100, 1_000]))
    corridor = replace(
        terms(currency=currency, fee=draw(st.integers(0, 10**9)), least=step, most=HUGE, step=step),
        rail_charge=Schedule((Band(ENDLESS, (draw(costs),)),)) if rising else draw(schedules),
        pass_on_rail_fee=draw(st.booleans()),
        cash_out=draw(schedules),
    )
    return Market(
        mid=mid,
        applied=mid.less_bps(draw(st.integers(0, 9_999))),
        terms=corridor,
        partner_bps=draw(st.one_of(st.just(0), st.integers(0, 9_999))),
        network_fee=draw(st.one_of(st.none(), st.builds(Money, st.integers(1, 10**9), st.just(token)))),
    )


extras = st.one_of(st.just(0), st.integers(0, 10**12), st.integers(0, 10**50))
reaches = st.one_of(st.integers(1, 10**6), st.integers(1, 10**50))


def priced(extra: int, market: Market) -> Breakdown:
    """What `extra` units beyond the least that can be sent bring."""
    least = market.of_receive(market.terms.least).send
    return market.of_send(Money(least.units + extra, market.mid.base))


def adds_up(parts: Breakdown) -> bool:
    return (
        parts.value == sum((fee.amount for fee in parts.fees), start=parts.receive)
        and parts.value == parts.cost + parts.in_hand
    )


@given(extra=extras, market=markets())
def test_the_parts_add_up_exactly_and_none_is_negative(extra, market):
    parts = priced(extra, market)
    assert adds_up(parts)
    assert min(fee.amount.units for fee in parts.fees) >= 0
    assert 0 <= parts.cash_out.units <= parts.receive.units
    assert parts.receive.units > 0
    assert not parts.receive.units % market.terms.step.units


@given(extra=extras, market=markets())
def test_no_more_could_have_been_paid_out(extra, market):
    parts, step, rail_fee = priced(extra, market), market.terms.step.units, market.terms.rail_fee
    more = parts.receive.units + step
    assert parts.rounding.units < step + rail_fee.of(more) - rail_fee.of(parts.receive.units)


@given(extra=extras, market=markets(rising=True))
def test_the_rounding_is_less_than_a_step_and_what_the_rail_takes_of_one(extra, market):
    step = market.terms.step.units
    assert priced(extra, market).rounding.units < 2 * step + 1


@given(extra=extras, market=markets())
def test_nobody_gets_more_than_the_coins_are_worth_at_mid_less_all_fees(extra, market):
    parts = priced(extra, market)
    charged = parts.service_fee + parts.partner_fee + parts.rail_fee + parts.network_fee
    assert parts.receive + charged <= market.mid.floor(parts.send)


@given(extra=extras, more=extras, market=markets())
def test_who_sends_more_never_gets_less(extra, more, market):
    assert priced(extra, market).receive <= priced(extra + more, market).receive


@given(steps=reaches, market=markets())
def test_an_amount_asked_for_arrives_exactly_and_its_price_brings_at_least_that_again(steps, market):
    asked = market.reaches(steps)
    parts = market.of_receive(asked)
    assert parts.receive == asked
    assert adds_up(parts)
    assert min(fee.amount.units for fee in parts.fees) >= 0
    assert asked <= market.of_send(parts.send).receive


@given(steps=reaches, market=markets(rising=True))
def test_where_more_never_costs_less_both_sides_give_the_same_quote(steps, market):
    parts = market.of_receive(market.reaches(steps))
    if market.applied.num <= market.applied.den:  # else the coin's smallest unit is worth more than the currency's
        assert market.of_send(parts.send) == parts


@given(steps=st.integers(1, 10**9), market=markets(rising=True))
def test_one_unit_less_would_not_bring_the_amount_asked_for(steps, market):
    asked = market.reaches(steps)
    parts = market.of_receive(asked)
    try:
        less = market.of_send(Money(parts.send.units - 1, market.mid.base))
    except BelowMinimum:
        return
    assert less.receive < asked


@given(
    parts=st.tuples(*[st.integers(PRICE_PARTS // 10**12, PRICE_PARTS * 10**12)] * 2),
    send=st.integers(0, 36),
    receive=st.integers(0, 36),
    bps=st.integers(0, 9_999),
)
def test_every_rate_made_of_two_prices_fits_the_database(parts, send, receive, bps):
    price = (Fraction(parts[0], PRICE_PARTS) + Fraction(parts[1], PRICE_PARTS)) / 2
    rate = Rate.per_whole(price, base=Asset("A@1", send), quote=Asset("B", receive)).less_bps(bps)
    assert 0 < rate.num < 10**78
    assert 0 < rate.den < 10**78
