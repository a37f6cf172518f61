"""Identifiers. Those in the open sort by time; those that open a door are random."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime

from ulid import ULID

_TIME_BYTES, _RANDOM_BYTES = 6, 10

_entropy: Callable[[int], bytes] = os.urandom


def draw_from(entropy: Callable[[int], bytes]) -> None:
    """Where the random part of ids comes from: a simulation's seed, so that its run can be repeated. Never tokens' part."""
    global _entropy  # noqa: PLW0603 - one per process
    _entropy = entropy


def new_id(prefix: str, *, now: datetime) -> str:
    """A new id such as "ord_01JD…": 26 characters of ULID behind a prefix, sortable by `now` (48 bits of it in ms)."""
    milliseconds = int(now.timestamp() * 1000)
    return f"{prefix}_{ULID(milliseconds.to_bytes(_TIME_BYTES, 'big') + _entropy(_RANDOM_BYTES))}"


def new_token() -> str:
    """192 random bits in 32 URL-safe characters: for addresses that nobody may guess (tracking pages)."""
    return secrets.token_urlsafe(24)
