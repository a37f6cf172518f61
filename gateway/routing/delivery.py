"""When a payout will be there, as quotes say it: by the rail that would most likely pay it, as far as that is known now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import reading
from gateway.money import Money
from gateway.offramp import Capabilities
from gateway.pricing.offer import Delivery, Terms
from gateway.routing.experience import Experience, load
from gateway.routing.weather import State, Weather, load_weather, opening


@dataclass(slots=True, kw_only=True)
class Outlooks:
    """What a process knows of its rails: replaced whole, every now and then (`refresh`)."""

    capabilities: Mapping[str, Capabilities]
    """In the operator's order of preference."""
    experience: Experience = field(init=False)
    weather: Weather = field(default_factory=Weather)

    def __post_init__(self) -> None:
        self.experience = Experience(self.capabilities)

    async def refresh(self, engine: AsyncEngine, *, now: datetime) -> None:
        """Read anew what all processes learned together."""
        async with reading(engine) as connection:
            experience, weather = await load(connection, now, capabilities=self.capabilities), await load_weather(connection)
        self.experience, self.weather = experience, weather

    def expect(self, terms: Terms, receive: Money, *, now: datetime) -> Delivery | None:
        """When a payout sent now would be there; None: no rail pays it."""
        rail = self._rail(terms, receive)
        if rail is None:
            return None
        outlook = self.experience.look(rail, None, now.hour, receive.asset.code, receive.units)
        opens_at = opening(self.capabilities[rail].cut_offs, now=now)
        waits_s = 0 if opens_at is None else (opens_at - now) // timedelta(seconds=1)
        return Delivery(outlook.p50_s + waits_s, outlook.p95_s + waits_s)

    def _rail(self, terms: Terms, receive: Money) -> str | None:
        """The first in the operator's order that can pay so much there; one that is closed only if all are."""
        able = [
            rail
            for rail, capabilities in self.capabilities.items()
            for one in capabilities.corridors
            if (one.country, one.asset, one.method) == (terms.country, terms.currency, terms.method)
            and one.least.units <= receive.units <= one.most.units
            and not receive.units % one.step.units
        ]
        place = (terms.country, terms.currency.code, terms.method)
        works = (rail for rail in able if self.weather.at(rail, *place).state is not State.CLOSED)
        return next(works, able[0] if able else None)
