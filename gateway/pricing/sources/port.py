"""The port that every source of rates implements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway.pricing.observations import Observation


class SourceFault(Exception):
    """A source gave nothing that can be used. `str()` is a sentence for the operator; it never holds a secret."""

    def __init__(self, source: str, sentence: str) -> None:
        super().__init__(f"rate source {source}: {sentence}")
        self.source = source


class RateSource(Protocol):
    """The port: anything that tells prices."""

    @property
    def name(self) -> str:
        """The source's name in the configuration, unique."""

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The prices it has at `now`: all that it was asked for, each plausible and fresh. Raises `SourceFault`."""
