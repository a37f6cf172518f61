"""The hostile suite for access tokens. It knows nothing of jose: tokens are forged by hand, so it fits any library."""

from __future__ import annotations

import hmac
import json
import subprocess
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count, product
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.partners import tokens
from gateway.partners.tokens import (
    LENGTH_MOST,
    BadKey,
    InvalidToken,
    TokenIssuer,
    TokenVerifier,
    WrongBackend,
    key_id,
    new_key_pem,
    public_pem,
)

ISSUER = "https://pay.example.org"
AUDIENCE = "https://pay.example.org/v1"
NOW = datetime(2031, 3, 1, 12, 0, tzinfo=UTC)  # not the machine's year: time is an argument
NOW_S = 1_930_132_800
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

KEY = new_key_pem()
PUBLIC = public_pem(key_pem=KEY)
KID = key_id(public_pem=PUBLIC)
ISSUING = TokenIssuer(key_pem=KEY, issuer=ISSUER, audience=AUDIENCE)
VERIFIER = TokenVerifier(public_keys={KID: PUBLIC}, issuer=ISSUER, audience=AUDIENCE)
TOKEN = ISSUING.issue(partner_id="par_1", client_id="lm_1", now=NOW)

HEADER = {"alg": "ES256", "kid": KID, "typ": "at+jwt"}
CLAIMS = {
    "iss": ISSUER,
    "sub": "par_1",
    "aud": AUDIENCE,
    "iat": NOW_S,
    "nbf": NOW_S,
    "exp": NOW_S + 900,
    "jti": "tok_1",
    "client_id": "lm_1",
    "purpose": "access",
}


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def as_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def es256(message: bytes, key_pem: str = KEY) -> bytes:
    key = load_pem_private_key(key_pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def forge(header: Any = HEADER, claims: Any = CLAIMS, sign: Callable[[bytes], bytes] = es256) -> str:
    """A compact JWS of anything at all; bytes stand for themselves."""
    message = f"{b64(as_json(header))}.{b64(as_json(claims))}"
    return f"{message}.{b64(sign(message.encode()))}"


def changed(original: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return original | changes


def without(original: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in original.items() if key != name}


def fresh() -> TokenVerifier:
    """One that knows no token yet."""
    return TokenVerifier(public_keys={KID: PUBLIC}, issuer=ISSUER, audience=AUDIENCE)


def refused(token: Any, *, now: datetime = NOW, verifier: TokenVerifier = VERIFIER) -> InvalidToken:
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token, now=now)
    return caught.value


# --- what is right -------------------------------------------------------------------------------------------------------


def test_a_token_of_ours_says_who_and_until_when() -> None:
    claims = VERIFIER.verify(TOKEN, now=NOW)
    assert (claims.partner_id, claims.client_id) == ("par_1", "lm_1")
    assert claims.expires_at == NOW + timedelta(minutes=15)
    assert claims.token_id.startswith("tok_")


def test_a_token_has_the_headers_and_claims_of_rfc_9068_and_no_others() -> None:
    header, claims, signature = map(unb64, TOKEN.split("."))
    assert json.loads(header) == HEADER
    assert json.loads(claims) == CLAIMS | {"jti": json.loads(claims)["jti"]}
    assert len(signature) == 64


def test_a_token_forged_by_hand_with_our_key_is_accepted_so_that_the_refusals_below_mean_something() -> None:
    assert VERIFIER.verify(forge(), now=NOW).token_id == "tok_1"


def test_every_token_has_its_own_id() -> None:
    issued = [ISSUING.issue(partner_id="par_1", client_id="lm_1", now=NOW) for _ in range(50)]
    assert len({VERIFIER.verify(token, now=NOW).token_id for token in issued}) == 50


def test_a_refusal_says_the_same_whatever_was_wrong_and_keeps_the_reason_for_the_logs() -> None:
    expired, junk = refused(TOKEN, now=NOW + timedelta(hours=1)), refused("junk")
    assert isinstance(junk, Refusal)
    assert str(expired) == str(junk) == "The access token is not valid. Ask POST /oauth/token for a new one."
    assert expired.code == "invalid_token"
    assert expired.reason == "expired"
    assert expired.reason != junk.reason


# --- time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-5, 0, 899, 904])
def test_a_token_is_good_from_its_issue_for_fifteen_minutes_give_or_take_the_leeway(seconds: int) -> None:
    assert VERIFIER.verify(TOKEN, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(("seconds", "reason"), [(-6, "issued in the future"), (905, "expired"), (10**8, "expired")])
def test_a_token_is_no_good_before_or_after(seconds: int, reason: str) -> None:
    assert refused(TOKEN, now=NOW + timedelta(seconds=seconds)).reason == reason


def test_time_is_the_argument_and_not_the_machines_clock() -> None:
    for year in (1999, 2026, 2090):
        now = datetime(year, 1, 1, tzinfo=UTC)
        token = ISSUING.issue(partner_id="par_1", client_id="lm_1", now=now)
        assert VERIFIER.verify(token, now=now)
        assert refused(token, now=now + timedelta(minutes=16)).reason == "expired"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW_S + 901}, "lives too long"),
        ({"iat": NOW_S - 60}, "lives too long"),
        ({"exp": 10**400}, "lives too long"),
        ({"iat": NOW_S + 6}, "issued in the future"),
        ({"nbf": NOW_S + 6}, "not yet valid"),
        ({"exp": NOW_S - 5}, "expired"),
        ({"exp": -(10**400)}, "expired"),
        ({"exp": 0, "iat": 0, "nbf": 0}, "expired"),
    ],
)
def test_even_signed_by_us_a_token_lives_at_most_fifteen_minutes_from_now(changes: dict[str, int], reason: str) -> None:
    assert refused(forge(claims=CLAIMS | changes)).reason == reason


