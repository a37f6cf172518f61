"""`lastmile rails webhooks`: the addresses that a person enters at providers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.offramp import RAILS_OWN
from gateway.payouts.addresses import PATH
from tests.integration.commands.test_rails import certificate, lastmile

__all__ = ["certificate", "lastmile"]


@pytest.fixture
def airtel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two applications at Airtel, of which one is called back."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    shown = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    settings = {
        "KIND": "airtel",
        "BASE_URL": "https://openapi.airtel.example",
        "CLIENT_ID": "id",
        "CLIENT_SECRET": "secret",
        "PIN": "1234",
        "PUBLIC_KEY": shown,
    }
    for name, calls_back in (("ZAMBIA", "true"), ("SILENT", "false")):
        for setting, value in {**settings, "CALLS_BACK": calls_back}.items():
            monkeypatch.setenv(f"LASTMILE_ADAPTERS__{name}__{setting}", value)


@pytest.mark.usefixtures("airtel")
def test_only_rails_with_one_address_for_all_payments_are_listed(lastmile: Any) -> None:
    done = lastmile("rails", "webhooks", "--json")
    assert done.exit_code == 0, done.output
    (one,) = map(json.loads, done.stdout.splitlines())
    assert (one["rail"], one["label"]) == ("zambia", "webhook")
    assert PATH + f"zambia\n{RAILS_OWN}\nwebhook".encode().hex() in one["address"]
    assert "developers.airtel.africa" in one["where"]
    shown = lastmile("rails", "webhooks").stdout
    assert one["address"] in shown
    assert "silent" not in shown
