"""HTTP message signatures (RFC 9421) with a content digest (RFC 9530), as pawaPay makes and wants them.

pawaPay's own examples write ECDSA signatures in DER, the RFC writes r and s one after the other: both are read, DER is
written. Time is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from http_message_signatures import (
    ContentDigest,
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ECDSA_P256_SHA256, ECDSA_P384_SHA384

LABEL = "sig-pp"
SIGNED = ("@method", "@authority", "@path", "signature-date", "content-digest", "content-type")
"""What we sign of a request, in the order of pawaPay's example."""
BOUND = ("@method", "@authority", "@path", "content-digest")
"""What pawaPay must have signed of a callback: its body, and that it was sent to us. It signs for all its customers with one
key: what it told another customer must not count here."""
LIFE = timedelta(seconds=60)
SKEW = timedelta(seconds=60)
"""How far pawaPay's clock may be ahead of ours."""


class Unproven(Exception):
    """The signature is missing, wrong, stale, or not of this message."""


class UnknownKey(Unproven):
    """It may well be right, but it is made with a key that isn't known here."""


@dataclass(slots=True)
class Message:
    """A request, as the library wants it."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


class _Sha512Digest(ContentDigest):
    algorithm = "sha-512"


class _Either:
    """ECDSA whose signatures are written in DER, and read in DER or as the RFC has them."""

    public_key: EllipticCurvePublicKey | None
    private_key: EllipticCurvePrivateKey | None
    signature_algorithm: Any
    _coordinate_size: int

    def sign(self, message: bytes) -> bytes:
        assert self.private_key is not None
        return self.private_key.sign(message, self.signature_algorithm)

    def verify(self, signature: bytes, message: bytes) -> None:
        assert self.public_key is not None
        size = self._coordinate_size
        if len(signature) == 2 * size:
            r, s = (int.from_bytes(each, "big") for each in (signature[:size], signature[size:]))
            signature = encode_dss_signature(r, s)
        self.public_key.verify(signature, message, self.signature_algorithm)


class _P256(_Either, ECDSA_P256_SHA256):
    pass


class _P384(_Either, ECDSA_P384_SHA384):
    pass


class _Keys(HTTPSignatureKeyResolver):
    """The known keys on one curve, and a note of the ids that were looked for in vain."""

    def __init__(self, keys: Mapping[str, EllipticCurvePublicKey], *, curve: str) -> None:
        self._keys = keys
        self._curve = curve
        self.missing = False

    def resolve_public_key(self, key_id: str) -> EllipticCurvePublicKey | None:
        key = self._keys.get(key_id)
        self.missing = key is None
        return key if key is not None and key.curve.name == self._curve else None


class _Verifier(HTTPMessageVerifier):
    """Judges age by the time at which the message arrived, not by the time at which it is read."""

    def __init__(self, *, algorithm: type[_P256 | _P384], keys: _Keys, now: datetime) -> None:
        super().__init__(signature_algorithm=algorithm, key_resolver=keys)
        self._now = now

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        """Created not in the future and not longer ago than `max_age`; not expired."""
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        now, skew = int(self._now.timestamp()), int(SKEW.total_seconds())
        if type(created) is not int or max_age is None or created > now + skew:
            raise InvalidSignature("created is missing or in the future")
        if created + int(max_age.total_seconds()) < now:
            raise InvalidSignature("too old")
        if expires is not None and (type(expires) is not int or expires + skew < now):
            raise InvalidSignature("expired")


def sign(message: Message, body: bytes, *, key: EllipticCurvePrivateKey, key_id: str, now: datetime) -> dict[str, str]:
    """The headers of a signed request: the given ones, Content-Digest, Signature-Date, Signature-Input and Signature."""
    signer = HTTPMessageSigner(
        signature_algorithm=ALGORITHMS[key.curve.name],
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: key}),
    )
    signer.content_digest_class = _Sha512Digest
    message.headers["Signature-Date"] = f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"
    signer.sign(
        message,
        key_id=key_id,
        created=now,
        expires=now + LIFE,
        label=LABEL,
        covered_component_ids=SIGNED,
        body=body,
    )
    return message.headers


def verify(
    message: Message, body: bytes, *, keys: Mapping[str, EllipticCurvePublicKey], now: datetime, fresh: timedelta
) -> None:
    """Raise `Unproven` unless a living signature under one of the keys covers this body, sent to this address."""
    missing = False
    for curve, algorithm in ALGORITHMS.items():
        resolver = _Keys(keys, curve=curve)
        verifier = _Verifier(algorithm=algorithm, keys=resolver, now=now)
        try:
            results = verifier.verify(message, max_age=fresh, require_components=BOUND, body=body)
        except (HTTPMessageSignaturesException, InvalidSignature, ValueError):
            missing = missing or resolver.missing
            continue
        if results and all(each.body == body for each in results):
            return
    if missing:
        raise UnknownKey("it is signed with a key that isn't known")
    raise Unproven("its signature is missing, wrong, stale or of another message")


ALGORITHMS: Mapping[str, type[_P256 | _P384]] = {SECP256R1.name: _P256, SECP384R1.name: _P384}