# --- the algorithm and the key -------------------------------------------------------------------------------------------

NONE_IN_EVERY_CASE = ["".join(letters) for letters in product("nN", "oO", "nN", "eE")]
OTHER_ALGORITHMS = ["", None, "HS256", "RS256", "ES384", "es256", "ES256 ", ["ES256"], 0, {}]


@pytest.mark.parametrize(
    "alg", [*NONE_IN_EVERY_CASE, "", None, "HS256", "RS256", "ES384", "es256", "ES256 ", ["ES256"], 0, {}]
)
@pytest.mark.parametrize("sign", [es256, lambda _: b"\x00" * 64, lambda _: b"\x00"], ids=["signed", "zeros", "zero"])
def test_another_algorithm_is_refused_even_over_a_right_signature(alg: Any, sign: Callable[[bytes], bytes]) -> None:
    assert refused(forge(changed(HEADER, alg=alg), sign=sign)).reason == "another algorithm"


@pytest.mark.parametrize("alg", ["none", "NONE", "ES256"])
def test_a_token_without_signature_is_refused(alg: str) -> None:
    refused(forge(changed(HEADER, alg=alg), sign=lambda _: b""))
    refused(forge(changed(HEADER, alg=alg), sign=lambda _: b"").rstrip("."))


PUBLIC_KEY = load_pem_public_key(PUBLIC.encode())
PUBLIC_FORMS = {
    "pem": PUBLIC.encode(),
    "pem without last newline": PUBLIC.strip().encode(),
    "der": PUBLIC_KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "ssh": PUBLIC_KEY.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "point": PUBLIC_KEY.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    "jwk": json.dumps(VERIFIER.jwks()["keys"][0]).encode(),
    "kid": KID.encode(),
    "empty": b"",
}


@pytest.mark.parametrize("secret", PUBLIC_FORMS.values(), ids=PUBLIC_FORMS.keys())
@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_our_public_key_in_no_form_is_a_secret_that_signs(secret: bytes, alg: str) -> None:
    refused(forge(changed(HEADER, alg=alg), sign=lambda message: hmac.digest(secret, message, sha256)))


def test_a_signature_by_another_key_is_refused() -> None:
    stranger = new_key_pem()
    refused(forge(sign=lambda message: es256(message, stranger)))
    refused(forge(changed(HEADER, kid=key_id(public_pem=public_pem(key_pem=stranger))), sign=lambda m: es256(m, stranger)))


