"""By what a rail is chosen: weights, shares, rules and a little exploration. Plain values, made from `[routing]`.

Weights say in hundredths of a percent of the amount what an hour of waiting and a failure are worth, so that one policy
holds for every currency and every amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What counts how much. Money counts in percent, all else in hundredths of a percent of the amount."""

    hand_percent: int = 100
    """What the recipient pays to have cash."""
    cost_percent: int = 100
    """What the rail charges us."""
    hour_bps: int = 10
    """An hour until it is there, as half of the payments take it."""
    late_hour_bps: int = 5
    """An hour until it is there, as one payment in twenty takes it."""
    failure_bps: int = 100
    """A payment that fails, times how likely that is."""
    doubt_bps: int = 0
    """The same, times how likely it is at worst: few payments are no proof."""


BALANCED = Weights()
CHEAPEST = Weights(hour_bps=0, late_hour_bps=0, failure_bps=0)
FASTEST = Weights(hand_percent=0, cost_percent=0, hour_bps=100, late_hour_bps=100, failure_bps=0)
SUREST = Weights(hand_percent=0, cost_percent=0, hour_bps=0, late_hour_bps=0, failure_bps=0, doubt_bps=100)
NAMED: Mapping[str, Weights] = {"cheapest": CHEAPEST, "fastest": FASTEST, "surest": SUREST, "balanced": BALANCED}
EVEN = Weights(doubt_bps=1)
"""What decides between rails that a policy's own weights leave even: everything counts here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which rails pay what. It holds for the payments that all its conditions fit; None: any."""

    only: frozenset[str] | None = None
    """No others."""
    never: frozenset[str] = frozenset()
    prefer: frozenset[str] = frozenset()
    """Before all others, whatever the weights say."""
    country: str | None = None
    currency: str | None = None
    method: str | None = None
    institution: str | None = None
    partner: str | None = None
    """Its id."""
    above: Money | None = None
    """For more than this. The rule holds for this currency then, as with `below`."""
    below: Money | None = None

    def fits(self, deliver: Money) -> bool:
        """Whether it holds for such an amount."""
        return (self.above is None or self.above < deliver) and (self.below is None or deliver < self.below)

    def excludes(self, rail: str) -> bool:
        """Whether it keeps a rail from the payments that it holds for."""
        return rail in self.never or (self.only is not None and rail not in self.only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a rail is chosen among those that can pay."""

    name: str = "balanced"
    weights: Weights = BALANCED
    shares: Mapping[str, int] = field(default_factory=dict[str, int])
    """By rail, how many percent of the orders go there first; the rest goes by weights. Where one can't pay, the others take
    its part."""
    rules: tuple[Rule, ...] = ()
    explore_percent: int = 2
    """How many percent of the orders go to a rail that experience alone puts behind, or of which there is little: one that
    works again is found, and so is one that is new."""
