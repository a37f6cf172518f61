"""Money: exact, of one asset, rounded in a named direction."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, AssetMismatch, Money, MoneyError, Rate, decimal_of

KES, UGX, USDC, BNB_USDC = Asset("KES", 2), Asset("UGX", 0), Asset("USDC@8453", 6), Asset("USDC@56", 18)
assets = st.sampled_from([KES, UGX, USDC, BNB_USDC])
units = st.integers(0, 2**256 - 1)
prices = st.fractions(min_value=Fraction(1, 10**6), max_value=10**6, max_denominator=10**6)


@given(units, assets)
def test_what_is_written_is_read_again(number, asset):
    if number < 10**60:
        assert Money.parse(Money(number, asset).decimal(), asset) == Money(number, asset)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1e5",
            "-1",
            "+1",
            "NaN",
            "Infinity",
            "1_000",
            "1,000",
            "1.000,50",
            "",
            " ",
            " 1",
            "1 ",
            "1\n",
            ".5",
            "5.",
            "0x10",
        ),
        *("٣", "１", "1.٥", "0.1234567", "00", "01", "1" * 61, "0" * 5000, "½", "1\u200b", "--1", "1.1.1", "$5"),
    ],
)
def test_what_is_no_amount_is_refused_with_a_sentence(text):
    with pytest.raises(MoneyError) as refusal:
        Money.parse(text, USDC)
    assert len(str(refusal.value)) < 250
    assert "\n" not in str(refusal.value)


@given(st.text(max_size=20))
def test_any_text_is_read_exactly_or_refused(text):
    try:
        money = Money.parse(text, KES)
    except MoneyError:
        return
    assert Fraction(text) == Fraction(money.units, 100)


@given(units, prices, st.integers(0, 9_999))
def test_the_rate_gives_at_most_and_charges_at_least(number, price, spread):
    rate = Rate.per_whole(price, base=USDC, quote=KES).less_bps(spread)
    exact = Fraction(number * rate.num, rate.den)
    delivered = rate.floor(Money(number, USDC)).units
    assert exact - 1 < delivered <= exact
    charged = rate.ceil_base(Money(number, KES))
    assert rate.floor(charged).units >= number
    assert not charged.units or rate.floor(Money(charged.units - 1, USDC)).units < number


@given(prices)
def test_a_rate_tells_its_price_again(price):
    assert Rate.per_whole(price, base=BNB_USDC, quote=UGX).whole() == price


@given(units, st.integers(1, 10**6))
def test_steps_are_floors_and_ceilings(number, step):
    money, pace = Money(number, KES), Money(step, KES)
    assert money.floor_to(pace) <= money <= money.ceil_to(pace)
    assert money.ceil_to(pace).units - money.floor_to(pace).units in (0, step)


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_percentage_is_never_shown_too_small(part, whole):
    shown = Fraction(Money(part, KES).percent_of(Money(whole, KES)))
    assert 0 <= shown - Fraction(part * 100, whole) < Fraction(1, 100)


@pytest.mark.parametrize("act", [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a < b, lambda a, b: a <= b])
def test_assets_do_not_mix(act):
    with pytest.raises(AssetMismatch):
        act(Money(1, KES), Money(1, USDC))
    with pytest.raises(AssetMismatch):
        Rate(USDC, KES, 1, 1).floor(Money(1, KES))


def test_amounts_are_written_with_all_their_digits():
    assert Money(5, USDC).decimal() == "0.000005"
    assert Money(-5, KES).decimal() == "-0.05"
    assert Money(5, UGX).decimal() == "5"
    assert str(Money(1050, KES)) == "10.50 KES"
    assert str(Money(1_000_000, USDC)) == "1.000000 USDC"
    assert decimal_of(Fraction(2, 3), digits=4) == "0.6666"
