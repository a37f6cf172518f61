"""Bitso's webhooks: RSA over the payload object alone, as compact JSON. docs.bitso.com, page Webhook Signatures."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.legs import attempt_of_leg
from gateway.offramp import CallbackRequest, ForgedCallback
from gateway.railkit.documents import Unreadable, document, inner, text_of

SIGNATURE = "x-bitso-webhook-event-signature"
_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
"""A text, kept as it is, or whitespace between."""
_decoder = json.JSONDecoder()


def verified(request: CallbackRequest, *, keys: Mapping[str, str]) -> dict[str, Any]:
    """The payload of a delivery that one of these keys signed. Raises `ForgedCallback`.

    Which key it was, its header says; but that header isn't kept with a callback, and any of Bitso's keys is Bitso.
    """
    try:
        document(request.body)
        signed = payload_text(request.body.decode())
        signature = base64.b64decode(request.headers.get(SIGNATURE, ""), validate=True)
        read = document(signed.encode())
    except (Unreadable, ValueError, binascii.Error, RecursionError):
        raise ForgedCallback("it can't be read") from None
    if not any(_signed_by(key, signature, signed.encode()) for key in keys.values()):
        raise ForgedCallback("no key of Bitso's has signed it")
    return read


def payload_text(body: str) -> str:
    """The text of the envelope's payload, without whitespace between its tokens: the bytes that are signed.

    Order, escapes and numbers stay as they were sent. Raises ValueError for an envelope without exactly one payload.
    """
    compact = _SPACE.sub(r"\1", body)
    found, at = [], 1
    while compact[at : at + 1] == '"':
        name, colon = _decoder.raw_decode(compact, at)
        _, end = _decoder.raw_decode(compact, colon + 1)
        if name == "payload":
            found.append(compact[colon + 1 : end])
        at = end + 1
    if len(found) != 1:
        raise ValueError("an envelope has one payload")
    return found[0]


def attempt_of(read: Mapping[str, Any]) -> str | None:
    """The attempt whose leg a withdrawal is."""
    ours = text_of(inner(read, "details").get("origin_id"))
    return None if ours is None else attempt_of_leg(ours)


def _signed_by(key: str, signature: bytes, signed: bytes) -> bool:
    public = load_der_public_key(base64.b64decode(key))
    assert isinstance(public, RSAPublicKey)
    try:
        public.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
