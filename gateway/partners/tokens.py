"""Access tokens of partners: ES256 JWTs of fifteen minutes, by RFC 9068. The only module that may import jose.

Risky component (OWASP ASVS 15.1.4): python-jose 3.5.0 is its newest release and has an open hole, CVE-2026-85394: a public
key in DER form is accepted as an HMAC secret, so that anybody who knows our public key could sign. It also accepts a
token without `aud`, an empty key, any key of a JWKS, and non-canonical base64. This wrapper is not exposed to any of that:

- keys are PEM strings of P-256 public keys, checked at construction; never DER, bytes, a dict, a JWKS or a secret;
- one asymmetric algorithm, a constant here: what a token says of its algorithm is compared with it and never obeyed;
- the key is looked up in our own table by `kid`; a token cannot bring or point to a key, because no other header passes;
- size, alphabet, base64 and header are checked before jose sees the text, presence and type of every claim after it.

Only signing and verifying of compact JWS are used: no JWE, and no claim is read from a token that is not verified. PyJWT
or joserfc can take jose's place in `TokenIssuer.issue` and `TokenVerifier.verify`; the tests know nothing of jose.

One token has more than one text: for an ECDSA signature (r, s), (r, n-s) is valid too. Whoever stores tokens to find a
replay stores `Claims.token_id`, never the text.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jose import jwk, jwt  # type: ignore[import-untyped]
from jose.backends.cryptography_backend import CryptographyECKey  # type: ignore[import-untyped]
from jose.exceptions import JOSEError  # type: ignore[import-untyped]

from gateway.errors import Refusal
from gateway.ids import new_id

LIFETIME = timedelta(minutes=15)
LEEWAY_S = 5
"""How far two of our machines' clocks may differ, in seconds."""
KNOWN_MOST = 10_000
"""How many verified tokens a verifier remembers; more than that verify again."""
LENGTH_MOST = 4096
"""Longest token that is looked at, in characters; ours have about 600."""

_ALGORITHM = "ES256"
_TYPE = "at+jwt"
_PURPOSE = "access"
_LEEWAY = timedelta(seconds=LEEWAY_S)
_LIFETIME_S = LIFETIME // timedelta(seconds=1)
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_HEADERS = {"alg", "kid", "typ"}
_CLAIMS = {
    "iss": str,
    "sub": str,
    "aud": str,
    "iat": int,
    "nbf": int,
    "exp": int,
    "jti": str,
    "client_id": str,
    "purpose": str,
}
# jose judges time by the machine's clock; here the time is an argument, so `_check_time` does it, more strictly.
_OPTIONS = {
    "require_iss": True,
    "require_sub": True,
    "require_aud": True,
    "require_jti": True,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_exp": False,
}


class InvalidToken(Refusal):
    """Not a token of ours, or not now. The sentence is always the same; `reason` is for our logs, free of its text."""

    code: ClassVar[str] = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__("The access token is not valid. Ask POST /oauth/token for a new one.")
        self.reason = reason


class BadKey(Exception):
    """A key we can't work with; the sentence says what would be right."""


class WrongBackend(Exception):
    """jose would compute on elliptic curves with a library other than cryptography, whose timing may tell the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says."""

    partner_id: str
    client_id: str
    token_id: str
    """The jti: the same for every text of one token."""
    begins_at: datetime
    expires_at: datetime

    def holds(self, now: datetime) -> bool:
        """Whether the token is good at `now`, by the clocks' leeway."""
        return self.begins_at - _LEEWAY <= now < self.expires_at + _LEEWAY


class TokenIssuer:
    """Signs tokens with one private key, a P-256 key as PEM text. Raises `BadKey` or `WrongBackend`."""

    def __init__(self, *, key_pem: str, issuer: str, audience: str) -> None:
        _check_backend()
        self._key_pem = key_pem
        self._public_pem = public_pem(key_pem=key_pem)
        self._headers = {"kid": key_id(public_pem=self._public_pem), "typ": _TYPE}
        self._issuer = issuer
        self._audience = audience

    def public_keys(self) -> dict[str, str]:
        """Key id and PEM of the public key: an entry for the table of a `TokenVerifier`."""
        return {self._headers["kid"]: self._public_pem}

    def issue(self, *, partner_id: str, client_id: str, now: datetime) -> str:
        """A token for this partner, good from `now` for `LIFETIME`."""
        issued = _seconds(now)
        claims = {
            "iss": self._issuer,
            "sub": partner_id,
            "aud": self._audience,
            "iat": issued,
            "nbf": issued,
            "exp": issued + _LIFETIME_S,
            "jti": new_id("tok", now=now),
            "client_id": client_id,
            "purpose": _PURPOSE,
        }
        return str(jwt.encode(claims, self._key_pem, algorithm=_ALGORITHM, headers=self._headers))


