"""Wrong settings are refused, each with a sentence, and without the value."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.offramp import BadSettings, Method, Resend

from .conftest import ISSUER, OURS, SIGNING, make

PLACE = {"country": "KE", "currency": "KES", "least": "100", "most": "100000", "step": "1"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("secret_key", SIGNING.public_key),
        ("secret_key", OURS.secret[:-1] + "A"),
        ("signing_key", OURS.secret),
        ("asset_issuer", ISSUER.public_key[:-1] + "2"),
        ("asset_code", "US DC"),
        ("base_url", "https://user:word@anchor.invalid"),
        ("horizon_url", "horizon.invalid"),
        ("places", []),
        ("places", [PLACE, PLACE]),
        ("places", [{**PLACE, "least": "100.001"}]),
        ("places", [{**PLACE, "least": "0"}]),
        ("places", [{**PLACE, "step": "3"}]),
        ("least_rates", {"KES": "-1"}),
        ("fee_most", 99),
        ("pay_within_s", 0),
        ("surprise", "1"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence_and_without_its_value(settings: dict[str, Any], key: str, value: object):
    with pytest.raises(BadSettings) as refused:
        make({**settings, key: value})
    assert set(refused.value.problems) == {key}
    assert OURS.secret not in str(refused.value)


@pytest.mark.parametrize("key", ["secret_key", "signing_key", "asset_issuer", "places", "horizon_url"])
def test_what_has_no_safe_default_has_to_be_given(settings: dict[str, Any], key: str):
    del settings[key]
    with pytest.raises(BadSettings):
        make(settings)


def test_the_capabilities_are_those_of_the_settings():
    capabilities = make().capabilities
    (corridor,) = capabilities.corridors
    assert (corridor.country, corridor.method, corridor.most.decimal()) == ("KE", Method.CASH, "100000.00")
    assert capabilities.resend is Resend.FINDABLE
    assert not capabilities.callbacks_are_proof


def test_the_key_shows_nowhere():
    adapter = make()
    assert OURS.secret not in repr(adapter) + repr(vars(adapter)) + repr(adapter._settings)
