"""Wrong settings are refused with a sentence per key, and never show a value; the countries are data."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mtn_momo.places import TARGETS
from adapters.mtn_momo.settings import MtnMomoSettings
from gateway.money import Asset, Money
from gateway.offramp import BadSettings

DOCUMENTED = {
    "mtnuganda": ("UG", "UGX", 0), "mtnghana": ("GH", "GHS", 2), "mtnivorycoast": ("CI", "XOF", 0),
    "mtnzambia": ("ZM", "ZMW", 2), "mtncameroon": ("CM", "XAF", 0), "mtnbenin": ("BJ", "XOF", 0),
    "mtncongo": ("CG", "XAF", 0), "mtnswaziland": ("SZ", "SZL", 2), "mtnguineaconakry": ("GN", "GNF", 0),
    "mtnsouthafrica": ("ZA", "ZAR", 2), "mtnliberia": ("LR", "LRD", 2), "mtnsouthsudan": ("SS", "SSP", 2),
    "mtnnigeria": ("NG", "NGN", 2), "mtnrwanda": ("RW", "RWF", 0), "sandbox": ("SE", "EUR", 2),
}  # fmt: skip


def problems(settings: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BadSettings) as bad:
        MtnMomoSettings.read(settings)
    return dict(bad.value.problems)


def test_the_countries_are_those_that_mtn_names_with_their_currencies():
    assert {name: (each.country, each.asset.code, each.asset.decimals) for name, each in TARGETS.items()} == DOCUMENTED


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_country_has_a_corridor_that_agrees_with_itself(settings: dict[str, Any], name: str):
    corridor = MtnMomoSettings.read({**settings, "target_environment": name}).corridor
    assert Money(0, corridor.asset) < corridor.least <= corridor.most
    assert corridor.least.floor_to(corridor.step) == corridor.least
    assert corridor.most.floor_to(corridor.step) == corridor.most
    assert [each.code for each in corridor.institutions] == ["mtn"]


def test_limits_are_settings_in_the_countrys_currency(settings: dict[str, Any]):
    ugx = Asset("UGX", 0)
    corridor = MtnMomoSettings.read({**settings, "least": 1001, "most": "1000999", "step": 1000}).corridor
    assert (corridor.least, corridor.most, corridor.step) == (Money(2000, ugx), Money(1_000_000, ugx), Money(1000, ugx))


def test_the_mark_for_top_ups_is_a_setting_in_the_countrys_currency(settings: dict[str, Any]):
    assert MtnMomoSettings.read(settings).marks == ()
    read = MtnMomoSettings.read({**settings, "target_environment": "mtnghana", "top_up_below": "1500.50"})
    assert read.marks == (Money(1500_50, Asset("GHS", 2)),)


def test_all_that_is_missing_is_named_at_once():
    found = problems({})
    assert set(found) == {"base_url", "subscription_key", "api_user", "api_key", "target_environment"}
    assert "mtnuganda" in found["target_environment"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "momodeveloper.mtn.com"),
        ("base_url", "https://user:CANARY@momodeveloper.mtn.com"),
        ("subscription_key", ""),
        ("api_user", "CANARY"),
        ("api_user", "d4b1f0a2-5c7e-1b6f-9a31-0c2d3e4f5a6b"),
        ("api_key", " "),
        ("target_environment", "mtnkenya"),
        ("least", "0"),
        ("least", "1.5"),
        ("least", "-1"),
        ("most", "499"),
        ("most", "many"),
        ("step", "0"),
        ("top_up_below", "1.5"),
        ("payer_message", "it's CANARY"),
        ("payee_note", "x" * 161),
        ("failure_held_s", 59),
        ("not_found_fails_after_s", 3599),
        ("secret", "CANARY"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key_alone(settings: dict[str, Any], key: str, value: object):
    found = problems({**settings, key: value})
    assert set(found) == {key}
    assert "CANARY" not in found[key]


def test_nothing_secret_shows_in_the_settings(settings: dict[str, Any]):
    assert "CANARY" not in repr(MtnMomoSettings.read(settings))
