from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money, Rate
from gateway.offramp import Method
from gateway.pricing.breakdown import AboveMaximum, BelowMinimum, NotPayable, of_receive, of_send
from gateway.pricing.observations import PRICE_LEAST, PRICE_MOST, PRICE_PARTS
from gateway.pricing.offer import Terms

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
    assert parts.margin == Money.parse("12.92", KES)
    assert parts.fee == Money.parse("30.00", KES)
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


markets = st.builds(
    lambda price, token, currency, bps, fee, step: (
        Rate.per_whole(price, base=token, quote=currency),
        Rate.per_whole(price, base=token, quote=currency).less_bps(bps),
        terms(currency=currency, fee=fee, least=step, most=HUGE, step=step),
    ),
    price=st.one_of(
        st.fractions(min_value=Fraction(1, 1000), max_value=50_000, max_denominator=10_000),
        st.fractions(min_value=PRICE_LEAST, max_value=PRICE_MOST, max_denominator=10**12),
    ),
    token=st.sampled_from([Asset("T@1", 6), Asset("T@1", 18)]),
    currency=st.sampled_from([Asset("UGX", 0), Asset("KES", 2), Asset("BHD", 3)]),
    bps=st.integers(0, 9_999),
    fee=st.integers(0, 10**9),
    step=st.sampled_from([1, 5, 10, 100, 1_000]),
)
extras = st.one_of(st.just(0), st.integers(0, 10**12), st.integers(0, 10**50))


def priced(extra: int, market):
    """What `extra` units beyond the least that can be sent bring."""
    mid, applied, corridor = market
    least = applied.ceil_base(corridor.least + corridor.fee)
    return of_send(Money(least.units + extra, mid.base), mid=mid, applied=applied, terms=corridor)


@given(extra=extras, market=markets)
def test_the_parts_add_up_exactly_and_none_is_negative(extra, market):
    parts = priced(extra, market)
    assert parts.value == parts.margin + parts.fee + parts.rounding + parts.receive
    assert min(parts.margin.units, parts.fee.units, parts.rounding.units, parts.receive.units - 1) >= 0
    assert parts.rounding < market[2].step
    assert parts.receive.units % market[2].step.units == 0


@given(extra=extras, market=markets)
def test_nobody_gets_more_than_the_coins_are_worth_at_mid_less_fee(extra, market):
    parts = priced(extra, market)
    assert parts.receive + parts.fee <= market[0].floor(parts.send)


@given(extra=extras, more=extras, market=markets)
def test_who_sends_more_never_gets_less(extra, more, market):
    assert priced(extra, market).receive <= priced(extra + more, market).receive


@given(steps=st.one_of(st.integers(1, 10**6), st.integers(1, 10**50)), market=markets)
def test_an_amount_asked_for_arrives_exactly_and_its_price_brings_the_same_amount_again(steps, market):
    mid, applied, corridor = market
    asked = Money(steps * corridor.step.units, corridor.currency)
    parts = of_receive(asked, mid=mid, applied=applied, terms=corridor)
    assert parts.receive == asked
    assert parts.value == parts.margin + parts.fee + parts.rounding + parts.receive
    assert min(parts.margin.units, parts.fee.units, parts.rounding.units) >= 0
    if applied.num <= corridor.step.units * applied.den:  # else the coin's smallest unit is worth more than a step
        assert of_send(parts.send, mid=mid, applied=applied, terms=corridor) == parts


@given(steps=st.integers(1, 10**9), market=markets)
def test_one_unit_less_would_not_bring_the_amount_asked_for(steps, market):
    mid, applied, corridor = market
    asked = Money(steps * corridor.step.units, corridor.currency)
    parts = of_receive(asked, mid=mid, applied=applied, terms=corridor)
    try:
        less = of_send(Money(parts.send.units - 1, mid.base), mid=mid, applied=applied, terms=corridor)
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
