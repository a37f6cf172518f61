"""Identifiers. Those in the open sort by time; those that open a door are random."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

from ulid import ULIDGenerator

_RANDOM_BYTES = 10

_generator = ULIDGenerator()


def draw_from(entropy: Callable[[int], bytes] | None) -> None:
    """Where the random part of ids comes from: a simulation's seed, so that its run can be repeated; None: the system again.

    `entropy` gives as many bytes as it is asked for. Tokens never come from it.
    """
    global _generator  # noqa: PLW0603 - one per process: ids of one moment sort as they were made
    _generator = ULIDGenerator(randomness=None if entropy is None else lambda _timestamp: entropy(_RANDOM_BYTES))


def new_id(prefix: str, *, now: datetime) -> str:
    """A new id such as "ord_01JD…": 26 characters of ULID behind a prefix, sortable by `now` (48 bits of it in ms).

    Those that a process makes in the same millisecond sort in the order in which they were made.
    """
    return f"{prefix}_{_generator.generate(now)}"


def new_token() -> str:
    """192 random bits in 32 URL-safe characters: for addresses that nobody may guess (tracking pages)."""
    return secrets.token_urlsafe(24)
