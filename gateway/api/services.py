"""What the API works with; made by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.partners.tokens import TokenIssuer, TokenVerifier
from gateway.payouts.addresses import CallbackAddresses
from gateway.payouts.rails import Rails
from gateway.pricing.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """Values and clients that routes need."""

    engine: AsyncEngine
    offer: Offer
    factories: Mapping[int, str]
    """Forwarder factory per chain id."""
    rails: Rails
    addresses: CallbackAddresses
    issuer: TokenIssuer
    verifier: TokenVerifier
    public_url: str
    clock: Clock
