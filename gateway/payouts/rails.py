"""The adapters in use, by the names that the configuration gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.offramp import Capabilities, Offramp


class Slots(asyncio.Semaphore):
    """Places for calls under way. Who has one may keep it for the next call, while nobody waits for one."""

    awaited = 0
    """How many wait."""

    async def acquire(self) -> Literal[True]:
        """Take one."""
        self.awaited += 1
        try:
            return await super().acquire()
        finally:
            self.awaited -= 1


@dataclass(frozen=True, slots=True)
class Rails(Mapping[str, Offramp]):
    """Adapters in the operator's order of preference. Owned by the composition root, which closes them."""

    adapters: Mapping[str, Offramp]
    _slots: dict[str, Slots] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getitem__(self, name: str) -> Offramp:
        return self.adapters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.adapters)

    def __len__(self) -> int:
        return len(self.adapters)

    @property
    def capabilities(self) -> dict[str, Capabilities]:
        """What each can do."""
        return {name: adapter.capabilities for name, adapter in self.adapters.items()}

    def slots(self, name: str) -> Slots:
        """As many as the rail takes payments at once, for all that this process sends, as long as it lives."""
        slots = self._slots.get(name)
        if slots is None:
            slots = self._slots[name] = Slots(max(1, self.adapters[name].capabilities.concurrency))
        return slots

    async def close(self) -> None:
        """Close every adapter's connections."""
        for adapter in self.adapters.values():
            await adapter.close()
