"""A rail's breaker as a pure function: what it was and what was seen make what it is.

Closed: all may pass. Open: none, for a pause that grows. Half open: one payment, the probe, shows whether the rail works
again. Stopped: a person closed the rail, and a person opens it.

The numbers have proved themselves elsewhere: five failures in a row, a pause of 30 seconds that grows to five minutes
(Envoy's outlier detection: consecutive_5xx, base_ejection_time, max_ejection_time); half of at least twenty calls (Hystrix:
errorThresholdPercentage, requestVolumeThreshold; in a minute instead of ten seconds, for payments are fewer than calls in a
data centre).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import NamedTuple
from zlib import crc32

from gateway.offramp import Fault, Outcome, Report
from gateway.payouts.reports import LEASE_RAN_OUT, OUTSIDE_LIMITS

IN_ROW_MOST = 5
WINDOW = timedelta(seconds=60)
WINDOW_LEAST = 20
FIRST_PAUSE = timedelta(seconds=30)
LAST_PAUSE = timedelta(minutes=5)
JITTER_PERCENT = 10
LONGEST_PAUSE = LAST_PAUSE * (100 + JITTER_PERCENT) / 100


class Breaker(StrEnum):
    """What may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    STOPPED = "stopped"


class Seen(NamedTuple):
    """What one sending showed of a rail."""

    rail: str
    ok: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A breaker and what it counts. `good`, `bad`: since the first failure within the last minute."""

    state: Breaker = Breaker.CLOSED
    since: datetime | None = None
    reason: str | None = None
    open_until: datetime | None = None
    openings: int = 0
    """How often it opened without having been closed since."""
    in_row: int = 0
    good: int = 0
    bad: int = 0
    window_from: datetime | None = None


def judge(rail: str, report: Report) -> Seen | None:
    """What the answer to a sending says of the rail's health; None: nothing.

    A refused recipient is a rail that works, as is one that says that our float is too low.
    """
    if report.outcome is Outcome.UNKNOWN:
        return Seen(rail, ok=False, reason=report.reason or "unknown outcome")
    if report.outcome is not Outcome.FAILED or report.fault in (Fault.RECIPIENT, Fault.FLOAT):
        return _works(rail)
    reason = report.reason or f"failed ({report.fault})"
    if reason.startswith((LEASE_RAN_OUT, OUTSIDE_LIMITS)):
        return None
    return Seen(rail, ok=False, reason=reason)


@cache
def _works(rail: str) -> Seen:
    return Seen(rail, ok=True, reason="")


def after(health: Health, seen: Sequence[Seen], *, rail: str, now: datetime) -> Health:
    """The breaker after what was `seen` of the rail, in that order."""
    for one in seen:
        if health.state is Breaker.CLOSED:
            health = _counted(health, one, rail=rail, now=now)
        elif health.state is Breaker.HALF_OPEN:
            health = Health(since=now) if one.ok else _opened(health, one.reason, rail=rail, now=now)
        # Open or stopped: the answer belongs to a call from before, which shows nothing new.
    return health


def is_due(health: Health, *, now: datetime) -> bool:
    """Whether an open breaker may try a probe. A pause longer than any comes from a clock that was set back."""
    if health.state is not Breaker.OPEN or health.open_until is None:
        return False
    return health.open_until <= now or health.open_until > now + LONGEST_PAUSE


def _counted(health: Health, one: Seen, *, rail: str, now: datetime) -> Health:
    if health.window_from is not None and abs(now - health.window_from) > WINDOW:
        health = replace(health, good=0, bad=health.in_row, window_from=now if health.in_row else None)
    if one.ok:
        return health if health.window_from is None else replace(health, in_row=0, good=health.good + 1)
    bad, good, in_row = health.bad + 1, health.good, health.in_row + 1
    if in_row >= IN_ROW_MOST or (good + bad >= WINDOW_LEAST and bad >= good):
        return _opened(health, one.reason, rail=rail, now=now)
    return replace(health, bad=bad, in_row=in_row, window_from=health.window_from or now)


def _opened(health: Health, reason: str, *, rail: str, now: datetime) -> Health:
    openings = health.openings + 1
    return Health(state=Breaker.OPEN, since=now, reason=reason, openings=openings, open_until=now + pause(rail, openings))


def pause(rail: str, openings: int) -> timedelta:
    """How long a breaker stays open the `openings`-th time: twice as long as before.

    A little longer for some rails than for others, so that those which failed together aren't tried together.
    """
    whole = min(FIRST_PAUSE * (1 << min(openings - 1, 20)), LAST_PAUSE)
    return whole + whole * (crc32(f"{rail}:{openings}".encode()) % (JITTER_PERCENT + 1)) / 100
