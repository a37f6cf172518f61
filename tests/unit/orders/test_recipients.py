"""Recipients: names and numbers are checked before an order exists."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.orders.recipients import (
    BadRecipient,
    GivenWay,
    MethodNotOffered,
    SameWayTwice,
    TooManyWays,
    Way,
    masked,
    methods_offered,
    read_recipient,
    read_ways,
)
from gateway.pricing.offer import Offer, PricingRules, Terms


def read(account="+254712345678", name="Wanjiku Kamau", country="KE"):
    return read_recipient(name=name, account=account, country=country, method=Method.MOBILE_MONEY)


@pytest.mark.parametrize("text", ["+254712345678", "0712345678", "0712 345 678", "254712345678", "+254 (712) 345-678"])
def test_a_mobile_number_is_read_however_it_is_written(text):
    assert read(text).account == "+254712345678"


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "12345", "+254", "0712", "07123456789", "+44 7911 123456", "+254 20 2222222", "٠٧١٢٣٤٥٦٧٨"),
        *("+254712345678;ext=5", "0712345678 x9", "0" * 300, "+254712345678\x00"),
    ],
)
def test_another_number_is_refused_with_an_example(text):
    with pytest.raises(BadRecipient, match=r"Write it like \+254"):
        read(text)


@pytest.mark.parametrize("name", ["", "   ", "123", "x" * 101, "A\x00B", "A\u202eB", "\n"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(BadRecipient) as refusal:
        read(name=name)
    assert refusal.value.field == "name"


def test_names_of_the_world_pass():
    for name in ("José Ñandú", "Nguyễn Văn A", "O'Brien-Smith", "محمد", "李"):
        assert read(name=f"  {name} ").name == name


def test_neither_name_nor_number_shows():
    recipient = read()
    assert "Wanjiku" not in repr(recipient)
    assert "712" not in repr(recipient)
    assert masked(recipient.account) == "••••••••••678"


def terms(method=Method.MOBILE_MONEY, *, country="KE", most=250_000):
    return Terms(
        country=country,
        currency=KES,
        method=method,
        spread_bps=0,
        fee=Money(0, KES),
        least=Money(1_000, KES),
        most=Money(most * 100, KES),
        step=Money(100, KES),
    )


def offer(*corridors):
    return Offer(
        tokens={},
        corridors={(one.country, one.currency.code, one.method): one for one in corridors},
        rules=PricingRules(max_age=HOUR, max_spread_bps=1, min_sources=1, quote_ttl=HOUR),
    )


KES, HOUR = Asset("KES", 2), timedelta(hours=1)
FIRST = Way(method=Method.MOBILE_MONEY, account="+254712345678")
OFFER = offer(terms(), terms(Method.BANK), terms(Method.CASH, country="UG"))


def ways(*given, offer=OFFER, units=124_900):
    return read_ways([GivenWay(*each) for each in given], first=FIRST, country="KE", receive=Money(units, KES), offer=offer)


def test_other_ways_are_read_in_their_order():
    assert ways() == ()
    found = ways(("mobile_money", "0722 000 111"), ("mobile_money", "+254 733 111222"))
    assert [way.account for way in found] == ["+254722000111", "+254733111222"]
    assert "722" not in repr(found)


@pytest.mark.parametrize("given", [["0712 345 678"], ["0722000111", "254722000111"]])
def test_a_way_given_twice_is_refused_at_its_place(given):
    with pytest.raises(SameWayTwice) as refusal:
        ways(*(("mobile_money", account) for account in given))
    assert refusal.value.field == f"recipient.alternatives.{len(given) - 1}"


@pytest.mark.parametrize("method", ["cash", "card", "", "Mobile_Money", "pigeon"])
def test_a_method_is_one_that_keeps_the_promise_and_whose_accounts_we_can_check(method):
    with pytest.raises(MethodNotOffered, match="Possible: mobile_money") as refusal:
        ways(("mobile_money", "0722000111"), (method, "1"))
    assert refusal.value.field == "recipient.alternatives.1.method"


@pytest.mark.parametrize("units", [900, 25_000_100, 124_950])
def test_an_amount_that_the_corridor_does_not_take_is_not_promised_by_it(units):
    assert methods_offered(OFFER, country="KE", receive=Money(units, KES)) == []
    with pytest.raises(MethodNotOffered, match="Possible: none"):
        ways(("mobile_money", "0722000111"), units=units)


def test_the_same_method_elsewhere_or_in_another_currency_is_another_promise():
    for other in (terms(country="UG"), replace(terms(), currency=Asset("USD", 2))):
        with pytest.raises(MethodNotOffered):
            ways(("mobile_money", "0722000111"), offer=offer(other))


def test_there_are_at_most_five_other_ways():
    given = [("mobile_money", f"07220001{number:02}") for number in range(6)]
    assert len(ways(*given[:5])) == 5
    with pytest.raises(TooManyWays):
        ways(*given)
