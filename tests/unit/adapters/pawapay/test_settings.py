"""Settings are refused with a sentence per key, and no value."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from adapters.pawapay.places import NAMES, PLACES
from adapters.pawapay.settings import PawaPaySettings
from gateway.offramp import BadSettings

GOOD = {"base_url": "https://api.sandbox.pawapay.io", "api_token": "hush-token", "countries": ["RW"]}


def private(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


P256, K256 = generate_private_key(SECP256R1()), generate_private_key(SECP256K1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def problems(**changes: Any) -> dict[str, str]:
    with pytest.raises(BadSettings) as refused:
        PawaPaySettings.read({**GOOD, **changes})
    assert "hush" not in str(refused.value)
    assert "PRIVATE" not in str(refused.value)
    return dict(refused.value.problems)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "https://user@api.pawapay.io"),
        ("api_token", ""),
        ("countries", []),
        ("countries", ["XX"]),
        ("institutions", {"RW": ["orange"]}),
        ("institutions", {"RW": []}),
        ("institutions", {"KE": ["mtn"]}),
        ("limits", {"RW": {"least": "1", "most": "2"}}),
        ("limits", {"RW/RWF": {"least": "2", "most": "1"}}),
        ("limits", {"RW/RWF": {"least": "0.5", "most": "1"}}),
        ("limits", {"RW/RWF": {"least": "0", "most": "1"}}),
        ("limits", {"RW/RWF": {"least": "1", "most": "10", "step": "3"}}),
        ("limits", {"RW/RWF": {"least": "1", "most": "10", "step": "0"}}),
        ("limits", {"RW/RWF": {"least": "1"}}),
        ("callback_keys", {"1": "nonsense"}),
        ("callback_keys", {"1": public(RSA)}),
        ("callback_keys", {"1": public(K256)}),
        ("callback_fresh_s", 0),
        ("signing_key", private(P256)),
        ("signing_key_id", 'a"b'),
        ("message", "no"),
        ("message", "a sentence of more than 22 letters"),
        ("unheard_of", 1),
    ],
)
def test_each_wrong_setting_has_its_sentence(key: str, value: object) -> None:
    assert list(problems(**{key: value})) == [key]


def test_a_signing_key_needs_its_name_and_the_right_curve() -> None:
    assert list(problems(signing_key_id="OURS:1")) == ["signing_key"]
    for wrong in (RSA, K256):
        assert list(problems(signing_key=private(wrong), signing_key_id="OURS:1")) == ["signing_key"]
    PawaPaySettings.read({**GOOD, "signing_key": private(P256), "signing_key_id": "OURS:1"})


def test_countries_wallets_and_limits_make_the_corridors() -> None:
    limits = {"RW/RWF": {"least": 200, "most": 900_000, "step": 100}}
    read = PawaPaySettings.read({**GOOD, "countries": ["RW", "CD"], "institutions": {"RW": ["mtn"]}, "limits": limits})
    corridors = {(each.country, each.asset.code): each for each in read.corridors()}
    assert set(corridors) == {("RW", "RWF"), ("CD", "CDF"), ("CD", "USD")}
    rwanda = corridors["RW", "RWF"]
    assert [each.code for each in rwanda.institutions] == ["mtn"]
    assert (rwanda.least.decimal(), rwanda.most.decimal(), rwanda.step.decimal()) == ("200", "900000", "100")


@pytest.mark.parametrize("place", PLACES, ids=lambda each: f"{each.country}-{each.currency}")
def test_every_place_is_whole(place: Any) -> None:
    (corridor,) = [
        each
        for each in PawaPaySettings.read({**GOOD, "countries": [place.country]}).corridors()
        if each.asset.code == place.currency
    ]
    assert corridor.least < corridor.most
    assert set(place.providers) <= set(NAMES)
    assert all(code.endswith(f"_{place.iso3}") for code in place.providers.values())


def test_places_are_told_once() -> None:
    places = [(each.country, each.currency) for each in PLACES]
    assert len(set(places)) == len(places)
    codes = [code for each in PLACES for code in each.providers.values() if each.currency != "USD"]
    assert len(set(codes)) == len(codes)


def test_no_secret_shows() -> None:
    read = PawaPaySettings.read({**GOOD, "signing_key": private(P256), "signing_key_id": "OURS:1"})
    assert "hush" not in repr(read)
    assert "PRIVATE" not in repr(read)
