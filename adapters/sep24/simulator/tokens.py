"""The simulated anchor's tokens (SEP-10): JWTs that it signs itself (HS256), each for one account and customer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime

from gateway.railkit.documents import document_or_empty, text_of
from gateway.railkit.keys import same

LIFE_S = 3600


class Tokens:
    """Issues them, checks them, and lets one die before its time."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._dead: set[str] = set()
        self._issued = 0

    def issue(self, subject: str, *, issuer: str, now: datetime) -> str:
        """A new one; different each time."""
        self._issued += 1
        began = int(now.timestamp())
        claims = {"iss": issuer, "sub": subject, "iat": began, "exp": began + LIFE_S, "jti": str(self._issued)}
        signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def subject(self, authorization: str, *, now: datetime) -> str | None:
        """Whom a good token is for; None for any other."""
        token = authorization.removeprefix("Bearer ")
        signed, _, signature = token.rpartition(".")
        if token in self._dead or not authorization.startswith("Bearer ") or not same(signature, self._signature(signed)):
            return None
        claims = document_or_empty(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        return text_of(claims.get("sub")) if claims.get("exp", 0) > now.timestamp() else None

    def kill(self, authorization: str) -> None:
        """Take a token for bad from now on."""
        self._dead.add(authorization.removeprefix("Bearer "))

    def _signature(self, signed: str) -> str:
        return _text(hmac.digest(self._key, signed.encode(), hashlib.sha256))


def _part(value: object) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
