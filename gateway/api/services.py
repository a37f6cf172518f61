"""What the API works with; made by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.agents.rules import PickupRules
from gateway.chain.terms import ChainTerms
from gateway.clock import Clock
from gateway.fills.clients import FillKey
from gateway.partners.tokens import TokenIssuer, TokenVerifier
from gateway.payouts.addresses import CallbackAddresses
from gateway.payouts.rails import Rails
from gateway.pricing.offer import Offer
from gateway.refunds.wallets import NO_WALLETS, Wallets
from gateway.routing.scene import Scenes


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
    wallets: Wallets = NO_WALLETS
    """Who sends money back, on which chains."""
    chains: tuple[ChainTerms, ...] = ()
    """The watched chains, in the order of the configuration."""
    inbox: AsyncEngine | None = None
    """Connections that only callbacks use (`gateway.payouts.arrivals.make_inbox_engine`); None: everybody's."""
    metrics_token: str | None = field(default=None, repr=False)
    """What a scraper of /metrics shows; None: only this machine may ask."""
    pickups: PickupRules | None = None
    """Limits of our own network of cash agents; None: it isn't served."""
    scenes: Scenes | None = None
    """What choices of rails look at; None: only what the rails can do."""
    fills: FillKey | None = None
    """With which gateways that offer payouts to partners prove themselves; None: nobody can."""
