"""Rates in a file that somebody else signed: the operator's treasury, a bank, a partner.

The file is as `rate_file` describes it. Beside it lies its Ed25519 signature (RFC 8032) over the file's bytes, in base64.
With openssl 3:

    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -outform DER | tail -c 32 | base64                        # public_key
    openssl pkeyutl -sign -rawin -inkey key.pem -in rates.json | base64 -w0 > rates.json.sig   # after each change
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.pricing.observations import Observation
from gateway.pricing.sources.port import SourceFault
from gateway.pricing.sources.rate_file import RateFileSettings, read_rate_file, read_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFileSettings:
    """Where signed rates lie, and whose signature counts."""

    name: str
    path: Path
    signature: Path
    public_key: str
    """Ed25519, its 32 bytes in base64."""
    max_age: timedelta


class SignedFile:
    """A signed file, read and verified anew each time. Raises ValueError for a public key that is none."""

    def __init__(self, settings: SignedFileSettings) -> None:
        self._settings = settings
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(settings.public_key, validate=True))

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """Every price in the file, if the signature is right. Raises `SourceFault`."""
        settings = self._settings
        body = await asyncio.to_thread(self._verified)
        file = RateFileSettings(name=settings.name, path=settings.path, max_age=settings.max_age)
        return read_rate_file(body, settings=file, now=now)

    def _verified(self) -> bytes:
        settings = self._settings
        body = read_whole(self.name, settings.path)
        try:
            signature = base64.b64decode(read_whole(self.name, settings.signature).strip(), validate=True)
        except binascii.Error:
            raise SourceFault(self.name, f"{settings.signature} is not a signature in base64") from None
        try:
            self._key.verify(signature, body)
        except InvalidSignature:
            sentence = f"{settings.signature} does not sign {settings.path} by the public_key that is configured"
            raise SourceFault(self.name, sentence) from None
        return body
