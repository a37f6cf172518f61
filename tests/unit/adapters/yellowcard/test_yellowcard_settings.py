"""Settings are checked when the adapter is made, and their values show nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.yellowcard.settings import YellowCardSettings
from gateway.money import Money
from gateway.offramp import BadSettings, Method, Resend

from .conftest import make


@pytest.mark.parametrize(
    ("key", "wrong", "sentence"),
    [
        ("base_url", "ftp://x", "http or https"),
        ("api_key", "", "API key"),
        ("secret_key", " ", "secret key"),
        ("business_name", "", "registered name"),
        ("countries", ["FR"], "a list of some of NG, KE"),
        ("countries", ["NG", "NG"], "a list of some of NG, KE"),
        ("countries", [], "a list of some of NG, KE"),
        ("limits", {"KE": [10, 5]}, "least and greatest"),
        ("limits", {"FR": [1, 5]}, "least and greatest"),
        ("failures", {"X": "nobody"}, "recipient, rail, float or transient"),
        ("naming", "transfers", "payments, or send"),
        ("final_when_missing_s", 60, "3600 or more"),
        ("surprise", "canary", "is no setting"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence_that_shows_no_value(settings, key, wrong, sentence) -> None:
    with pytest.raises(BadSettings) as refused:
        make({**settings, key: wrong})
    assert sentence in refused.value.problems[key]
    assert "canary" not in str(refused.value).replace("surprise", "")


def test_secrets_show_in_no_repr(settings: dict[str, Any]) -> None:
    adapter = make(settings)
    assert "canary" not in repr(YellowCardSettings.read(settings)) + repr(adapter) + repr(vars(adapter))


def test_nothing_is_resent_unless_a_person_knows_for_how_long_an_id_is_remembered(settings: dict[str, Any]) -> None:
    assert make(settings).capabilities.resend is Resend.FINDABLE
    assert make({**settings, "resend_within_s": 60}).capabilities.resend is Resend.DEDUPED


def test_limits_of_the_settings_replace_ours(settings: dict[str, Any]) -> None:
    adapter = make({**settings, "limits": {"KE": [5, 7]}})
    (kenya,) = [each for each in adapter.capabilities.corridors if each.country == "KE"]
    assert (kenya.least, kenya.most) == (Money(500, kenya.asset), Money(700, kenya.asset))
    assert kenya.method is Method.MOBILE_MONEY


def test_currencies_without_cents_are_paid_in_their_own_unit(settings: dict[str, Any]) -> None:
    adapter = make({**settings, "countries": ["UG", "RW", "CM", "CI", "KE"]})
    steps = {each.asset.code: each.step.decimal() for each in adapter.capabilities.corridors}
    assert steps == {"UGX": "1", "RWF": "1", "XAF": "1", "XOF": "1", "KES": "1.00"}
