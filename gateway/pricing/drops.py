"""When payouts that chose economy go: together, at the next multiple of their corridor's slot. The same for everybody."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_FURTHER = re.compile(r"\+[^/]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_drop(now: datetime, *, every: timedelta) -> datetime:
    """The first drop that isn't before `now`: drops are at multiples of `every` since 1970-01-01T00:00Z."""
    return now + (_EPOCH - now) % every


def corridor_lane(lane: str) -> str:
    """An order's lane without the further methods by which its recipient can be reached: that of its corridor."""
    return _FURTHER.sub("", lane)
