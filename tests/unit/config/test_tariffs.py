# ruff: noqa: E501 - the sentences stand as their readers see them
from __future__ import annotations

import pytest

from gateway.config import parse
from gateway.money import Asset, Money

PHONE = {
    "currency": "KES",
    "rail": "mpesa",
    "country": "KE",
    "method": "mobile_money",
    "institution": "mpesa",
    "charge": [{"up_to": "1000", "fixed": "5"}, {"fixed": "9.50", "percent": "0.1"}],
    "cash_out": [{"up_to": "49"}, {"up_to": "100", "fixed": "11"}],
}


def band(**changes: str) -> dict[str, str]:
    return {"fixed": "1", **changes}


def test_a_tariff_is_read_as_it_stands(tree):
    (tariff,) = parse(tree=tree.changed("tariffs", [PHONE])).tariffs
    assert (tariff.asset, tariff.rail, tariff.institution) == (Asset("KES", 2), "mpesa", "mpesa")
    assert [(one.up_to, one.fixed, one.ppm) for one in tariff.charge] == [("1000", "5", 0), (None, "9.50", 1_000)]
    assert [(one.up_to, one.fixed, one.ppm) for one in tariff.cash_out] == [("49", "0", 0), ("100", "11", 0)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"charge": []}, 'tariffs[0].charge: a list is wrong; give a list of bands, as in [{ up_to = "1000", fixed = "5" }, { fixed = "9", percent = "0.1" }]'),
        ({"charge": [band(), band()]}, "tariffs[0].charge: band 1 has no up_to, so band 2 is never reached; only the last band may leave it out"),
        ({"charge": [band(up_to="10"), band(up_to="10.00")]}, "tariffs[0].charge: band 2 ends at 10.00, not above band 1, which ends at 10; give the bands from the smallest amounts to the largest, each with an up_to above the one before"),
        ({"charge": [band(up_to="500"), band(up_to="50"), band()]}, "tariffs[0].charge: band 2 ends at 50, not above band 1, which ends at 500; give the bands from the smallest amounts to the largest, each with an up_to above the one before"),
        ({"cash_out": [band(up_to="0")]}, "tariffs[0].cash_out: band 1: up_to is 0, so no amount is in it; give more, or leave the band out"),
        ({"cash_out": [band(), band(percent="100")]}, 'tariffs[0].cash_out: band 2: a share of 100 % takes everything; give less than "100"'),
        ({"cash_out": [band(fixed="1.005")]}, 'tariffs[0].cash_out: band 1: "1.005" has too many digits: KES has at most 2 after the point.'),
        ({"cash_out": [band(upto="5")]}, 'tariffs[0].cash_out[0].upto: unknown key; did you mean "up_to"?'),
        ({"cash_out": [{"fixed": 5}]}, 'tariffs[0].cash_out[0].fixed: 5 is wrong; give an amount of the tariff\'s currency in quotes, as in "13"'),
        ({"method": "pigeon"}, 'tariffs[0].method: "pigeon" is wrong; give one of mobile_money, bank, card, cash, exchange'),
    ],
)  # fmt: skip
def test_each_mistake_gets_one_sentence_that_says_what_would_be_right(tree, complaints, changes, sentence):
    assert complaints(tree.changed("tariffs", [PHONE | changes])) == [sentence]


def test_a_tariff_says_something(tree, complaints):
    assert complaints(tree.changed("tariffs", [{"currency": "KES"}])) == [
        "tariffs[0]: says nothing; give charge, cash_out or both"
    ]


def test_the_same_payments_cost_one_thing(tree, complaints):
    again = {key: PHONE[key] for key in PHONE if key != "cash_out"}
    assert complaints(tree.changed("tariffs", [PHONE, {**PHONE, "rail": "other"}, again])) == [
        'tariffs[2].charge: "mpesa KE KES mobile_money mpesa" stands at tariffs[0].charge too; one tariff says what the same payments cost'
    ]


@pytest.mark.parametrize(("fee", "units"), [("0.05", 50_000), ("0", None)])
def test_a_chains_fee_counts_in_each_of_its_coins(tree, fee, units):
    chain = parse(tree=tree.changed("chains.0.network_fee", fee)).chains[0]
    found = chain.network_fee_of(token=chain.tokens[0])
    assert found == (None if units is None else Money(units, Asset("USDC@8453", 6)))


def test_a_chains_fee_has_no_more_digits_than_its_coins(tree, complaints):
    (said,) = complaints(tree.changed("chains.0.network_fee", "0.0000001"))
    assert said == 'chains[0].network_fee: "0.0000001" has too many digits: USDC has at most 6 after the point.'
