"""Rail weather: whether a rail works now, for each place where it pays, and why not.

Worked out of what everybody can see: breakers and stops, hours, float, when the rail last answered, and how it does now
compared with how it usually does. It names no account, no amount and nobody's words: partners and recipients read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum, auto
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.offramp import Capabilities, Corridor, CutOff
from gateway.routing.experience import FAILED, PAID, WAITING, Experience
from gateway.routing.histogram import BUCKETS, EDGES_S, Weights, density, evidence, quantile_s

SLOWER_TIMES = 3
"""A rail is slow if half of its payments take so many times as long as they usually do,"""
SLOWER_LEAST_S = 60
"""and so many seconds more."""
PAYMENTS_LEAST = 5
"""How many payments of now it takes to say so, or that many fail."""
OVERDUE_LEAST = 3
"""How many payments have to wait longer than nineteen of twenty usually take, until a rail that says nothing is silent."""
ANYWHERE = ""
"""In place of an institution: all of them."""
_DAYS = 8


class State(StrEnum):
    """How a rail does."""

    OPERATIONAL = auto()
    DELAYED = auto()
    CLOSED = auto()
    """Nothing is paid there now."""


class Why(StrEnum):
    """Why it does. The first that holds counts."""

    STOPPED = auto()
    """An operator stopped it."""
    FAILING = auto()
    """Payments failed; it is tried again at `changes_at`."""
    FLOAT_LOW = auto()
    """What we hold there doesn't cover a payment."""
    OUT_OF_HOURS = auto()
    """It works on payments again at `changes_at`."""
    SILENT = auto()
    """It answers nothing."""
    TRIED_AGAIN = auto()
    """It failed, and a payment shows whether it works again."""
    FAILURES = auto()
    """It answers, but many payments fail."""
    SLOW = auto()
    """Payments take longer than usual."""
    WORKS = auto()


SENTENCES = {
    Why.STOPPED: "This payment service is paused.",
    Why.FAILING: "Payments by this service failed. It is tried again soon.",
    Why.FLOAT_LOW: "This payment service pays again when we have put more money in.",
    Why.OUT_OF_HOURS: "This payment service is outside its working hours.",
    Why.SILENT: "This payment service doesn't answer.",
    Why.TRIED_AGAIN: "This payment service failed, and is being tried again.",
    Why.FAILURES: "Many payments by this service fail.",
    Why.SLOW: "Payments by this service take longer than usual.",
    Why.WORKS: "This payment service works.",
}
"""For partners and recipients."""


class Place(NamedTuple):
    """Where a rail pays. ISO codes of country and currency, and the institution's code or `ANYWHERE`."""

    rail: str
    country: str
    currency: str
    method: str
    institution: str = ANYWHERE


class Reading(NamedTuple):
    """How a rail does at one place."""

    state: State
    why: Why
    since: datetime | None = None
    changes_at: datetime | None = None
    """When that is expected to change; None: nobody knows."""


