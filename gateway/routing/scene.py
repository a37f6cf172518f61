"""What a choice of rails looks at, as one process knows it: immutable, made anew every few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import reading
from gateway.offramp import Capabilities
from gateway.pricing.tariffs import Tariffs
from gateway.routing.calendar import Hours
from gateway.routing.candidates import Tables
from gateway.routing.experience import Experience, load
from gateway.routing.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Rails in the operator's order of preference, what they cost, how they did, and by which policy one is chosen."""

    capabilities: Mapping[str, Capabilities]
    tariffs: Tariffs = field(default_factory=Tariffs)
    policy: Policy = field(default_factory=Policy)
    experience: Experience = field(default_factory=Experience)
    hours: tuple[Hours, ...] = ()
    """When payments can be collected, beside the rails' own cut-offs."""
    tables: Tables = field(init=False, repr=False, compare=False)
    """What a choice looks up in all that."""

    def __post_init__(self) -> None:
        tables = Tables(
            capabilities=self.capabilities,
            tariffs=self.tariffs,
            policy=self.policy,
            experience=self.experience,
            hours=self.hours,
        )
        object.__setattr__(self, "tables", tables)


AGE_MOST = timedelta(minutes=1)
"""How old what is known of the rails' doings may be; what is known of their health is asked for each set of orders."""


@dataclass(slots=True, kw_only=True)
class Scenes:
    """A process's latest scene."""

    scene: Scene
    _read_at: datetime | None = None

    async def at(self, engine: AsyncEngine, *, now: datetime) -> Scene:
        """The scene, with experience that is a minute old at most. A clock that was set back reads it anew."""
        if self._read_at is None or not self._read_at <= now < self._read_at + AGE_MOST:
            self._read_at = now
            async with reading(engine) as connection:
                experience = await load(connection, now, capabilities=self.scene.capabilities)
            self.scene = replace(self.scene, experience=experience)
        return self.scene
