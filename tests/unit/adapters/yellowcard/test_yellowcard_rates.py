from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from adapters.yellowcard.adapter import _rate

DOCUMENTED = {
    "buy": 130.1, "sell": "129.25", "locale": "KE", "rateId": "kenyan-shilling", "code": "KES",
    "updatedAt": "2026-11-23T09:00:00.000Z",
}  # fmt: skip


def test_a_payout_gets_the_rate_at_which_dollars_are_sold():
    rate = _rate(DOCUMENTED)
    assert (rate.base, rate.quote, rate.price) == ("USD", "KES", Fraction("129.25"))
    assert rate.as_of == datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong", [{"sell": 0}, {"sell": -1}, {"sell": "NaN"}, {"sell": None}, {"updatedAt": None}, {"updatedAt": "2026-11-23"}]
)
def test_what_is_no_price_or_has_no_time_is_left_out(wrong):
    assert _rate({**DOCUMENTED, **wrong}) is None
