"""When payouts that chose economy go: together, at the next multiple of their corridor's slot. The same for everybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_drop(now: datetime, *, every: timedelta) -> datetime:
    """The first drop that isn't before `now`: drops are at multiples of `every` since 1970-01-01T00:00Z."""
    return now + (_EPOCH - now) % every