@pytest.mark.parametrize("signature", [b"\x00" * 64, b"\xff" * 64, b"\x00" * 63 + b"\x01", b"\x00" * 65])
def test_a_made_up_signature_is_refused(signature: bytes) -> None:
    refused(forge(sign=lambda _: signature))


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "https://evil.example/key.pem",
        "x\r\nX-Header: y",
        "",
        KID + " ",
        KID.lower(),
        PUBLIC,
        None,
        0,
        True,
        [KID],
        {"kid": KID},
    ],
    ids=count(),
)
def test_a_key_id_that_is_not_in_our_table_is_refused(kid: Any) -> None:
    refused(forge(changed(HEADER, kid=kid)))


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"jwk": VERIFIER.jwks()["keys"][0]},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
        {"": 1},
    ],
    ids=count(),
)
def test_a_token_with_any_other_header_is_refused_even_signed_by_us(extra: dict[str, Any]) -> None:
    assert refused(forge(HEADER | extra)).reason == "other headers than alg, kid, typ"


@pytest.mark.parametrize("name", HEADER)
def test_a_token_without_one_of_the_headers_is_refused(name: str) -> None:
    assert refused(forge(without(HEADER, name))).reason == "other headers than alg, kid, typ"


@pytest.mark.parametrize("name", HEADER)
def test_a_header_that_comes_twice_is_refused_even_with_the_same_value(name: str) -> None:
    text = json.dumps(HEADER)
    twice = text[:-1] + f', "{name}": {json.dumps(HEADER[name])}' + "}"
    assert json.loads(twice) == HEADER
    assert refused(forge(twice.encode())).reason == "a header twice"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "rt+jwt", "", None, 1, ["at+jwt"]])
def test_a_token_of_another_type_is_refused(typ: Any) -> None:
    assert refused(forge(changed(HEADER, typ=typ))).reason == "another type of token"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"alg"',
        b"NaN",
        b"{",
        b"\xff\xfe{\x00}\x00",
        json.dumps(HEADER).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(HEADER).encode(),
        json.dumps([HEADER]).encode(),
        b"[" * 2900,
        b'{"alg":' * 400 + b"1" + b"}" * 400,
        b'{"alg":' + b"[" * 1400 + b"]" * 1400 + b"}",
        b'{"alg":' + b"9" * 2900 + b"}",
    ],
    ids=range(16),
)
def test_a_header_that_is_no_object_or_is_nested_deep_is_refused(header: bytes) -> None:
    refused(forge(header))


# --- the claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLAIMS)
def test_a_token_without_one_of_the_claims_is_refused(name: str) -> None:
    refused(forge(claims=without(CLAIMS, name)))


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "jti", "client_id", "purpose"])
@pytest.mark.parametrize("kind", [lambda v: [v], lambda v: {v: v}, lambda _: None, lambda _: 1, lambda _: True], ids="ldnib")
def test_a_claim_that_should_be_text_and_is_not_is_refused(name: str, kind: Callable[[str], Any]) -> None:
    refused(forge(claims=changed(CLAIMS, **{name: kind(str(CLAIMS[name]))})))


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize(
    "value",
    ["{}.0", "{}.5", '"{}"', "1e400", "-1e400", "NaN", "Infinity", "true", "false", "null", "[{}]", '{{"a": {}}}', "{}e0"],
)
def test_a_time_that_is_no_integer_is_refused(name: str, value: str) -> None:
    text = json.dumps(changed(CLAIMS, **{name: "@"})).replace('"@"', value.format(CLAIMS[name]))
    refused(forge(claims=text.encode()))


def test_a_time_that_is_a_boolean_is_refused_where_one_would_be_a_right_number() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    early = CLAIMS | {"iat": 0, "nbf": 0, "exp": 900}
    assert VERIFIER.verify(forge(claims=early), now=epoch)
    refused(forge(claims=early | {"iat": False}), now=epoch)
    refused(forge(claims=early | {"nbf": True}), now=epoch)
    refused(forge(claims=early | {"exp": True}), now=epoch)


