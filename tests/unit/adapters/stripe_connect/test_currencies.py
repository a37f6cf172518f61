"""Amounts as Stripe writes them, to the unit."""

from __future__ import annotations

import pytest

from adapters.stripe_connect.currencies import CURRENCIES, INSTANT, asset_of, from_wire, money_at, step_of, to_wire
from gateway.money import Money


@pytest.mark.parametrize(
    ("currency", "text", "written"),
    [
        ("USD", "12.50", 1250),
        ("KES", "100.00", 10000),
        ("JPY", "1250", 1250),
        ("RWF", "1250", 1250),
        ("XOF", "1250", 1250),
        ("UGX", "5000", 500000),  # no decimals by ISO, two at Stripe
        ("ISK", "5", 500),
        ("MGA", "20.00", 20),  # two decimals by ISO, none at Stripe
        ("KWD", "5.120", 5120),
        ("HUF", "10.00", 1000),
    ],
)
def test_an_amount_is_written_and_read_again(currency: str, text: str, written: int) -> None:
    money = Money.parse(text, asset_of(currency))
    assert money.floor_to(step_of(money.asset)) == money
    assert to_wire(money) == written
    assert from_wire(written, money.asset) == money


@pytest.mark.parametrize(
    ("currency", "step"),
    [("USD", "0.01"), ("HUF", "1.00"), ("TWD", "1.00"), ("KWD", "0.010"), ("MGA", "1.00"), ("UGX", "1")],
)
def test_the_smallest_step_is_what_stripe_pays_out(currency: str, step: str) -> None:
    assert step_of(asset_of(currency)).decimal() == step


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "1250", 10**40, [], 501])
def test_what_is_no_amount_is_none(value: object) -> None:
    assert from_wire(value, asset_of("UGX")) is None


@pytest.mark.parametrize("values", [{}, {"amount": 5}, {"amount": 5, "currency": ""}, {"amount": 5, "currency": 7}])
def test_an_object_without_amount_and_currency_has_none(values: dict[str, object]) -> None:
    assert money_at(values) is None


def test_cards_are_paid_where_the_currency_is_known() -> None:
    assert set(CURRENCIES) >= INSTANT
