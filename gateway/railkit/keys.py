"""Ids in the form that a provider wants, made from ours; ids of deliveries; signatures."""

from __future__ import annotations

import hashlib
import hmac
from uuid import UUID

from gateway.offramp import CallbackRequest


def uuid4_of(attempt_id: str) -> str:
    """A UUID of version 4 (RFC 9562, section 5.4) that is always the same for an attempt: its id at rails that want one."""
    return str(UUID(bytes=hashlib.sha256(attempt_id.encode()).digest()[:16], version=4))


def event_id(request: CallbackRequest) -> str:
    """The same for the same bytes at the same address, for providers that put no id of their own on a delivery."""
    parts = (request.attempt_id.encode(), request.label.encode(), request.body)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def same(given: str, right: str) -> bool:
    """Compare a signature or a secret in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())
