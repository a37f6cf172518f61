"""Credentials of a partner's client: made here, shown once, kept as a hash.

The hash is one round of SHA-256 without salt or key. Slow hashes (argon2, bcrypt) make guessing dear where people choose
the secret; ours has 256 random bits, so there is nothing to guess and no two are alike. A slow hash would only let anybody
burn our processor at the token endpoint.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

from gateway.ids import new_id

SECRET_PREFIX = "lm_secret_"  # noqa: S105 - the fixed beginning, by which scanners find a leaked secret
_RANDOM_BYTES = 32
_NOBODY = bytes(sha256().digest_size)
"""Stands in for the hash of an unknown client; no text is known to hash to zeros."""


def new_client_id(*, now: datetime) -> str:
    """A new public name of a client: "lm_" and a ULID of `now`."""
    return new_id("lm", now=now)


def new_client_secret() -> str:
    """A new secret of 256 random bits: "lm_secret_" and 43 URL-safe characters."""
    return SECRET_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_secret(*, secret: str) -> bytes:
    """The 32 bytes to keep in place of the secret."""
    # Form fields and JSON may hold lone surrogates; a wrong secret has to be refused, not to break us.
    return sha256(secret.encode(errors="surrogatepass")).digest()


def secret_matches(*, secret: str, secret_hash: bytes | None) -> bool:
    """Whether this is the client's secret. Give None for an unknown client: the same work is done, so time tells nothing."""
    same = compare_digest(hash_secret(secret=secret), _NOBODY if secret_hash is None else secret_hash)
    return same and secret_hash is not None
