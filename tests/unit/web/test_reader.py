from __future__ import annotations

from datetime import datetime, timedelta, timezone
from fractions import Fraction

import pytest

from gateway.money import Asset, Money, Rate
from gateway.orders.recipients import masked_name
from gateway.web.reader import Reader

KES, UGX, USDC, DAI = Asset("KES", 2), Asset("UGX", 0), Asset("USDC@8453", 6), Asset("DAI@1", 18)
READER = Reader()


@pytest.mark.parametrize(
    ("units", "asset", "shown", "plain"),
    [
        (1_299_950, KES, "12,999.50 KES", "12999.50"),
        (1_234_567, UGX, "1,234,567 UGX", "1234567"),
        (100_500_000, USDC, "100.50 USDC", "100.50"),
        (99_977_543, USDC, "99.977543 USDC", "99.977543"),
        (1, DAI, "0.000000000000000001 DAI", "0.000000000000000001"),
        (0, KES, "0.00 KES", "0.00"),
        (10**59 + 1, KES, "1" + ",000" * 19 + ".01 KES", "1" + "0" * 57 + ".01"),
    ],
)
def test_amounts_are_exact_in_both_ways_of_writing(units: int, asset: Asset, shown: str, plain: str) -> None:
    assert READER.money(Money(units, asset)) == shown
    assert READER.plain(Money(units, asset)) == plain
    assert Money.parse(plain, asset) == Money(units, asset)


def test_the_largest_amount_of_a_token_can_be_shown() -> None:
    assert READER.money(Money(2**256 - 1, UGX)).replace(",", "") == f"{2**256 - 1} UGX"


def test_a_rate_has_four_digits() -> None:
    rate = Rate.per_whole(Fraction(1292255, 10000), base=USDC, quote=KES)
    assert READER.rate(rate) == "129.2255 KES"


def test_other_languages_write_amounts_their_way() -> None:
    assert Reader("de-DE").money(Money(1_299_950, KES)) == "12.999,50 KES"
    assert Reader("hi-IN").money(Money(123_456_700, KES)) == "12,34,567.00 KES"
    assert Reader("ar-EG").direction == "rtl"


def test_moments_are_told_in_utc() -> None:
    nairobi = timezone(timedelta(hours=3))
    assert READER.moment(datetime(2026, 11, 22, 15, 4, 59, tzinfo=nairobi)) == "22 Nov, 12:04 UTC"


def test_places_have_names_and_unknown_ones_keep_their_code() -> None:
    assert READER.country("KE") == "Kenya"
    assert READER.country("XX") == "XX"
    assert READER.chain("base") == "Base"
    assert READER.chain("bnb-chain") == "Bnb chain"


def test_a_name_is_masked_but_for_its_first_word() -> None:
    assert masked_name("Wanjiku Nyambura Mwangi") == "Wanjiku N M"
    assert masked_name("Wanjiku") == "Wanjiku"
    assert masked_name("") == ""
    assert len(masked_name("x" * 100)) == 30


def test_accounts_are_grouped_for_the_eye() -> None:
    assert READER.account("+254712345678") == "+254 712 345678"
    assert READER.account("032180000118359719") == "032180000118359719"
    assert READER.mobile_example("KE") == "+254 712 123456"
    assert READER.mobile_example("XX") == ""
