"""What the pages need from the rest of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.agents.rules import PickupRules
from gateway.chain.ownership import Contracts
from gateway.chain.terms import ChainTerms
from gateway.clock import Clock
from gateway.desk.unmatched import DeskRules
from gateway.payouts.evidence import ResolutionRules
from gateway.payouts.rails import Rails
from gateway.pricing.offer import Offer
from gateway.refunds.wallets import NO_WALLETS, Wallets
from gateway.routing.delivery import Outlooks
from gateway.routing.scene import Scene, Scenes
from gateway.treasury.outlook import FloatBook


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
    chains: tuple[ChainTerms, ...] = ()
    """The watched chains, in the order of the configuration."""
    desk: DeskRules = field(default_factory=DeskRules)
    wallets: Wallets = NO_WALLETS
    """What refunds are paid from."""
    contracts: Contracts = field(default_factory=Contracts)
    """Asks senders' wallets that are contracts what they signed."""
    payouts: ResolutionRules = field(default_factory=ResolutionRules)
    """When a person may say what became of a payment, and when it takes two."""
    outlooks: Outlooks = field(default_factory=lambda: Outlooks(scene=Scene(capabilities={})))
    """How rails do, to say before money is sent."""
    rails: Rails = field(default_factory=lambda: Rails({}))
    scenes: Scenes = field(default_factory=lambda: Scenes(scene=Scene(capabilities={})))
    """What choices of rails look at, to show how one would fall now."""
    pickups: PickupRules | None = None
    """Limits of our own network of cash agents; None: there is no counter."""
    floats: FloatBook | None = None
    """What we keep at rails; None: no rail is configured here, and no page tells of floats."""
