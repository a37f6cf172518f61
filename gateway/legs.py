"""The port for rails where one payment takes several steps: sell on an exchange, then withdraw; order, then fund on chain.

Each step is a leg with an id of its own, committed before the first byte of it is sent, claimed by lease, asked about until
its outcome is known, and never begun before the one before it is PAID. The core drives them (gateway.sagas); an adapter
that implements `PaysInLegs` knows only one leg at a time, and its `pay` and `status` are never called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from gateway.money import Money
from gateway.offramp import Fault, Instruction, Outcome, Resend


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPlan:
    """One step, as the adapter plans it."""

    name: str
    """The adapter's own word, such as "sell" or "withdraw"; unique within the adapter."""
    resend: Resend = Resend.FINDABLE
    """What happens if this leg reaches the provider twice under the same leg id."""
    on_chain: bool = False
    """Whether the core makes it, by sending coins that `coins` names; the adapter is never asked to `pay_leg` it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinTransfer:
    """Coins that the core has to send on an EVM chain, exactly, and in time."""

    chain_id: int
    contract: str
    """The token's address."""
    to: str
    amount: Money
    before: datetime | None = None
    """After this nothing may be sent any more: the leg fails instead, if nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegReport:
    """The provider's view of one leg, in our words.

    Raises ValueError for a PAID that doesn't name the provider's reference, and for a FAILED or RETURNED without a fault.
    """

    outcome: Outcome
    provider_ref: str | None = None
    receipt: str | None = None
    """Of the last leg: what the recipient can show."""
    gave: Money | None = None
    """What this leg took out of our account there, fees included."""
    got: Money | None = None
    """What it brought: into our account there or, of the last leg, to the recipient."""
    facts: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """What the legs after it need to know. Kept with the leg; no secret and no personal data."""
    fault: Fault | None = None
    reason: str | None = None
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.outcome is Outcome.PAID and self.provider_ref is None:
            raise ValueError("a leg that is PAID names the provider reference")
        if self.outcome in (Outcome.FAILED, Outcome.RETURNED) and self.fault is None:
            raise ValueError(f"a leg that is {self.outcome.name} says whose fault it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One step of one payment, to be made or to be asked about."""

    leg_id: str
    """The idempotency key on the wire, committed before."""
    name: str
    payment: Instruction
    done: Mapping[str, LegReport]
    """The reports of the legs before it, by name."""
    provider_ref: str | None = None
    """As reported before, of this leg."""
    sent_at: datetime | None = None


@runtime_checkable
class PaysInLegs(Protocol):
    """An adapter whose payments take several steps. It has `capabilities` and `close` as every adapter has."""

    @property
    def legs(self) -> tuple[LegPlan, ...]:
        """The steps, in their order; the same for every payment."""

    async def pay_leg(self, leg: Leg) -> LegReport:
        """Send one leg that isn't on chain. Raises as `Offramp.pay` does; anything else is UNKNOWN."""

    async def leg_status(self, leg: Leg) -> LegReport:
        """Ask what became of a leg. "Not found" is UNKNOWN unless the rail documents otherwise.

        Of a leg on chain it says what the provider has seen, and what the leg brought.
        """

    def coins(self, leg: Leg) -> CoinTransfer:
        """What a leg on chain has to send, from the legs before it. No network."""
