"""What the pages need from the rest of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.pricing.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """Made once at the start, by the composition root."""

    engine: AsyncEngine
    offer: Offer
    factories: Mapping[int, str]
    """The forwarder factory's address per chain id."""
    public_url: str
    """Scheme, host and port under which people reach the pages."""
    clock: Clock
