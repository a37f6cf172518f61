"""Wrong settings are refused with a sentence per key, and never show a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.mpesa.settings import MpesaSettings, public_key
from gateway.offramp import BadSettings


def problems(settings: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BadSettings) as bad:
        MpesaSettings.read(settings)
    assert bad.value.__context__ is None, "a validation error would carry the values along"
    return dict(bad.value.problems)


def test_the_documented_settings_are_enough(settings: dict[str, Any]):
    read = MpesaSettings.read(settings)
    assert (read.command_id, read.resend_within_s) == ("BusinessPayment", 86_400)
    assert set(settings) == {
        "base_url", "consumer_key", "consumer_secret", "initiator_name", "initiator_password", "certificate", "short_code",
    }  # fmt: skip


def test_all_that_is_missing_is_named_at_once():
    found = problems({})
    assert set(found) == {
        "base_url", "consumer_key", "consumer_secret", "initiator_name", "initiator_password", "certificate", "short_code",
    }  # fmt: skip
    assert found["short_code"] == "give the B2C short code that pays: 5 to 9 digits"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "api.safaricom.co.ke"),
        ("base_url", "ftp://api.safaricom.co.ke"),
        ("base_url", "https://"),
        ("base_url", "https://user:CANARY@api.safaricom.co.ke"),
        ("base_url", "https://api.safaricom.co.ke/?a=b"),
        ("consumer_key", ""),
        ("consumer_secret", "  "),
        ("initiator_password", "CANARY(x)"),
        ("initiator_password", ""),
        ("initiator_name", ""),
        ("short_code", "12a45"),
        ("short_code", "1234"),
        ("short_code", "600992\n"),
        ("certificate", "/no/such/CANARY"),
        ("certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        ("command_id", "CANARY"),
        ("remarks", "x"),
        ("answer_within_s", 0),
        ("top_up_below", "1,000"),
        ("top_up_below", "0.001"),
        ("returns_within_s", 0),
        ("statuses", {"Completed2": "paid"}),
        ("secret_credential", "CANARY"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key_alone(settings: dict[str, Any], key: str, value: object):
    found = problems({**settings, key: value})
    assert set(found) == {key}
    assert "CANARY" not in found[key]


def test_a_setting_that_does_not_exist_is_answered_with_those_that_do(settings: dict[str, Any]):
    assert "base_url, " in problems({**settings, "base_uri": "x"})["base_uri"]


def test_a_number_will_do_as_a_short_code_and_a_slash_after_the_address(settings: dict[str, Any]):
    read = MpesaSettings.read({**settings, "short_code": 600992, "base_url": "http://127.0.0.1:8080/daraja/"})
    assert (read.short_code, read.base_url) == ("600992", "http://127.0.0.1:8080/daraja")


def test_the_certificate_may_be_text_or_a_file_in_either_form(settings: dict[str, Any], tmp_path: Path):
    text = settings["certificate"]
    pem, der = tmp_path / "cert.cer", tmp_path / "cert.der"
    pem.write_text(text)
    der.write_bytes(x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER))
    keys = {public_key(each).public_numbers() for each in (text, str(pem), str(der))}
    assert len(keys) == 1


def test_nothing_secret_shows_in_the_settings(settings: dict[str, Any]):
    shown = repr(MpesaSettings.read(settings))
    for key in ("consumer_key", "consumer_secret", "initiator_password"):
        assert settings[key] not in shown
