"""Signatures agree with RFC 9421 as the standard writes its signature base, and prove no other message than theirs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from adapters.pawapay.signatures import Message, UnknownKey, Unproven, sign, verify

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
URL = "https://lastmile.example/callbacks/abc123"
BODY = b'{"payoutId":"f4401bd2-1568-4140-bf2d-eb77d2b2b639","status":"COMPLETED"}'
ID = "HTTP_EC_P256_KEY:1"
KEY = generate_private_key(SECP256R1())
KEYS = {ID: KEY.public_key()}
COVERED = ("@method", "@authority", "@path", "signature-date", "content-digest", "content-type")
FRESH = timedelta(minutes=5)


def by_hand(
    *,
    body: bytes = BODY,
    covered: tuple[str, ...] = COVERED,
    key: EllipticCurvePrivateKey = KEY,
    created: int = int(NOW.timestamp()),
    expires: int | None = None,
    algorithm: str = "ecdsa-p256-sha256",
    raw: bool = False,
    **changes: str,
) -> dict[str, str]:
    """Headers of a callback, made without the code under test: the signature base of RFC 9421, section 2.5, line by line."""
    digest = f"sha-512=:{base64.b64encode(hashlib.sha512(body).digest()).decode()}:"
    values = {
        "@method": "POST",
        "@authority": "lastmile.example",
        "@path": "/callbacks/abc123",
        "signature-date": "2026-11-23T07:00:00.000000Z",
        "content-digest": digest,
        "content-type": "application/json; charset=UTF-8",
        **changes,
    }
    quoted = " ".join(f'"{each}"' for each in covered)
    end = created + 60 if expires is None else expires
    parameters = f'({quoted});alg="{algorithm}";keyid="{ID}";created={created};expires={end}'
    lines = [f'"{each}": {values[each]}' for each in covered]
    base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode()
    signature = key.sign(base, ECDSA(SHA384() if algorithm == "ecdsa-p384-sha384" else SHA256()))
    if raw:
        size = key.curve.key_size // 8
        signature = b"".join(each.to_bytes(size, "big") for each in decode_dss_signature(signature))
    return {
        "signature-date": values["signature-date"],
        "content-digest": digest,
        "content-type": values["content-type"],
        "signature-input": f"sig-pp={parameters}",
        "signature": f"sig-pp=:{base64.b64encode(signature).decode()}:",
    }


def check(headers: dict[str, str], *, body: bytes = BODY, url: str = URL, now: datetime = NOW, keys: Any = None) -> None:
    verify(Message("POST", url, headers), body, keys=KEYS if keys is None else keys, now=now, fresh=FRESH)


@pytest.mark.parametrize("raw", [False, True])
def test_a_signature_as_pawapay_makes_it_or_as_the_standard_writes_it_is_believed(*, raw: bool) -> None:
    check(by_hand(raw=raw))


@pytest.mark.parametrize("raw", [False, True])
def test_a_key_on_the_other_curve_is_believed_too(*, raw: bool) -> None:
    key = generate_private_key(SECP384R1())
    check(by_hand(key=key, algorithm="ecdsa-p384-sha384", raw=raw), keys={ID: key.public_key()})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: headers.pop("signature"),
        lambda headers: headers.pop("signature-input"),
        lambda headers: headers.pop("content-digest"),
        lambda headers: headers.pop("signature-date"),
        lambda headers: headers.update({"signature": "sig-pp=:AAAA:"}),
        lambda headers: headers.update({"signature": "nonsense"}),
        lambda headers: headers.update({"signature-input": "nonsense"}),
        lambda headers: headers.update({"signature-date": "2026-11-23T07:00:01.000000Z"}),
        lambda headers: headers.update({"content-type": "text/plain"}),
        lambda headers: headers.update({"content-digest": "sha-512=:AAAA:"}),
        lambda headers: headers.update({"content-digest": "md5=:AAAA:"}),
        lambda headers: headers.update({"signature-input": headers["signature-input"].replace("expires=", "expires=1")}),
    ],
)
def test_a_spoiled_header_is_no_proof(spoil: Callable[[dict[str, str]], Any]) -> None:
    headers = by_hand()
    spoil(headers)
    with pytest.raises(Unproven):
        check(headers)


def test_another_body_is_no_proof() -> None:
    with pytest.raises(Unproven):
        check(by_hand(), body=BODY.replace(b"COMPLETED", b"FAILED"))


@pytest.mark.parametrize("url", ["https://other.example/callbacks/abc123", "https://lastmile.example/callbacks/def456"])
def test_what_was_told_at_another_address_is_no_proof_here(url: str) -> None:
    with pytest.raises(Unproven):
        check(by_hand(), url=url)


@pytest.mark.parametrize("left_out", ["@method", "@authority", "@path", "content-digest"])
def test_a_signature_that_leaves_out_the_address_or_the_body_is_no_proof(left_out: str) -> None:
    with pytest.raises(Unproven):
        check(by_hand(covered=tuple(each for each in COVERED if each != left_out)))


@pytest.mark.parametrize(
    ("age_s", "life_s", "believed"),
    [(0, 60, True), (30, 60, True), (119, 60, True), (121, 60, False), (299, 999, True), (301, 999, False),
     (-59, 60, True), (-61, 60, False), (86_400, 999_999, False)],
)  # fmt: skip
def test_a_signature_lives_as_long_as_both_of_us_say(age_s: int, life_s: int, *, believed: bool) -> None:
    created = int(NOW.timestamp()) - age_s
    headers = by_hand(created=created, expires=created + life_s)
    if believed:
        check(headers)
    else:
        with pytest.raises(Unproven):
            check(headers)


def test_its_age_is_judged_by_when_it_arrived() -> None:
    with pytest.raises(Unproven):
        check(by_hand(), now=NOW + timedelta(hours=1))


def test_a_key_of_somebody_else_is_no_proof_and_an_unknown_one_is_told_apart() -> None:
    stranger = generate_private_key(SECP256R1())
    with pytest.raises(Unproven) as refused:
        check(by_hand(key=stranger))
    assert not isinstance(refused.value, UnknownKey)
    with pytest.raises(UnknownKey):
        check(by_hand(), keys={"another": KEY.public_key()})
    with pytest.raises(UnknownKey):
        check(by_hand(), keys={})


def test_a_request_of_ours_is_signed_over_method_address_date_digest_and_type() -> None:
    headers = sign(Message("POST", URL, {"Content-Type": "application/json"}), BODY, key=KEY, key_id=ID, now=NOW)
    digest = base64.b64encode(hashlib.sha512(BODY).digest()).decode()
    assert headers["Content-Digest"] == f"sha-512=:{digest}:"
    assert headers["Signature-Date"] == "2026-11-23T07:00:00.000000Z"
    parameters = headers["Signature-Input"].removeprefix("sig-pp=")
    created = int(NOW.timestamp())
    assert parameters.startswith("(" + " ".join(f'"{each}"' for each in COVERED) + ");")
    assert set(parameters.split(";")[1:]) == {
        f"created={created}", f"expires={created + 60}", f'keyid="{ID}"', 'alg="ecdsa-p256-sha256"',
    }  # fmt: skip
    base = "\n".join([
        '"@method": POST',
        '"@authority": lastmile.example',
        '"@path": /callbacks/abc123',
        '"signature-date": 2026-11-23T07:00:00.000000Z',
        f'"content-digest": sha-512=:{digest}:',
        '"content-type": application/json',
        f'"@signature-params": {parameters}',
    ])  # fmt: skip
    signature = base64.b64decode(headers["Signature"].removeprefix("sig-pp=:").removesuffix(":"))
    KEY.public_key().verify(signature, base.encode(), ECDSA(SHA256()))