FAIR = Reading(State.OPERATIONAL, Why.WORKS)
STATES = {state: number for number, state in enumerate(State)}
"""The worse, the higher."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How rails do everywhere, as it was written last (gateway.payouts.weather)."""

    readings: Mapping[Place, Reading] = field(default_factory=dict)
    as_of: datetime | None = None

    def at(self, rail: str, country: str, currency: str, method: str, institution: str | None = None) -> Reading:
        """How a rail does at a place. What nobody has looked at works."""
        place = Place(rail, country, currency, method, institution or ANYWHERE)
        return self.readings.get(place) or self.readings.get(place._replace(institution=ANYWHERE)) or FAIR

    def best(self, country: str, currency: str, method: str, institution: str | None = None) -> tuple[str, Reading] | None:
        """The rail that does best there, and how; None: no rail pays there."""
        rails = {one.rail for one in self.readings if (one.country, one.currency, one.method) == (country, currency, method)}
        found = [(rail, self.at(rail, country, currency, method, institution)) for rail in sorted(rails)]
        return min(found, key=lambda one: STATES[one[1].state], default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of a rail's breaker (gateway.payouts.health)."""

    state: str
    since: datetime | None
    open_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the weather of all rails is worked out of, at one moment."""

    capabilities: Mapping[str, Capabilities]
    usual: Experience
    now: datetime
    recent: Mapping[tuple[str, str, str], Weights] = field(default_factory=dict)
    """By rail, currency and institution: slots as gateway.routing.experience has them, of payments of now."""
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    heard: Mapping[str, datetime] = field(default_factory=dict)
    """When a rail last answered anything."""
    left: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Units of float by rail and currency, where it is tracked."""


def readings(seen: Seen) -> dict[Place, Reading]:
    """The weather everywhere; of an institution only where it is worse than of the rest of its rail."""
    return dict(_readings(seen))


def _readings(seen: Seen) -> Iterator[tuple[Place, Reading]]:
    for rail, capabilities in seen.capabilities.items():
        for corridor in capabilities.corridors:
            code = corridor.asset.code
            everywhere = _by_facts(seen, rail, corridor) or _by_payments(seen, rail, code, None)
            if everywhere == FAIR:
                everywhere = FAIR._replace(changes_at=closing(capabilities.cut_offs, now=seen.now))
            place = Place(rail, corridor.country, code, corridor.method)
            yield place, everywhere
            for one in corridor.institutions:
                reading = _by_payments(seen, rail, code, one.code)
                if STATES[reading.state] > STATES[everywhere.state]:
                    yield place._replace(institution=one.code), reading


def _by_facts(seen: Seen, rail: str, corridor: Corridor) -> Reading | None:
    """What needs no payments to be known."""
    breaker = seen.breakers.get(rail)
    if breaker is not None and breaker.state == "stopped":
        return Reading(State.CLOSED, Why.STOPPED, breaker.since)
    if breaker is not None and breaker.state == "open" and breaker.open_until and seen.now < breaker.open_until:
        return Reading(State.CLOSED, Why.FAILING, breaker.since, breaker.open_until)
    left = seen.left.get((rail, corridor.asset.code))
    if left is not None and left < corridor.least.units:
        return Reading(State.CLOSED, Why.FLOAT_LOW)
    opens_at = opening(seen.capabilities[rail].cut_offs, now=seen.now)
    if opens_at is not None:
        return Reading(State.CLOSED, Why.OUT_OF_HOURS, None, opens_at)
    if breaker is not None and breaker.state in ("open", "half_open"):
        return Reading(State.DELAYED, Why.TRIED_AGAIN, breaker.since)
    return None


def _by_payments(seen: Seen, rail: str, code: str, institution: str | None) -> Reading:
    """What payments of now show."""
    kinds = [
        weights
        for (one, currency, where), weights in seen.recent.items()
        if (one, currency) == (rail, code) and institution in (None, where)
    ]
    if not kinds:
        return FAIR
    recent = np.sum(kinds, axis=0)
    usual = seen.usual.usual(rail, institution, code)
    return _silent(seen, rail, recent, usual) or _failing(recent) or _slow(recent, usual)


def _silent(seen: Seen, rail: str, recent: Weights, usual: Weights) -> Reading | None:
    waiting = recent[WAITING:]
    if waiting[np.searchsorted(np.cumsum(usual), 0.95) + 1 :].sum() < OVERDUE_LEAST:
        return None
    # Whom nobody asks answers nothing: what it was asked last is what counts.
    silent_for = timedelta(seconds=EDGES_S[np.flatnonzero(waiting)[-1] - 1].item())
    heard_at = seen.heard.get(rail)
    if heard_at is not None and seen.now - heard_at < silent_for:
        silent_for = seen.now - heard_at
    if silent_for <= timedelta(seconds=max(quantile_s(usual, 0.95), SLOWER_LEAST_S)):
        return None
    gone = silent_for > seen.capabilities[rail].settles_within
    return Reading(State.CLOSED if gone else State.DELAYED, Why.SILENT, seen.now - silent_for)


def _failing(recent: Weights) -> Reading | None:
    paid, failed = recent[PAID], recent[FAILED]
    many = paid + failed >= PAYMENTS_LEAST and failed >= paid
    return Reading(State.DELAYED, Why.FAILURES) if many else None


def _slow(recent: Weights, usual: Weights) -> Reading:
    ended, waiting = recent[:BUCKETS], recent[WAITING:]
    if evidence(ended, waiting, usual) >= PAYMENTS_LEAST:
        now_s, usual_s = quantile_s(density(ended, waiting), 0.5), quantile_s(usual, 0.5)
        if now_s >= SLOWER_TIMES * usual_s and now_s - usual_s >= SLOWER_LEAST_S:
            return Reading(State.DELAYED, Why.SLOW)
    return FAIR


def opening(cut_offs: Iterable[CutOff], *, now: datetime) -> datetime | None:
    """When a rail that is past its cut-off works on payments again; None: it does now."""
    cut_offs = tuple(cut_offs)
    if not cut_offs or closing(cut_offs, now=now):
        return None
    opens = (
        datetime.combine(day, time(), ZoneInfo(one.zone))
        for one in cut_offs
        for day in (now.astimezone(ZoneInfo(one.zone)).date() + timedelta(days=n) for n in range(1, _DAYS))
        if day.weekday() in one.weekdays
    )
    return min((moment.astimezone(UTC) for moment in opens), default=None)


def closing(cut_offs: Iterable[CutOff], *, now: datetime) -> datetime | None:
    """Until when a rail works on what it is given today; None: it doesn't, or it always does."""
    ends = (
        datetime.combine(now.astimezone(ZoneInfo(one.zone)).date(), one.until, ZoneInfo(one.zone))
        for one in cut_offs
        if now.astimezone(ZoneInfo(one.zone)).weekday() in one.weekdays
    )
    return max((end.astimezone(UTC) for end in ends if now < end), default=None)


_LOAD = text(
    "SELECT rail, country, currency, method, institution, state, reason, since, changes_at, as_of FROM rail_weather"
)


async def load_weather(connection: AsyncConnection) -> Weather:
    """Read the weather."""
    found = (await connection.execute(_LOAD)).all()
    readings = {Place(*row[:5]): Reading(State(row.state), Why(row.reason), row.since, row.changes_at) for row in found}
    return Weather(readings, min((row.as_of for row in found), default=None))
