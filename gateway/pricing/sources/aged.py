"""A source with its own measure of age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.pricing.observations import Observation
from gateway.pricing.sources.port import RateSource


@dataclass(frozen=True, slots=True)
class Aged:
    """What `source` tells may be used until it is `max_age` old, whatever holds for other sources."""

    source: RateSource
    max_age: timedelta

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self.source.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """Its prices. One that the source itself gives less time keeps that. Raises `SourceFault`."""
        return [replace(one, good_until=self._until(one)) for one in await self.source.fetch(now)]

    def _until(self, one: Observation) -> datetime:
        until = one.as_of + self.max_age
        return until if one.good_until is None else min(until, one.good_until)
