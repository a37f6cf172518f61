"""When a payout will be there, as quotes say it: by the rail that would most likely pay it, as far as that is known now.

The tables and calendars say so by which dispatch chooses (`gateway.routing.candidates`), under the operator's policy. What
only the order will tell is left out: its institution, its draw among shares, and what is explored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import reading
from gateway.money import Money
from gateway.pricing.drops import next_drop
from gateway.pricing.offer import Delivery, Terms
from gateway.routing.calendar import public_holidays
from gateway.routing.candidates import ANY, Table
from gateway.routing.experience import Experience, load
from gateway.routing.scene import Scene
from gateway.routing.weather import Place, Weather, Why, load_weather

_NOTHING_GOES = frozenset({Why.STOPPED, Why.FAILING, Why.FLOAT_LOW})
"""Where dispatch would have to wait. A rail outside its hours is given payments: its wait is in its score."""
_NOWHERE: Collection[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class Outlooks:
    """What a process knows of its rails: replaced whole, every now and then (`refresh`)."""

    scene: Scene
    """Its experience is the rails' own word until `refresh`."""
    weather: Weather = field(default_factory=Weather)
    _at_drops: Scene | None = None
    """The same scene, looked at as it will be at a drop: its tables are those of another moment."""
    _judged: Weather | None = None
    _closed: Mapping[tuple[str, str, str], Collection[str]] = field(default_factory=dict)
    """By country, currency and method: the rails to which nothing would go, as `_judged` has it."""

    def __post_init__(self) -> None:
        self.scene = replace(self.scene, experience=Experience(self.scene.capabilities))

    async def refresh(self, engine: AsyncEngine, *, now: datetime) -> None:
        """Read anew what all processes learned together."""
        capabilities = self.scene.capabilities
        async with reading(engine) as connection:
            experience, weather = await load(connection, now, capabilities=capabilities), await load_weather(connection)
        if self.scene.tables.timed:
            # Calendars take long to load: not while quotes wait.
            countries = {one.country for known in capabilities.values() for one in known.corridors}
            await asyncio.to_thread(lambda: [public_holidays(country, now.year) for country in sorted(countries)])
        self.scene, self.weather = replace(self.scene, experience=experience), weather

    def expect(
        self, terms: Terms, receive: Money, *, partner: str | None = None, drop_every_s: int | None = None, now: datetime
    ) -> Delivery | None:
        """When a payout would be there that is sent now, or at its next drop; None: no rail pays it, or may pay it."""
        scene = self.scene
        if drop_every_s is not None:
            scene, now = self._later(), next_drop(now, every=timedelta(seconds=drop_every_s))
        table = scene.tables.find(terms.country, terms.method, ANY, receive, partner, now)
        head = self._head(table, receive.units, self._shut(terms))
        if head is None:
            return None
        _, _, wait_s, outlook = table.rows[head].facts
        return Delivery(outlook.p50_s + wait_s, outlook.p95_s + wait_s)

    def _later(self) -> Scene:
        if self._at_drops is None or self._at_drops.experience is not self.scene.experience:
            self._at_drops = replace(self.scene)
        return self._at_drops

    def _shut(self, terms: Terms) -> Collection[str]:
        if self._judged is not self.weather:
            self._judged, self._closed = self.weather, _closed(self.weather)
        return self._closed.get((terms.country, terms.currency.code, terms.method), _NOWHERE)

    def _head(self, table: Table, units: int, shut: Collection[str]) -> int | None:
        """The number of the rail that pays most orders alike. Those to which nothing goes come last."""
        able = [(fixed + rate * units, n) for n, (fixed, rate, _, step) in enumerate(table.lines) if not units % step]
        if not table.plain or shut:
            shares, rest, rows = table.shares, 100 - sum(self.scene.policy.shares.values()), table.rows
            able.sort(
                key=lambda one: (rows[one[1]].rail in shut, rows[one[1]].behind, -shares.get(rows[one[1]].rail, rest), one)
            )
            return able[0][1] if able else None
        return min(able)[1] if able else None


def _closed(weather: Weather) -> Mapping[tuple[str, str, str], Collection[str]]:
    found: dict[tuple[str, str, str], set[str]] = {}
    for place, seen in weather.readings.items():
        if seen.why in _NOTHING_GOES and place == Place(*place[:4]):
            found.setdefault((place.country, place.currency, place.method), set()).add(place.rail)
    return found
