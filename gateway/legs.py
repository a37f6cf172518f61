"""The port for rails where one payment takes several steps: sell on an exchange, then withdraw; order, then fund on chain.

Each step is a leg with an id of its own, committed before the first byte of it is sent, claimed by lease, asked about until
its outcome is known, and never begun before the one before it is PAID. The core drives them (gateway.sagas); an adapter
that implements `PaysInLegs` knows only one leg at a time, and its `pay` and `status` are never called. What its rail
tells by callback only makes the core ask: proof is never taken for more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from gateway.money import Money
from gateway.offramp import Fault, Instruction, Outcome, Pickup, Resend


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
    """What it brought: into our account there or, of the last leg, to the recipient; what the latter needs to be PAID."""
    fee: Money | None = None
    """What the provider kept of `gave`, or of what `got` would have been, where the two are of different assets."""
    facts: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """What the legs after it need to know. Kept with the leg; no secret and no personal data."""
    fault: Fault | None = None
    reason: str | None = None
    evidence: Mapping[str, str] = field(default_factory=dict[str, str])
    pickup: Pickup | None = None
    """Of the last leg that is AVAILABLE: what the recipient shows at the counter."""

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

        Never asked of a leg on chain: that one is PAID when the coins have finally arrived, by the word of the chain, with
        the hash of the transaction as its reference. What the provider makes of them is the next leg's.
        """

    def coins(self, leg: Leg) -> CoinTransfer:
        """What a leg on chain has to send, from the legs before it. No network. A raised `OfframpError` fails the leg."""


def leg_id(attempt_id: str, number: int) -> str:
    """The id of an attempt's leg, counted from 1: "leg_" with the rest of the attempt's id and the number."""
    return f"leg_{attempt_id.removeprefix('att_')}_{number}"


def attempt_of_leg(leg_id: str) -> str | None:
    """The attempt that a leg belongs to, for callbacks which name the leg; None for what is no leg's id."""
    prefix, _, rest = leg_id.partition("_")
    middle, _, number = rest.rpartition("_")
    return f"att_{middle}" if prefix == "leg" and middle and number.isdigit() else None
