"""The one place that reads the time. Below the edge, time is an argument named `now`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time; simulations pass their own."""

    def __call__(self) -> datetime:
        """The present moment, with time zone UTC."""


def system_clock() -> datetime:
    """The present moment by the machine's clock, in UTC."""
    return datetime.now(UTC)
