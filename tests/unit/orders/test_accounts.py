"""Accounts are checked by method and country before an order exists; institutions are named where there are several."""

from __future__ import annotations

import pytest

from gateway.offramp import Institution, Method
from gateway.orders.accounts import BadRecipient, read_account, read_institution

MTN, AIRTEL = Institution("mtn", "MTN MoMo"), Institution("airtel", "Airtel Money")


@pytest.mark.parametrize(
    ("method", "country", "given", "right"),
    [
        (Method.CASH, "KE", "0712 345 678", "+254712345678"),
        (Method.BANK, "MX", "646180 1104 12345679", "646180110412345679"),
        (Method.BANK, "DE", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        (Method.BANK, "NG", "0690000033", "0690000033"),
        (Method.BANK, "US", "acct_1AbC/ba_1XyZ", "acct_1AbC/ba_1XyZ"),
        (Method.CARD, "US", "acct_1AbC/card_1XyZ", "acct_1AbC/card_1XyZ"),
        (Method.EXCHANGE, "PH", "juan@example.com", "juan@example.com"),
    ],
)
def test_an_account_is_written_as_the_rails_want_it(method, country, given, right):
    assert read_account(given, country=country, method=method) == right


@pytest.mark.parametrize(
    ("method", "country", "given"),
    [
        (Method.BANK, "MX", "646180110412345670"),  # a wrong check digit
        (Method.BANK, "MX", "64618011041234567"),
        (Method.BANK, "DE", "DE89370400440532013001"),
        (Method.BANK, "FR", "DE89370400440532013000"),
        (Method.BANK, "NG", "069000003"),
        (Method.BANK, "NG", "٠٦٩٠٠٠٠٠٣٣"),
        (Method.CARD, "US", "4242424242424242"),
        (Method.EXCHANGE, "PH", "two words"),
        (Method.EXCHANGE, "PH", ""),
        (Method.CASH, "KE", "+14155552671"),
    ],
)
def test_an_account_that_cannot_be_right_is_refused_and_never_repeated(method, country, given):
    with pytest.raises(BadRecipient) as refused:
        read_account(given, country=country, method=method)
    assert not given or given not in str(refused.value)


def test_an_institution_is_named_by_code_or_name_where_there_are_several():
    assert read_institution("MTN", institutions=[MTN, AIRTEL]) == "mtn"
    assert read_institution(" airtel money ", institutions=[MTN, AIRTEL]) == "airtel"
    for missing in (None, "", "orange"):
        with pytest.raises(BadRecipient, match=r"one of: mtn \(MTN MoMo\), airtel"):
            read_institution(missing, institutions=[MTN, AIRTEL])


def test_the_only_institution_needs_no_naming_and_none_is_taken_where_there_is_none():
    assert read_institution(None, institutions=[MTN]) == "mtn"
    assert read_institution(None, institutions=[]) is None
    with pytest.raises(BadRecipient, match="by itself"):
        read_institution("mtn", institutions=[])
