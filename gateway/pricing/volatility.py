"""How long a quote may hold: as long as the price isn't expected to leave what the spread pays for.

With sigma the realised volatility of the pair, a quote holds for the longest T with

    sigmas * sigma * sqrt(T) <= share * spread,   that is   T = (share * spread)^2 / (sigmas^2 * sigma^2),

between the operator's least and most. Variances are exact ratios, in squared basis points per hour; no root is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise

BPS = 10_000
HOUR = timedelta(hours=1)
FINE = 10_000
KEPT = 10**6
"""A variance is kept with six digits after the point."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TtlRules:
    """How volatility shortens quotes."""

    least: timedelta = timedelta(seconds=60)
    """No quote is shorter, unless `PricingRules.quote_ttl` is."""
    sigmas: int = 2
    share_percent: int = 50
    """The share of the spread within which the expected move has to stay."""
    window: timedelta = timedelta(days=1)
    """How far back the volatility is measured."""


USUAL = TtlRules()


def variance(points: Sequence[tuple[datetime, Fraction]]) -> Fraction:
    """The realised variance of prices (oldest first), in squared basis points per hour: 0 for fewer than two.

    The sum of the squared moves over the time that they took; each move is taken in ten-thousandths of a basis point.
    """
    if len(points) < 2:  # noqa: PLR2004 - a move has two ends
        return Fraction(0)
    squares = sum(round((after / before - 1) * BPS * FINE) ** 2 for (_, before), (_, after) in pairwise(points))
    seconds = max((points[-1][0] - points[0][0]) // _SECOND, 1)
    return Fraction(round(Fraction(squares * (HOUR // _SECOND), seconds * FINE**2) * KEPT), KEPT)


def ttl(moves: Fraction, *, spread_bps: int, most: timedelta, rules: TtlRules) -> timedelta:
    """How long a quote with this spread holds, in whole seconds (at most `most`), where the variance is `moves`."""
    if moves == 0:
        return most
    seconds = (Fraction(rules.share_percent * spread_bps, 100) / rules.sigmas) ** 2 / moves * (HOUR // _SECOND)
    holds = timedelta(seconds=min(int(seconds), most // _SECOND))
    return min(max(holds, rules.least), most)