@pytest.mark.parametrize(
    "audience",
    [[AUDIENCE], [AUDIENCE, "https://other.example"], [], "https://other.example", AUDIENCE + "/", AUDIENCE.upper(), "", {}],
)
def test_a_token_for_another_or_more_than_one_audience_is_refused(audience: Any) -> None:
    refused(forge(claims=changed(CLAIMS, aud=audience)))


@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER + "/", ISSUER[:-1], ISSUER.upper(), "", [ISSUER]])
def test_a_token_of_another_issuer_is_refused(issuer: Any) -> None:
    refused(forge(claims=changed(CLAIMS, iss=issuer)))


@pytest.mark.parametrize("purpose", ["refresh", "webhook", "admin", "Access", "", "access "])
def test_a_token_for_another_purpose_is_refused(purpose: str) -> None:
    assert refused(forge(claims=changed(CLAIMS, purpose=purpose))).reason == "another purpose"


NO_OBJECTS = [b"", b"[]", b"null", b"{", b"\xff", b"[" * 2500, b'{"exp":' * 300 + b"1" + b"}" * 300]


@pytest.mark.parametrize("claims", NO_OBJECTS, ids=range(len(NO_OBJECTS)))
def test_claims_that_are_no_object_are_refused_even_signed_by_us(claims: bytes) -> None:
    refused(forge(claims=claims))


def test_a_sister_service_with_the_same_key_does_not_speak_for_us() -> None:
    for issuer, audience in ((ISSUER, "https://sister.example"), ("https://sister.example", AUDIENCE)):
        sister = TokenIssuer(key_pem=KEY, issuer=issuer, audience=audience)
        refused(sister.issue(partner_id="par_1", client_id="lm_1", now=NOW))


# --- the text ------------------------------------------------------------------------------------------------------------

HEAD, BODY, TAIL = TOKEN.split(".")
MISSHAPEN = {
    "empty": "",
    "no text": None,
    "number": 5,
    "bytes": TOKEN.encode(),
    "list": [TOKEN],
    "two segments": f"{HEAD}.{BODY}",
    "four segments": f"{TOKEN}.{TAIL}",
    "five segments": f"{HEAD}.{BODY}.{TAIL}.{TAIL}.{TAIL}",
    "dots only": "..",
    "empty header": f".{BODY}.{TAIL}",
    "empty claims": f"{HEAD}..{TAIL}",
    "empty signature": f"{HEAD}.{BODY}.",
    "space before": f" {TOKEN}",
    "space after": f"{TOKEN} ",
    "newline after": f"{TOKEN}\n",
    "carriage return": f"{TOKEN}\r\n",
    "NUL": f"{TOKEN}\0",
    "space inside": f"{HEAD} .{BODY}.{TAIL}",
    "wide dot": TOKEN.replace(".", "\uff0e"),
    "wide letters": TOKEN.replace("e", "\uff45"),
    "Arabic digit": TOKEN + "\u0661",
    "zero width": TOKEN + "\u200b",
    "lone surrogate": TOKEN + "\ud800",
    "header padded": f"{HEAD}=.{BODY}.{TAIL}",
    "signature padded": f"{TOKEN}==",
    "signature padded thrice": f"{TOKEN}====",
    "plain base64": f"{HEAD}.{BODY}.{'+/' * 43}",
    "junk inside base64": f"{HEAD}.{BODY}.{TAIL[:10]}!{TAIL[10:]}",
    "one letter less": TOKEN[:-1],
    "with scheme": f"Bearer {TOKEN}",
    "JSON serialization": json.dumps({"protected": HEAD, "payload": BODY, "signature": TAIL}),
    "quoted": f'"{TOKEN}"',
}


