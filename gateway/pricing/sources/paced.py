"""A source that isn't asked as often as the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.pricing.observations import Observation
from gateway.pricing.sources.port import RateSource


@dataclass(slots=True)
class Paced:
    """`source`, asked at most once in `every`: it renews its prices seldom, or counts our questions."""

    source: RateSource
    every: timedelta
    _asked: datetime | None = None

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self.source.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """Its prices; nothing, if it isn't its turn. Raises `SourceFault`."""
        if self._asked is not None and self._asked <= now < self._asked + self.every:
            return ()
        self._asked = now
        return await self.source.fetch(now)
