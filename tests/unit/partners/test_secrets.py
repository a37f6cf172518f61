from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.partners import secrets
from gateway.partners.secrets import hash_secret, new_client_id, new_client_secret, secret_matches

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_client_id_is_lm_and_a_ulid() -> None:
    assert re.fullmatch(r"lm_[0-9A-HJKMNP-TV-Z]{26}", new_client_id(now=NOW))
    assert new_client_id(now=NOW) != new_client_id(now=NOW)


def test_a_secret_carries_256_random_bits_behind_a_prefix_that_scanners_know() -> None:
    assert re.fullmatch(r"lm_secret_[A-Za-z0-9_-]{43}", new_client_secret())
    assert len({new_client_secret() for _ in range(1000)}) == 1000


def test_only_the_hash_is_kept() -> None:
    secret = new_client_secret()
    assert hash_secret(secret=secret) == sha256(secret.encode()).digest()


def test_the_right_secret_matches() -> None:
    secret = new_client_secret()
    assert secret_matches(secret=secret, secret_hash=hash_secret(secret=secret))


@given(st.text(alphabet=st.characters()))
def test_any_other_text_does_not_match(text: str) -> None:
    assert not secret_matches(secret=text, secret_hash=hash_secret(secret=new_client_secret()))


@pytest.mark.parametrize("secret", ["\ud800", "\x00", "Ω" * 10_000, ""])
def test_text_that_is_no_proper_unicode_is_only_a_wrong_secret(secret: str) -> None:
    assert not secret_matches(secret=secret, secret_hash=hash_secret(secret="right"))


@pytest.mark.parametrize("change", [str.upper, str.strip, lambda s: s[:-1], lambda s: s + " ", lambda s: s + "\n"])
def test_a_nearly_right_secret_does_not_match(change) -> None:
    secret = "lm_secret_" + "aB3-_xyz" * 5 + "abc "
    assert not secret_matches(secret=change(secret), secret_hash=hash_secret(secret=secret))


@pytest.mark.parametrize("secret_hash", [None, b"", b"\x00" * 32])
def test_an_unknown_client_or_an_empty_hash_never_matches(secret_hash: bytes | None) -> None:
    assert not secret_matches(secret="", secret_hash=secret_hash)
    assert not secret_matches(secret=new_client_secret(), secret_hash=secret_hash)


def test_an_unknown_client_never_matches_even_if_the_stand_in_were_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_NOBODY", hash_secret(secret="guessed"))
    assert not secret_matches(secret="guessed", secret_hash=None)


@pytest.mark.parametrize("known", [True, False])
def test_a_known_and_an_unknown_client_cost_one_hash_and_one_constant_time_comparison(known, monkeypatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr(secrets, "compare_digest", compare)
    secret_matches(secret="wrong", secret_hash=hash_secret(secret="right") if known else None)
    assert compared == [(32, 32)]
