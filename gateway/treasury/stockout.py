"""Stock-outs: how likely a float runs dry before money can arrive, and when it probably does.

What was needed until a moment only grows, so that a float is dry by then exactly if more than it has is needed by then: the
chance follows from the distribution of that one sum (`forecast.Demand`), without a simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.treasury.forecast import Forecast

HORIZONS = (6, 24, 72)
"""Hours for which chances are told."""
LOOK_AHEAD = 336
"""Hours that are looked at for the moment at which a float falls to a level."""
HOUR = timedelta(hours=1)
CAUTIOUS = 90
"""A plan reckons with a demand that is not exceeded in so many percent of all cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StockOut:
    """Chances in hundredths of a percent."""

    within: Mapping[int, int]
    """By hours."""
    before_top_up: int | None
    """Before the next money could arrive, if it were ordered now; None: nothing can fill this float."""


def stock_out(forecast: Forecast, *, available: int, now: datetime, top_up_at: datetime | None) -> StockOut:
    """How likely `available` units don't suffice. `top_up_at`: when money that is ordered now arrives at the earliest."""

    def dry_by(moment: datetime) -> int:
        return forecast.over(now, moment).chance_above(available)

    within = {hours: dry_by(now + hours * HOUR) for hours in HORIZONS}
    return StockOut(within=within, before_top_up=None if top_up_at is None else dry_by(top_up_at))


def falls_below(forecast: Forecast, *, available: int, level: int, now: datetime) -> datetime | None:
    """The hour by which a float has fallen below `level`, if the demand is high (`CAUTIOUS`); None: not in two weeks."""

    def is_below(hours: int) -> bool:
        return available - forecast.over(now, now + hours * HOUR).quantile(CAUTIOUS).units < level

    if available < level:
        return now
    if not is_below(LOOK_AHEAD):
        return None
    above, below = 0, LOOK_AHEAD
    while below - above > 1:
        middle = (above + below) // 2
        above, below = (above, middle) if is_below(middle) else (middle, below)
    return now + below * HOUR
