"""What Paycrest's words mean, and what its settings have to be."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.paycrest.codes import CODES, Place, error_meaning, order_meaning
from adapters.paycrest.countries import COUNTRIES, corridors, institution
from adapters.paycrest.settings import PaycrestSettings
from gateway.offramp import BadSettings, Fault, Method, Resend
from gateway.railkit.meanings import UNLISTED, Kind

from .conftest import make

STATUSES = "initiated deposited pending fulfilling fulfilled validated settling settled cancelled refunding refunded expired"


@pytest.mark.parametrize("place", [Place.ORDER, Place.FUNDED])
def test_every_documented_status_is_in_the_table_before_and_after_funding(place: Place) -> None:
    assert sorted(word for where, word in CODES if where is place) == sorted(STATUSES.split())


@pytest.mark.parametrize("means", CODES.values())
def test_a_failure_says_whose_fault_it_is(means) -> None:
    assert (means.fault is not None) == (means.kind in (Kind.FAILED, Kind.NOT_PROCESSED))


def test_once_coins_were_sent_only_a_refund_is_a_failure() -> None:
    failed = [word for (place, word), means in CODES.items() if place is Place.FUNDED and means.kind is Kind.FAILED]
    assert failed == ["refunded"]


def test_only_a_delivery_that_is_confirmed_means_paid() -> None:
    paid = [word for (place, word), means in CODES.items() if place is Place.FUNDED and means.kind is Kind.PAID]
    assert paid == ["validated", "settling", "settled"]


@pytest.mark.parametrize("place", [Place.ORDER, Place.FUNDED])
@pytest.mark.parametrize("word", ["", "Settled", "otc_pending", "PROCESSING2"])
def test_an_unlisted_status_is_ambiguous(place: Place, word: str) -> None:
    assert order_meaning(place, word) is UNLISTED


@pytest.mark.parametrize(
    ("status", "field", "kind", "fault"),
    [
        (400, "Reference", Kind.DUPLICATE, None),
        (409, None, Kind.DUPLICATE, None),
        (400, "Recipient", Kind.NOT_PROCESSED, Fault.RECIPIENT),
        (400, "Rate", Kind.NOT_PROCESSED, Fault.TRANSIENT),
        (400, "Token", Kind.NOT_PROCESSED, Fault.RAIL),
        (422, "Anything", Kind.NOT_PROCESSED, Fault.RECIPIENT),
        (401, "Reference", Kind.NOT_PROCESSED, Fault.RAIL),
        (503, None, Kind.NOT_PROCESSED, Fault.TRANSIENT),
        (429, None, Kind.NOT_PROCESSED, Fault.TRANSIENT),
        (500, "Reference", Kind.AMBIGUOUS, None),
        (502, None, Kind.AMBIGUOUS, None),
        (404, None, Kind.AMBIGUOUS, None),
    ],
)
def test_an_error_is_read_by_the_field_it_names_or_by_its_http_status(status, field, kind, fault) -> None:
    means = error_meaning(status, field)
    assert (means.kind, means.fault) == (kind, fault)


@pytest.mark.parametrize(
    ("key", "wrong", "sentence"),
    [
        ("api_key", "", "API key"),
        ("api_secret", " ", "API secret"),
        ("network", "tron", "one of ethereum, base"),
        ("token", "DAI", "USDC or USDT"),
        ("token_contract", "0x12", "address"),
        ("refund_address", "0x" + "0" * 40, "an address of ours"),
        ("token_decimals", 2, "decimals"),
        ("countries", ["FR"], "a list of some of NG, KE"),
        ("limits", {"KE": [9, 1]}, "least and greatest"),
        ("least_rates", {"KES": "-1"}, "the least currency for one coin"),
        ("least_rates", {"KES": "1e9"}, "the least currency for one coin"),
        ("fee_most", "lots", "the most coins of fees"),
        ("memo", "", "narration"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence(settings, key, wrong, sentence) -> None:
    with pytest.raises(BadSettings) as refused:
        make({**settings, key: wrong})
    assert sentence in refused.value.problems[key]


@pytest.mark.parametrize("key", ["api_key", "api_secret", "token_contract", "refund_address"])
def test_nothing_secret_and_no_address_has_a_default(settings: dict[str, Any], key: str) -> None:
    del settings[key]
    with pytest.raises(BadSettings):
        make(settings)


def test_secrets_show_in_no_repr(settings: dict[str, Any]) -> None:
    adapter = make(settings)
    assert "canary" not in repr(PaycrestSettings.read(settings)) + repr(adapter) + repr(vars(adapter))


def test_it_pays_whole_units_in_three_legs(settings: dict[str, Any]) -> None:
    adapter = make(settings)
    assert {each.asset.code: each.step.decimal() for each in adapter.capabilities.corridors} == {
        "NGN": "1.00", "KES": "1.00", "GHS": "1.00", "UGX": "1", "TZS": "1.00", "MWK": "1.00",
    }  # fmt: skip
    assert adapter.capabilities.resend is Resend.DEDUPED
    plans = [(each.name, each.resend, each.on_chain) for each in adapter.legs]
    assert plans == [
        ("order", Resend.DEDUPED, False),
        ("fund", Resend.FINDABLE, True),
        ("deliver", Resend.FINDABLE, False),
    ]


def test_institutions_are_ours_and_become_paycrests() -> None:
    assert institution("KE", Method.MOBILE_MONEY, "mpesa", {}) == "SAFAKEPC"
    assert institution("NG", Method.BANK, "058", {}) == "GTBINGLA"
    assert institution("KE", Method.MOBILE_MONEY, "mpesa", {"KE:mpesa": "NEWCKEPC"}) == "NEWCKEPC"
    assert institution("KE", Method.BANK, "mpesa", {}) is None
    assert institution("FR", Method.BANK, "mpesa", {}) is None
    theirs = [known.theirs for place in COUNTRIES.values() for known in (*place.banks, *place.wallets)]
    assert all(len(each) in (7, 8) for each in theirs)
    assert len(set(theirs)) == len(theirs)
    assert {each.country for each in corridors(tuple(COUNTRIES), {})} == set(COUNTRIES)