class TokenVerifier:
    """Verifies tokens against a table of public keys, kid to PEM text; with several of them old and new keys overlap.

    Raises `BadKey` or `WrongBackend`.
    """

    def __init__(self, *, public_keys: Mapping[str, str], issuer: str, audience: str) -> None:
        _check_backend()
        self._jwks = {"keys": [_public_jwk(public_pem=pem) | _usage(kid) for kid, pem in public_keys.items()]}
        self._public_keys = dict(public_keys)
        self._issuer = issuer
        self._audience = audience
        self._known: dict[str, Claims] = {}

    def jwks(self) -> dict[str, Any]:
        """The accepted public keys as a JWK set (RFC 7517), to publish."""
        return self._jwks

    def verify(self, token: str, *, now: datetime) -> Claims:
        """What the token says, if we signed it for this audience and it is good at `now`. Raises `InvalidToken` only.

        A text that was verified once is looked up from then on, for as long as it holds: a signature doesn't change.
        """
        known = self._known.get(token) if type(token) is str else None
        if known is None or not known.holds(now):
            known = self._verified(token, now=now)
            while len(self._known) >= KNOWN_MOST:
                del self._known[next(iter(self._known))]  # the oldest: it ends first
            self._known[token] = known
        return known

    def _verified(self, token: str, *, now: datetime) -> Claims:
        try:
            public_pem = self._key_for(token)
            claims = jwt.decode(
                token,
                public_pem,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options=_OPTIONS,
            )
            return _read(claims, now=_seconds(now))
        except (JOSEError, ValueError, OverflowError, RecursionError, TypeError) as error:
            raise InvalidToken(type(error).__name__) from error

    def _key_for(self, token: str) -> str:
        """Everything before jose: size, alphabet, base64 and header. Returns the PEM of the one key to try."""
        _demand(type(token) is str and len(token) <= LENGTH_MOST, "no text, or too long")
        segments = _COMPACT.fullmatch(token)
        if segments is None:
            raise InvalidToken("not three segments of base64url")
        raw_header, _claims, _signature = map(_decoded, segments.groups())
        header = json.loads(raw_header.decode(), object_pairs_hook=_unique)
        _demand(type(header) is dict and header.keys() == _HEADERS, "other headers than alg, kid, typ")
        _demand(header["alg"] == _ALGORITHM, "another algorithm")
        _demand(header["typ"] == _TYPE, "another type of token")
        _demand(header["kid"] in self._public_keys, "unknown key id")
        return self._public_keys[header["kid"]]


def new_key_pem() -> str:
    """A new private key for `TokenIssuer`: P-256, as PEM text. Whoever reads it can sign for every partner."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(*, key_pem: str) -> str:
    """The public half of a private key, both as PEM text. Raises `BadKey`."""
    key = _loaded(key_pem, load=lambda pem: load_pem_private_key(pem, password=None), kind=ec.EllipticCurvePrivateKey)
    public: ec.EllipticCurvePublicKey = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_id(*, public_pem: str) -> str:
    """The key's thumbprint by RFC 7638: SHA-256 over its required members. Raises `BadKey`."""
    members = json.dumps(_public_jwk(public_pem=public_pem), sort_keys=True, separators=(",", ":"))
    return _encoded(sha256(members.encode()).digest())


def _public_jwk(*, public_pem: str) -> dict[str, str]:
    """The members that make this key, in the names of RFC 7518 section 6.2."""
    numbers = _loaded(public_pem, load=load_pem_public_key, kind=ec.EllipticCurvePublicKey).public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": _encoded(numbers.x.to_bytes(32, "big")),
        "y": _encoded(numbers.y.to_bytes(32, "big")),
    }


def _usage(kid: str) -> dict[str, str]:
    return {"alg": _ALGORITHM, "kid": kid, "use": "sig"}


def _loaded(pem: str, *, load: Any, kind: type) -> Any:
    """The key in a PEM text. jose takes other forms too, and some of them are its holes."""
    sentence = f"A token key is the PEM text of a {kind.__name__} on the curve P-256 (secp256r1)."
    if type(pem) is not str:
        raise BadKey(sentence)
    try:
        key = load(pem.encode())
    except (ValueError, TypeError) as error:
        raise BadKey(sentence) from error
    if not isinstance(key, kind) or not isinstance(key.curve, ec.SECP256R1):  # type: ignore[attr-defined]
        raise BadKey(sentence)
    return key


def _check_backend() -> None:
    backend = jwk.get_key(_ALGORITHM)
    if backend is not CryptographyECKey:
        raise WrongBackend(f"jose signs with {backend}; it must be {CryptographyECKey}: install python-jose[cryptography].")


def _read(claims: dict[str, Any], *, now: int) -> Claims:
    """Everything after jose: presence and exact type of each claim, purpose and time."""
    for name, kind in _CLAIMS.items():
        _demand(type(claims.get(name)) is kind, f"claim {name} missing or of another type")
    _demand(claims["purpose"] == _PURPOSE, "another purpose")
    _check_time(issued=claims["iat"], begins=claims["nbf"], ends=claims["exp"], now=now)
    return Claims(
        partner_id=claims["sub"],
        client_id=claims["client_id"],
        token_id=claims["jti"],
        begins_at=datetime.fromtimestamp(max(claims["iat"], claims["nbf"]), UTC),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


def _check_time(*, issued: int, begins: int, ends: int, now: int) -> None:
    _demand(ends - issued <= _LIFETIME_S, "lives too long")
    _demand(issued <= now + LEEWAY_S, "issued in the future")
    _demand(begins <= now + LEEWAY_S, "not yet valid")
    _demand(now < ends + LEEWAY_S, "expired")


def _demand(condition: bool, reason: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise InvalidToken(reason)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key comes twice: two parsers may each believe another one of them."""
    members = dict(pairs)
    _demand(len(members) == len(pairs), "a header twice")
    return members


def _decoded(segment: str) -> bytes:
    """Strict base64url. Python ignores the spare bits of the last character, which would give one token many texts."""
    raw = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    _demand(_encoded(raw) == segment, "base64url not canonical")
    return raw


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _seconds(moment: datetime) -> int:
    """NumericDate (RFC 7519): whole seconds since 1970 in UTC."""
    return timegm(moment.utctimetuple())
