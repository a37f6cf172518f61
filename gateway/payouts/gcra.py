"""The pace of calls to a rail, by the generic cell rate algorithm (ITU-T I.371): one moment says all that there is to know.

That moment, the theoretical arrival time, is when the next call would come if all came evenly. Calls may run ahead of it by
a small burst, a tenth of a second's worth, because they are claimed in sets. The interval between calls is chosen so that
burst and pace together never exceed the limit in any one second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CLOCKS_APART = timedelta(seconds=60)
"""How far the clocks of two machines may be apart. A moment further in the future comes from a clock that was set back."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`burst` calls at once, then one per `interval`."""

    burst: int
    interval: timedelta

    @classmethod
    def of(cls, calls_per_s: int) -> Pace:
        """At most `calls_per_s` calls in any one second."""
        calls = max(1, calls_per_s)
        burst = max(1, calls // 10)
        # In a second: the burst at its beginning, and one call per whole interval that fits behind it.
        return cls(burst, timedelta(microseconds=-(-1_000_000 // (calls - burst + 1))))

    def settled(self, next_at: datetime | None, *, now: datetime) -> datetime:
        """The moment as it counts now.

        After a long rest the burst is whole, and no more. After a clock was set back it is used up, and no more: nothing
        waits for the old time to come round again.
        """
        if next_at is None or next_at <= now:
            return now
        used_up = now + self.interval * self.burst
        return used_up if next_at > used_up + CLOCKS_APART else next_at

    def free(self, next_at: datetime | None, *, now: datetime) -> int:
        """How many calls may be made now."""
        room = now + self.interval * self.burst - self.settled(next_at, now=now)
        return max(0, room // self.interval)

    def taken(self, next_at: datetime | None, *, calls: int, now: datetime) -> datetime:
        """The moment after `calls` calls."""
        return self.settled(next_at, now=now) + self.interval * calls

    def again_at(self, next_at: datetime | None, *, now: datetime) -> datetime:
        """When a call is free again."""
        return max(now, self.settled(next_at, now=now) - self.interval * (self.burst - 1))
