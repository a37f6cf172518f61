"""How soon rails are asked again and orders tried again: pure functions, the same for the same attempt on every run."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta

from gateway.offramp import Capabilities

FIRST_ASK = timedelta(seconds=2)
LAST_ASK = timedelta(minutes=15)
"""Ten thousand payments that a rail leaves open are then eleven questions a second."""
FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=10)
FIRST_WATCH = timedelta(hours=1)
LAST_WATCH = timedelta(days=1)
MARGIN = timedelta(seconds=5)
"""What a lease lasts beyond the adapter's answer_within: time to commit the claim and to record the answer."""
_DOUBLINGS_MOST = 20
_SPREAD = 4
"""Pauses are shortened by up to this part of them (a quarter)."""
_STEPS = 1 << 32


def lease_until(capabilities: Capabilities, *, now: datetime) -> datetime:
    """Until when a worker that claims now may take to call the rail and record its answer."""
    return now + capabilities.answer_within + MARGIN


def next_ask(asks: int, *, now: datetime, attempt_id: str = "") -> datetime:
    """When to ask again about an open attempt: after 2 s, 4 s, 8 s … at most every 15 minutes, without end.

    Each pause is shortened by up to a quarter, by the attempt's id: what was sent in one set isn't asked about in one.
    """
    return now + _spread(min(FIRST_ASK * (1 << min(asks, _DOUBLINGS_MOST)), LAST_ASK), of=f"{attempt_id}:{asks}")


def retry_at(failures: int, *, now: datetime, order_id: str = "") -> datetime:
    """When a funded order is tried again after its `failures`-th failed attempt: 5 s, 10 s … at most 10 minutes."""
    pause = min(FIRST_RETRY * (1 << min(max(failures - 1, 0), _DOUBLINGS_MOST)), LAST_RETRY)
    return now + _spread(pause, of=f"{order_id}:{failures}")


def next_watch(*, paid_at: datetime, capabilities: Capabilities, now: datetime) -> datetime | None:
    """When to ask again about a payment that may still come back; None: its window is over, or there never was one.

    After an hour, then each time as long as it has been paid, at most daily; the last time when the window ends.
    """
    end = paid_at + capabilities.returns_within
    if now >= end:
        return None
    return min(now + min(max(now - paid_at, FIRST_WATCH), LAST_WATCH), end)


def _spread(pause: timedelta, *, of: str) -> timedelta:
    return pause - pause * zlib.crc32(of.encode()) // (_STEPS * _SPREAD)
