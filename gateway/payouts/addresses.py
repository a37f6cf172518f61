"""Callback addresses: nobody can guess one, and what arrives at one is known to concern its attempt.

An address is hexadecimal throughout: some rails refuse URLs with certain words in them (Daraja: mpesa, exe, cmd, sql,
query), and no such word can be spelled with the letters a to f.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import NamedTuple

from gateway.offramp import RAILS_OWN, NamesAttempt, Offramp

PATH = "/callbacks/"
_TAG_BYTES = 16
_SEPARATOR = "\n"
_PARTS = 3


class Callee(NamedTuple):
    """Whom a callback is for."""

    adapter: str
    attempt_id: str
    label: str


class CallbackAddresses:
    """Makes and reads addresses under `public_url` with a secret `key` of at least 32 bytes, shared by all processes."""

    def __init__(self, *, public_url: str, key: bytes) -> None:
        if len(key) < 2 * _TAG_BYTES:
            raise ValueError("the callback key is too short; give 32 random bytes")
        self._prefix = public_url.rstrip("/") + PATH
        self._key = key

    def address(self, callee: Callee) -> str:
        """The absolute URL to hand to a rail."""
        text = _SEPARATOR.join(callee).encode()
        return self._prefix + text.hex() + self._tag(text).hex()

    def read(self, token: str) -> Callee | None:
        """Whom the last part of an address names; None if it isn't one of ours."""
        try:
            raw = bytes.fromhex(token)
            text, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
            parts = text.decode().split(_SEPARATOR)
        except ValueError:
            return None
        if not hmac.compare_digest(tag, self._tag(text)) or len(parts) != _PARTS:
            return None
        return Callee(*parts)

    def _tag(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")[:_TAG_BYTES]


class Webhook(NamedTuple):
    """An address that a person has to enter at a provider."""

    rail: str
    label: str
    address: str
    where: str
    """Where it is entered there."""


def webhooks(rails: Mapping[str, Offramp], addresses: CallbackAddresses) -> list[Webhook]:
    """The addresses of the rails that call one address about all their payments."""
    return [
        Webhook(name, label, addresses.address(Callee(name, RAILS_OWN, label)), where)
        for name, adapter in rails.items()
        if isinstance(adapter, NamesAttempt)
        for label, where in adapter.webhooks.items()
    ]