@pytest.mark.parametrize("token", MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_a_misshapen_token_is_refused(token: Any) -> None:
    refused(token)


def test_bytes_after_the_signature_are_refused() -> None:
    refused(f"{TOKEN}A")
    refused(f"{TOKEN}AAAA")
    refused(f"{HEAD}.{BODY}.{b64(unb64(TAIL) + bytes(1))}")


def test_a_subclass_of_text_is_refused() -> None:
    class Sly(str):
        __slots__ = ()

    refused(Sly(TOKEN))


def test_the_spare_bits_of_the_last_letter_do_not_make_another_text_of_the_same_token() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same_bytes = [letter for letter in alphabet if unb64(TAIL[:-1] + letter) == unb64(TAIL)]
    assert len(same_bytes) == 16
    for letter in same_bytes:
        if letter != TAIL[-1]:
            assert refused(TOKEN[:-1] + letter).reason == "base64url not canonical"


def test_a_jwe_of_five_parts_is_refused() -> None:
    header = {"alg": "dir", "enc": "A128GCM", "zip": "DEF", "kid": KID, "typ": "at+jwt"}
    refused(".".join([b64(as_json(header)), "", b64(b"i" * 12), b64(b"c" * 100), b64(b"t" * 16)]))


@pytest.mark.parametrize(
    "make", [lambda: "a" * 5_000_000, lambda: "a." * 2_500_000, lambda: TOKEN + "A" * 5_000_000], ids="123"
)
def test_a_token_of_five_megabytes_is_refused_within_ten_milliseconds(make: Callable[[], str]) -> None:
    token = make()
    started = perf_counter()
    refused(token)
    assert perf_counter() - started < 0.010


def test_a_token_longer_than_the_limit_is_refused_even_signed_by_us() -> None:
    fits = forge(claims=CLAIMS | {"pad": "x" * 2000})
    assert len(fits) < LENGTH_MOST
    assert VERIFIER.verify(fits, now=NOW)
    assert refused(forge(claims=CLAIMS | {"pad": "x" * 3000})).reason == "no text, or too long"


def test_a_malleated_signature_is_the_same_token_by_its_id_so_replays_are_found() -> None:
    raw = unb64(TAIL)
    other_s = P256_ORDER - int.from_bytes(raw[32:], "big")
    twin = f"{HEAD}.{BODY}.{b64(raw[:32] + other_s.to_bytes(32, 'big'))}"
    assert twin != TOKEN
    assert VERIFIER.verify(twin, now=NOW) == VERIFIER.verify(TOKEN, now=NOW)


@given(st.text(alphabet=st.characters(), max_size=6000))
@example("\ud800")
@example("." * 4096)
def test_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    refused(text)


@given(st.lists(st.binary(max_size=300), min_size=3, max_size=3))
def test_any_three_segments_are_refused_and_nothing_else_is_raised(segments: list[bytes]) -> None:
    refused(".".join(map(b64, segments)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(HEADER)), JSON)
def test_any_json_in_a_header_is_refused_and_nothing_else_is_raised(name: str, value: Any) -> None:
    refused(forge(changed(HEADER, **{name: value})))


@given(st.sampled_from(["iss", "aud", "purpose", "iat", "nbf", "exp"]), JSON)
def test_any_json_in_a_claim_of_ours_is_refused_and_nothing_else_is_raised(name: str, value: Any) -> None:
    token = forge(claims=changed(CLAIMS, **{name: value}))
    if type(value) is int and name == "nbf" and value <= NOW_S + 5:
        assert VERIFIER.verify(token, now=NOW)
    else:
        refused(token)


@settings(max_examples=300)
@given(st.integers(0, len(TOKEN) * 8 - 1))
def test_any_flipped_bit_makes_a_token_invalid(bit: int) -> None:
    flipped = bytearray(TOKEN.encode())
    flipped[bit // 8] ^= 1 << bit % 8
    refused(flipped.decode("latin-1"))


def test_any_flipped_bit_of_the_signature_makes_a_token_invalid() -> None:
    for bit in range(64 * 8):
        raw = bytearray(unb64(TAIL))
        raw[bit // 8] ^= 1 << bit % 8
        refused(f"{HEAD}.{BODY}.{b64(bytes(raw))}")


@given(st.integers(0, len(TOKEN)), st.integers(0, len(TOKEN)))
def test_any_part_of_a_token_is_refused(start: int, end: int) -> None:
    if TOKEN[start:end] != TOKEN:
        refused(TOKEN[start:end])


# --- keys ----------------------------------------------------------------------------------------------------------------


def test_during_a_key_roll_over_tokens_of_the_old_and_the_new_key_are_both_good() -> None:
    new = TokenIssuer(key_pem=new_key_pem(), issuer=ISSUER, audience=AUDIENCE)
    both = TokenVerifier(public_keys=ISSUING.public_keys() | new.public_keys(), issuer=ISSUER, audience=AUDIENCE)
    only_new = TokenVerifier(public_keys=new.public_keys(), issuer=ISSUER, audience=AUDIENCE)
    new_token = new.issue(partner_id="par_2", client_id="lm_2", now=NOW)
    assert both.verify(TOKEN, now=NOW).partner_id == "par_1"
    assert both.verify(new_token, now=NOW).partner_id == "par_2"
    assert only_new.verify(new_token, now=NOW).partner_id == "par_2"
    assert refused(TOKEN, verifier=only_new).reason == "unknown key id"
    assert {key["kid"] for key in both.jwks()["keys"]} == {*ISSUING.public_keys(), *new.public_keys()}


def test_each_key_verifies_under_its_own_id_only() -> None:
    other = new_key_pem()
    table = ISSUING.public_keys() | {"other": public_pem(key_pem=other)}
    both = TokenVerifier(public_keys=table, issuer=ISSUER, audience=AUDIENCE)
    assert both.verify(forge(changed(HEADER, kid="other"), sign=lambda m: es256(m, other)), now=NOW)
    refused(forge(changed(HEADER, kid="other")), verifier=both)
    refused(forge(sign=lambda m: es256(m, other)), verifier=both)


def test_a_verifier_without_keys_refuses_everything() -> None:
    refused(TOKEN, verifier=TokenVerifier(public_keys={}, issuer=ISSUER, audience=AUDIENCE))


def test_the_published_keys_are_the_public_halves_and_verify_a_token() -> None:
    (published,) = VERIFIER.jwks()["keys"]
    assert published.keys() == {"kty", "crv", "x", "y", "alg", "use", "kid"}
    x, y = (int.from_bytes(unb64(published[name]), "big") for name in "xy")
    rebuilt = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    assert rebuilt.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() == PUBLIC
    assert len(published["x"]) == len(published["y"]) == 43


def test_the_key_id_is_the_thumbprint_of_rfc_7638() -> None:
    (published,) = VERIFIER.jwks()["keys"]
    required = '{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.format(**published)
    assert published["kid"] == KID == b64(sha256(required.encode()).digest())


def test_a_coordinate_that_begins_with_a_zero_keeps_its_32_bytes() -> None:
    keys = (ec.derive_private_key(scalar, ec.SECP256R1()) for scalar in range(1, 5000))
    key = next(key for key in keys if key.public_key().public_numbers().x >> 248 == 0)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    issuing = TokenIssuer(key_pem=pem, issuer=ISSUER, audience=AUDIENCE)
    verifier = TokenVerifier(public_keys=issuing.public_keys(), issuer=ISSUER, audience=AUDIENCE)
    assert verifier.verify(issuing.issue(partner_id="p", client_id="c", now=NOW), now=NOW)
    assert len(verifier.jwks()["keys"][0]["x"]) == 43


LOCKED = load_pem_private_key(KEY.encode(), None).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
)
P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "secret",
        PUBLIC,
        KEY.encode(),
        KEY[:-40],
        LOCKED.decode(),
        None,
        P384.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    ],
    ids=["empty", "secret", "public", "bytes", "cut", "locked", "none", "p384", "rsa"],
)
def test_an_issuer_takes_only_the_pem_text_of_a_private_p256_key(pem: Any) -> None:
    with pytest.raises(BadKey, match=r"PEM text of a EllipticCurvePrivateKey on the curve P-256"):
        TokenIssuer(key_pem=pem, issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "secret",
        KEY,
        PUBLIC.encode(),
        PUBLIC_FORMS["der"],
        PUBLIC_FORMS["ssh"].decode(),
        VERIFIER.jwks(),
        None,
        P384.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    ],
    ids=["empty", "secret", "private", "bytes", "der", "ssh", "jwks", "none", "p384", "rsa"],
)
def test_a_verifier_takes_only_the_pem_text_of_public_p256_keys(pem: Any) -> None:
    with pytest.raises(BadKey, match=r"PEM text of a EllipticCurvePublicKey on the curve P-256"):
        TokenVerifier(public_keys={"kid": pem}, issuer=ISSUER, audience=AUDIENCE)


