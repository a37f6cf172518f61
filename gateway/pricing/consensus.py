"""The middle rate: what several sources agree on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from statistics import median

from gateway.errors import Refusal
from gateway.money import decimal_of
from gateway.pricing.observations import Observation, is_fresh
from gateway.pricing.offer import PricingRules


class NoRate(Refusal):
    """There is no rate to quote at. The sentence is for the customer; `detail` is for the operator's log."""

    def __init__(self, sentence: str, *, detail: str) -> None:
        super().__init__(sentence)
        self.detail = detail


class RateUnavailable(NoRate):
    """Too few sources have a fresh price."""

    code = "rate_unavailable"

    def __init__(self, *, base: str, quote: str, fresh: int, needed: int, seen: Sequence[Observation]) -> None:
        known = ", ".join(f"{one.source} of {one.as_of:%Y-%m-%d %H:%M:%S %Z}" for one in seen) or "none"
        super().__init__(
            f"There is no current exchange rate for {quote}. Try again in a few minutes.",
            detail=f"{base}/{quote}: {fresh} fresh sources, {needed} needed; known: {known}",
        )


class RateDisputed(NoRate):
    """The sources are further apart than the operator allows."""

    code = "rate_disputed"

    def __init__(self, *, base: str, quote: str, used: Sequence[Observation], most_bps: int) -> None:
        prices = ", ".join(f"{one.source} {decimal_of(one.price, digits=6)}" for one in used)
        super().__init__(
            f"The exchange rate for {quote} is unsettled right now. Try again in a few minutes.",
            detail=f"{base}/{quote}: sources more than {most_bps} bps apart: {prices}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mid:
    """The middle rate: one whole base is worth `price` whole quote."""

    price: Fraction
    as_of: datetime
    """The oldest price used: the rate is no newer than that."""
    sources: tuple[str, ...]
    """Who was asked, in alphabetical order; empty where a token's peg is the currency itself."""


def mid(observations: Iterable[Observation], *, base: str, quote: str, rules: PricingRules, now: datetime) -> Mid:
    """The median of the fresh prices of one base in quote; of an even number the mean of the middle two, exact.

    Raises `RateUnavailable` if fewer than `rules.min_sources` are fresh, `RateDisputed` if lowest and highest are more
    than `rules.max_spread_bps` of the median apart.
    """
    if base == quote:
        return Mid(price=Fraction(1), as_of=now, sources=())
    seen = [one for one in observations if (one.base, one.quote) == (base, quote)]
    used = _newest_of_each([one for one in seen if is_fresh(one.as_of, max_age=rules.max_age, now=now)])
    needed = max(rules.min_sources, 1)
    if len(used) < needed:
        raise RateUnavailable(base=base, quote=quote, fresh=len(used), needed=needed, seen=seen)
    prices = [one.price for one in used]
    middle = median(prices)
    if (max(prices) - min(prices)) * 10_000 > middle * rules.max_spread_bps:
        raise RateDisputed(base=base, quote=quote, used=used, most_bps=rules.max_spread_bps)
    return Mid(price=middle, as_of=min(one.as_of for one in used), sources=tuple(one.source for one in used))


def _newest_of_each(observations: Sequence[Observation]) -> list[Observation]:
    """One per source, so that nobody has two votes; by source name."""
    newest = {one.source: one for one in sorted(observations, key=lambda one: one.as_of)}
    return [newest[source] for source in sorted(newest)]
