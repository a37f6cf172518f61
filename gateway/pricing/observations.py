"""One price as a source gave it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

PRICE_LEAST = Fraction(1, 10**12)
PRICE_MOST = Fraction(10**12)
"""Between these lies the price of every currency in any other; beyond is an error of the source."""
PRICE_DIGITS = 24
PRICE_PARTS = 10**PRICE_DIGITS
"""A price is a whole number of these parts: 24 digits after the point.

With the bounds above it keeps every rate made of prices within NUMERIC(78,0), whatever the decimals of the assets: below
10**36 * 2 (a mean of two) * 10**36 (most decimals of an asset) * 10**4 (basis points) = 2 * 10**76.
"""
FUTURE_SLACK = timedelta(seconds=60)
"""How far a source's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """`source` says: at `as_of`, one whole `base` cost `price` whole `quote`. Raises ValueError for an absurd price.

    A base that is a coin's symbol tells what the coin itself is worth.
    """

    source: str
    base: str
    quote: str
    price: Fraction
    as_of: datetime
    good_until: datetime | None = None
    """Until when it may be used, by the source's own measure of age; None: by everybody's (`PricingRules.max_age`)."""
    via: str | None = None
    """The coin whose price in `quote` it was made of (`gateway.pricing.local`); None: the source told it as it stands."""

    def __post_init__(self) -> None:
        if not is_plausible(self.price):
            raise ValueError(f"{self.base}/{self.quote} from {self.source} is no plausible price")

    def is_fresh(self, *, max_age: timedelta, now: datetime) -> bool:
        """Whether it may be used at `now`. `max_age` is for a price that brings no measure of its own."""
        until = self.as_of + max_age if self.good_until is None else self.good_until
        return self.as_of - FUTURE_SLACK <= now <= until


def is_plausible(price: Fraction) -> bool:
    """Whether a price lies within the bounds above and has at most 24 digits after the point."""
    return PRICE_LEAST <= price <= PRICE_MOST and PRICE_PARTS % price.denominator == 0


def is_fresh(as_of: datetime, *, max_age: timedelta, now: datetime) -> bool:
    """Whether a price of `as_of` may be used at `now`: at most `max_age` old, and not from the future."""
    return -FUTURE_SLACK <= now - as_of <= max_age
