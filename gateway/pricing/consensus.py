"""The middle rate: what several sources agree on. Pure.

1. Only fresh prices count (`Observation.is_fresh`), and of each source only its newest: nobody has two voices.
2. With three voices or more, outliers are left out: prices further from the median than `PricingRules.max_spread_bps` allows
   between sources, and whose modified z-score 0.6745 * |price - median| / MAD is above 3.5, where MAD is the median of the
   absolute deviations from the median (B. Iglewicz, D. Hoaglin: How to Detect and Handle Outliers, ASQC 1993, p. 11).
3. As many as `PricingRules.min_sources` have to be left, and no two of them further apart than `max_spread_bps` of the
   median: else there is no rate.
4. The rate is their median. Its confidence, from 0 to 1, is

       left / fresh * left / (left + 1) * (1 - spread / (2 * most))

   how many of the fresh voices agree; how many they are; and how closely they agree, with `spread` between the lowest and
   the highest that are left and `most` the largest that is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from statistics import median

from gateway.errors import Refusal
from gateway.money import decimal_of
from gateway.pricing.observations import Observation
from gateway.pricing.offer import PricingRules

Z_MOST = Fraction(35, 10)
Z_OF_MAD = Fraction(6745, 10_000)
"""The 75th percentile of the normal distribution: by it a MAD is as wide as a standard deviation."""
JURY_LEAST = 3
"""Of two that differ nobody can say which one is wrong."""
INVERSE_WITHIN = Fraction(1, 5)
APART_LEAST = 2
"""One price is the other's inverse if their product is as near to 1 as that, and one is that many times the other."""
BPS = 10_000


class NoRate(Refusal):
    """There is no rate to quote at. The sentence is for the customer; `detail` is for the operator's log."""

    def __init__(self, sentence: str, *, detail: str) -> None:
        super().__init__(sentence)
        self.detail = detail


class RateUnavailable(NoRate):
    """Too few sources have a fresh price that others confirm."""

    code = "rate_unavailable"

    def __init__(
        self, *, base: str, quote: str, fresh: int, needed: int, seen: Sequence[Observation], out: Sequence[str] = ()
    ) -> None:
        known = ", ".join(f"{one.source} of {one.as_of:%Y-%m-%d %H:%M:%S %Z}" for one in seen) or "none"
        left_out = "".join(f"; left out: {sentence}" for sentence in out)
        super().__init__(
            f"There is no current exchange rate for {quote}. Try again in a few minutes.",
            detail=f"{base}/{quote}: {fresh} fresh sources, {needed} needed; known: {known}{left_out}",
        )


class RateDisputed(NoRate):
    """The sources are further apart than the operator allows."""

    code = "rate_disputed"

    def __init__(self, *, base: str, quote: str, used: Sequence[Observation], most_bps: int) -> None:
        prices = ", ".join(f"{one.source} {decimal_of(one.price, digits=6)}" for one in used)
        lowest, highest = min(one.price for one in used), max(one.price for one in used)
        swapped = "; one looks like the inverse of another: is a pair swapped?" if _inverse(lowest, highest) else ""
        super().__init__(
            f"The exchange rate for {quote} is unsettled right now. Try again in a few minutes.",
            detail=f"{base}/{quote}: sources more than {most_bps} bps apart: {prices}{swapped}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mid:
    """The middle rate: one whole base is worth `price` whole quote."""

    price: Fraction
    as_of: datetime
    """The oldest price used: the rate is no newer than that."""
    sources: tuple[str, ...]
    """Whose prices were used, in alphabetical order; empty where a token's peg is the currency itself."""
    confidence: Fraction = Fraction(1)
    """From 0 to 1; the formula stands above."""
    out: tuple[str, ...] = ()
    """Whose fresh prices were left out, and why: a sentence each, for the operator."""


def mid(observations: Iterable[Observation], *, base: str, quote: str, rules: PricingRules, now: datetime) -> Mid:
    """The median of what fresh sources agree on for one base in quote; of an even number the mean of the middle two, exact.

    Raises `RateUnavailable` if fewer than `rules.min_sources` are left, `RateDisputed` if lowest and highest of them are
    more than `rules.max_spread_bps` of the median apart.
    """
    if base == quote:
        return Mid(price=Fraction(1), as_of=now, sources=())
    seen = [one for one in observations if (one.base, one.quote) == (base, quote)]
    fresh = _newest_of_each([one for one in seen if one.is_fresh(max_age=rules.max_age, now=now)])
    used, out = _without_outliers(fresh, rules=rules)
    needed = max(rules.min_sources, 1)
    if len(used) < needed:
        raise RateUnavailable(base=base, quote=quote, fresh=len(used), needed=needed, seen=seen, out=out)
    prices = [one.price for one in used]
    middle, spread = median(prices), max(prices) - min(prices)
    most = middle * rules.max_spread_bps / BPS
    if spread > most:
        raise RateDisputed(base=base, quote=quote, used=used, most_bps=rules.max_spread_bps)
    left = len(used)
    closeness = 1 - spread / (2 * most) if spread else Fraction(1)
    return Mid(
        price=middle,
        as_of=min(one.as_of for one in used),
        sources=tuple(one.source for one in used),
        confidence=Fraction(left * left, len(fresh) * (left + 1)) * closeness,
        out=out,
    )


def _newest_of_each(observations: Sequence[Observation]) -> list[Observation]:
    """One per source, so that nobody has two votes; by source name."""
    newest = {one.source: one for one in sorted(observations, key=lambda one: one.as_of)}
    return [newest[source] for source in sorted(newest)]


def _without_outliers(fresh: Sequence[Observation], *, rules: PricingRules) -> tuple[list[Observation], tuple[str, ...]]:
    """The prices that are left, and a sentence about each of the others."""
    if len(fresh) < JURY_LEAST:
        return list(fresh), ()
    middle = median(one.price for one in fresh)
    deviation = median(abs(one.price - middle) for one in fresh)
    within = max(middle * rules.max_spread_bps / BPS, Z_MOST * deviation / Z_OF_MAD)
    left = [one for one in fresh if abs(one.price - middle) <= within]
    return left, tuple(_why_out(one, middle) for one in fresh if one not in left)


def _why_out(one: Observation, middle: Fraction) -> str:
    said = f"{one.source} says {decimal_of(one.price, digits=6)} {one.quote} for one {one.base}"
    others = f"the others {decimal_of(middle, digits=6)}"
    if _inverse(one.price, middle):
        return f"{said}, {others}: about the inverse, so its pair is swapped"
    return f"{said}, {others}: too far away"


def _inverse(one: Fraction, other: Fraction) -> bool:
    """Whether one price seems to be the other's inverse. Near 1, where coins are, nobody can tell."""
    return abs(one * other - 1) <= INVERSE_WITHIN and max(one, other) >= APART_LEAST * min(one, other)