def test_a_wrong_key_is_not_repeated_in_the_error() -> None:
    with pytest.raises(BadKey) as caught:
        TokenIssuer(key_pem="hunter2", issuer=ISSUER, audience=AUDIENCE)
    assert "hunter2" not in str(caught.value)


def test_new_keys_differ_and_are_pem_text() -> None:
    assert new_key_pem() != new_key_pem()
    assert new_key_pem().startswith("-----BEGIN PRIVATE KEY-----\n")


def test_neither_is_made_if_jose_would_use_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.jwk, "get_key", lambda _: object)
    with pytest.raises(WrongBackend, match=r"python-jose\[cryptography\]"):
        TokenIssuer(key_pem=KEY, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(WrongBackend):
        TokenVerifier(public_keys={KID: PUBLIC}, issuer=ISSUER, audience=AUDIENCE)


# --- the walls around it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, OverflowError, RecursionError, TypeError])
def test_whatever_the_library_raises_is_an_invalid_token(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise error("detail")

    monkeypatch.setattr(tokens.jwt, "decode", broken)
    assert refused(TOKEN, verifier=fresh()).reason == error.__name__


def test_the_library_sees_one_pem_text_and_one_algorithm_and_no_misshapen_token(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any, Any]] = []
    decode = tokens.jwt.decode

    def watched(token: Any, key: Any, *, algorithms: Any, **options: Any) -> Any:
        seen.append((token, key, algorithms))
        return decode(token, key, algorithms=algorithms, **options)

    monkeypatch.setattr(tokens.jwt, "decode", watched)
    for token in MISSHAPEN.values():
        refused(token)
    refused(forge(changed(HEADER, alg="HS256")))
    fresh().verify(TOKEN, now=NOW)
    assert seen == [(TOKEN, PUBLIC, ["ES256"])]


def test_jose_is_imported_in_one_module_only() -> None:
    root = Path(tokens.__file__).parents[2]
    modules = [path for name in ("gateway", "adapters") for path in (root / name).rglob("*.py")]
    importing = [path for path in modules if "jose" in imported(path)]
    assert importing == [Path(tokens.__file__)]


def imported(path: Path) -> set[str]:
    """Top-level names of all that a file imports."""
    import ast

    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
    return names


def test_importing_the_module_warns_of_nothing() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", "import gateway.partners.tokens"], check=True, timeout=60)


def test_a_text_that_was_verified_is_known_and_holds_no_longer_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    own, asked = fresh(), []
    verified = TokenVerifier._verified
    monkeypatch.setattr(
        TokenVerifier, "_verified", lambda self, token, *, now: (asked.append(token), verified(self, token, now=now))[1]
    )
    claims = own.verify(TOKEN, now=NOW)
    last = NOW + timedelta(seconds=900 + 5) - timedelta(microseconds=1)
    for now in (NOW - timedelta(seconds=5), NOW, last):
        assert own.verify(TOKEN, now=now) is claims
    assert asked == [TOKEN]
    for now in (NOW - timedelta(seconds=5, microseconds=1), last + timedelta(microseconds=1), NOW + timedelta(days=1)):
        with pytest.raises(InvalidToken):
            own.verify(TOKEN, now=now)


def test_what_is_not_quite_a_known_text_is_not_known() -> None:
    own = fresh()
    own.verify(TOKEN, now=NOW)
    for text in (TOKEN + "A", TOKEN[:-1], TOKEN.swapcase(), f" {TOKEN}", TOKEN.encode()):
        with pytest.raises(InvalidToken):
            own.verify(text, now=NOW)  # type: ignore[arg-type]


def test_no_more_texts_are_known_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KNOWN_MOST", 3)
    own = fresh()
    texts = [ISSUING.issue(partner_id="par_1", client_id="lm_1", now=NOW) for _ in range(5)]
    for text in texts:
        own.verify(text, now=NOW)
    assert list(own._known) == texts[2:]
