"""Durations counted in buckets whose width grows with them, and what they tell of quantiles. Without I/O.

Each bucket reaches to 2^(1/4) times its lower end, so a quantile is known to within 19 % whatever the durations are, and
histograms add up (DDSketch: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12, 2019). Payments that still wait are known to take at least as long as they have waited: they count by
the product-limit estimate (Kaplan, Meier, "Nonparametric estimation from incomplete observations", JASA 53, 1958).
"""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

BUCKETS = 101
"""The last one begins at 34 days, and holds all that is longer."""
FINEST_S = 0.1
"""Upper end of the first bucket."""
PER_DOUBLING = 4
_Z_95 = 1.6448536269514722
"""Standard normal quantile of 95 %."""
_ROUNDING = 1e-9

EDGES_S: Weights = FINEST_S * 2.0 ** (np.arange(BUCKETS) / PER_DOUBLING)
"""Upper ends of the buckets."""


def bucket_of(seconds: float) -> int:
    """The bucket of a duration."""
    if seconds <= FINEST_S:
        return 0
    return min(math.ceil(PER_DOUBLING * math.log2(seconds / FINEST_S)), BUCKETS - 1)


def bucket_sql(span: str) -> str:
    """The same as an SQL expression, of an expression that is an interval."""
    seconds = f"GREATEST(CAST(EXTRACT(epoch FROM {span}) AS double precision), {FINEST_S})"
    return f"CAST(LEAST(ceil({PER_DOUBLING} * ln({seconds} / {FINEST_S}) / ln(2.0)), {BUCKETS - 1}) AS smallint)"


def guess(within: timedelta) -> Weights:
    """What is assumed of a rail that says to settle `within` so long: 19 of 20 payments in that time, half in a quarter.

    A logarithmic normal distribution, whose width covers a factor of 16 between the fastest and the slowest of 20.
    """
    most_s = max(within.total_seconds(), FINEST_S)
    sigma = math.log(4) / _Z_95
    scores = (np.log(EDGES_S) - math.log(most_s / 4)) / (sigma * math.sqrt(2))
    below = np.array([0.5 * (1 + math.erf(score)) for score in scores])
    below[-1] = 1.0
    return np.diff(below, prepend=0.0)


def density(ended: Weights, waiting: Weights) -> Weights:
    """Which share of the payments falls into each bucket, by those that ended and those that wait, by their age.

    What no ended one tells of counts as taking as long as the one that has been there longest. All zero without payments.
    """
    ended, waiting = np.maximum(ended, 0.0), np.maximum(waiting, 0.0)
    both = ended + waiting
    at_risk = np.cumsum(both[::-1])[::-1]
    hazard = np.divide(ended, at_risk, out=np.zeros(BUCKETS), where=at_risk > 0)
    survival = np.cumprod(1.0 - hazard)
    shares = np.concatenate(([1.0], survival[:-1])) * hazard
    if both.any():
        shares[np.flatnonzero(both)[-1]] += survival[-1]
    return shares


def evidence(ended: Weights, waiting: Weights, expected: Weights) -> float:
    """How many payments' worth a histogram tells: of those that wait, the share that was `expected` to have ended by now."""
    known = np.maximum(ended, 0.0).sum() + (np.maximum(waiting, 0.0) * np.cumsum(expected)).sum()
    samples: float = known.item()
    return samples


def quantile_s(shares: Weights, share: float) -> int:
    """Whole seconds within which such a share of the payments is there: the upper end of its bucket."""
    at = np.searchsorted(np.cumsum(shares), share * shares.sum() - _ROUNDING)
    edge_s: float = EDGES_S[min(at, BUCKETS - 1)]
    return math.ceil(edge_s)


def wilson_low(share: float, number: float) -> float:
    """The lower bound (95 %, one-sided) of a probability that was seen as `share` of `number` trials.

    Wilson's score interval ("Probable inference, the law of succession, and statistical inference", JASA 22, 1927), which
    holds for few trials and for shares near 1, where the normal one doesn't.
    """
    square = _Z_95**2
    middle = share * number + square / 2
    spread = _Z_95 * math.sqrt(share * (1 - share) * number + square / 4)
    return max((middle - spread) / (number + square), 0.0)
