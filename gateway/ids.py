"""Identifiers. Those in the open sort by time; those that open a door are random."""

from __future__ import annotations

import secrets
from datetime import datetime

from ulid import ULID


def new_id(prefix: str, *, now: datetime) -> str:
    """A new id such as "ord_01JD…": 26 characters of ULID behind a prefix, sortable by `now` (48 bits of it in ms)."""
    return f"{prefix}_{ULID.from_datetime(now)}"


def new_token() -> str:
    """192 random bits in 32 URL-safe characters: for addresses that nobody may guess (tracking pages)."""
    return secrets.token_urlsafe(24)
