"""What stops quotes at a price, as plain functions of prices and times. Nothing here reads or writes.

Four breakers look at every price: stale (too few fresh sources) and spread (sources too far apart, or all of them from one
that bounds them), which the consensus itself refuses; jump (too far from what was published last); and depeg (a coin outside
its band).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from fractions import Fraction

BPS = 10_000


class Breaker(StrEnum):
    """What stops quotes."""

    STALE = auto()
    """Too few sources have a fresh price."""
    SPREAD = auto()
    """The sources are too far apart, or what they agree on is too far from a source that bounds it."""
    JUMP = auto()
    """The price is too far from what was published last."""
    DEPEG = auto()
    """The coin isn't worth what it should be."""
    BY_HAND = auto()
    """A person has stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When prices trip a breaker, beside `PricingRules`' age, number and spread."""

    jump_bps: int = 1000
    """How far a price may move within `jump_per`; where the last one is older, more by the square root of the time."""
    jump_per: timedelta = timedelta(hours=1)
    jump_rounds: int = 3
    """How many rounds of newer prices confirm a jump that no fresh source contradicts, so that no person has to.

    Newer are prices of as many sources as a rate needs: one that repeats itself with a new time confirms nothing.
    """
    depeg_bps: int = 100
    """How far a coin's price may be from its peg, up or down."""
    depeg_recovery: timedelta = timedelta(hours=1)
    """How long a coin's price has to have been back within that before the coin is taken again."""
    coin_sources: int = 1
    """How many fresh prices a coin's own price needs. One that says it fell is enough to stop."""
    par_assumed: bool = True
    """Whether a coin that no source prices counts as worth its peg; else it isn't quoted."""


USUAL = BreakerRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published of a pair last, and what waits to be believed."""

    price: Fraction
    at: datetime
    """When it was published."""
    low: Fraction
    high: Fraction
    """The lowest and highest published within `BreakerRules.jump_per` before `at`, and not before `since`."""
    since: datetime
    """When a jump was believed last, or the first price was published."""
    moves: Fraction
    """The realised variance (`gateway.pricing.volatility.variance`)."""
    newest: datetime
    """As `consensus.Mid.newest`, of it or of the pending price."""
    pending: Fraction | None = None
    """A price that jumped."""
    rounds: int = 0
    """How many rounds of newer prices have said so."""


def jumped(price: Fraction, last: Published, *, rules: BreakerRules, now: datetime) -> bool:
    """Whether `price` is too far from anything published within `jump_per` before the last one.

    The farther the last one lies back beyond `jump_per`, the more is allowed: twice as much in four periods, as prices
    wander. In proportion to the time nearly any price would do after a night without one.
    """
    microsecond = timedelta(microseconds=1)
    periods = max(Fraction((now - last.at) // microsecond, rules.jump_per // microsecond), Fraction(1))
    moved = max(price / last.low, last.high / price) - 1
    return (moved * BPS) ** 2 > rules.jump_bps**2 * periods


def depegged(price: Fraction, *, rules: BreakerRules) -> bool:
    """Whether a coin of this price, in its peg, is outside its band."""
    return abs(price - 1) * BPS > rules.depeg_bps


def doubt(price: Fraction, last: Published, *, newest: datetime, rules: BreakerRules) -> Published:
    """One more round that says a price that jumped; the first one, if it is far from what the one before said."""
    before = last.pending
    confirms = before is not None and (max(price / before, before / price) - 1) * BPS <= rules.jump_bps
    return replace(last, pending=price, rounds=last.rounds + 1 if confirms else 1, newest=newest)
