"""Demand: what a float will have to pay, as a distribution, from the payouts of the past.

The model. Payouts come at random moments in random sizes, so that a day's sum is compound Poisson: its variance grows with
its mean. We take Tweedie's family with power 1.5 (Jorgensen 1987; Poisson numbers of gamma-like amounts) and a log link: the
mean of a day is the exponential of a level plus terms of its weekday, of paydays, of holidays and of the day before one, and
a trend. It is fitted by iteratively reweighted least squares. Every term but the level has a prior around zero, so that with
little data a term says nothing rather than nonsense, and the uncertainty of all of them is carried into the forecast: who
saw five days has a wide interval and says so. Old days count less, by half every 90 days. The trend is followed up to today
and not beyond: nobody's growth is promised.

Sums over some hours share the days' means by the usual share of each hour of the day. Of such a sum we know mean and
variance; its distribution is taken to be lognormal with these, which is never negative and has the long tail that matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gateway.money import Asset, Money
from gateway.treasury.floatrules import Calendar
from gateway.treasury.paydays import DAY, TERMS, terms

POWER = 1.5
"""A day's variance is proportional to this power of its mean."""
HALF_LIFE = 90
"""Days after which a day counts half."""
PRIOR_SD = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.5)
"""How large each of `TERMS` may well be, as a logarithm: 0.5 is two thirds more, or two fifths less."""
LEVEL_SD, TREND_SD = 3.0, 0.15
"""The same of the level, and of the trend of 30 days."""
NOISE, NOISE_DAYS = 0.5, 2
"""Before anything is seen a day varies so much (as the square of its share of the mean), and that counts as so many days."""
RECENT = 14
STEPS = 60
ENOUGH = 1e-9
HOURS = 24
SMOOTH = 2
"""Days of equal hours that are added to the seen ones, so that no hour is impossible."""
CERTAIN = 10_000
"""Chances are in hundredths of a percent."""
CHANCE_LEAST = 1e-12

Number = np.float64
Numbers = NDArray[Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was paid, by whole local days without a gap."""

    first: date
    units: tuple[int, ...]
    """One sum per day."""
    by_hour: tuple[int, ...] = (0,) * HOURS
    """Sums per hour of the local day, over all of them."""

    @property
    def end(self) -> date:
        """The first day that isn't in it."""
        return self.first + len(self.units) * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What will be needed within some time: mean and standard deviation, in smallest units."""

    asset: Asset
    mean: int
    sd: int

    def quantile(self, percent: int) -> Money:
        """So much suffices in `percent` of all cases (1 to 99)."""
        if self.mean <= 0:
            return Money(0, self.asset)
        spread = self._spread
        middle = log(self.mean) - spread * spread / 2
        return Money(round(exp(middle + spread * NormalDist().inv_cdf(percent / 100))), self.asset)

    def chance_above(self, units: int) -> int:
        """How likely more than `units` are needed, in hundredths of a percent."""
        if units < 0:
            return CERTAIN
        if self.mean <= 0:
            return 0
        if units == 0:
            return CERTAIN
        spread = max(self._spread, CHANCE_LEAST)
        place = (log(units) - log(self.mean) + spread * spread / 2) / spread
        return round(CERTAIN * NormalDist().cdf(-place))

    @property
    def money(self) -> Money:
        """What is expected."""
        return Money(self.mean, self.asset)

    @property
    def _spread(self) -> Any:
        return sqrt(log(1 + (self.sd / self.mean) ** 2))


@dataclass(frozen=True, eq=False, kw_only=True)
class Forecast:
    """A fitted model: what it learned, and what it expects."""

    asset: Asset
    calendar: Calendar
    days: int
    """How many days it saw."""
    seen_until: date
    recent: tuple[int, ...]
    """What was paid on the last days that it saw, up to `RECENT` of them."""
    scale: int
    """Units of a usual day: the model's own unit."""
    weights: Numbers
    covariance: Numbers
    noise: Number
    shares: Numbers
    """Of each hour in its day."""

    def over(self, since: datetime, until: datetime) -> Demand:
        """The demand from one moment to another, both aware; whatever lies between."""
        rows, parts = self._parts(since, until)
        if not len(rows):
            return Demand(asset=self.asset, mean=0, sd=0)
        means = np.exp(rows @ self.weights)
        mean = parts @ means
        slope = (parts * means) @ rows
        # Independent scatter of what comes in these hours, and what we don't know of the terms that they share.
        variance = self.noise * (parts @ means**POWER) + slope @ self.covariance @ slope
        return Demand(asset=self.asset, mean=self._units(mean), sd=self._units(np.sqrt(variance)))

    def day(self, day: date) -> Demand:
        """The demand of a local day."""
        begin = datetime.combine(day, time(), self._zone)
        return self.over(begin, datetime.combine(day + DAY, time(), self._zone))

    def factors(self) -> dict[str, int]:
        """What each term does to a day, in percent of a day without it: {"Monday": 96, ...}."""
        return {name: round(100 * exp(weight)) for name, weight in zip(TERMS, self.weights[1:-1], strict=True)}

    def _parts(self, since: datetime, until: datetime) -> tuple[Numbers, Numbers]:
        """The days between, as rows of the model, and how much of each day's demand falls into that time."""
        parts: dict[date, Number] = {}
        # In UTC, where time elapses evenly: a day of 23 hours has one hour less, and so has its demand.
        moment, end = since.astimezone(UTC), until.astimezone(UTC)
        while moment < end:
            following = min(_next_half(moment), end)
            local = moment.astimezone(self._zone)
            part = self.shares[local.hour] * ((following - moment) / timedelta(hours=1))
            parts[local.date()] = parts.get(local.date(), Number(0)) + part
            moment = following
        rows = [_row(day, self.seen_until, self.calendar) for day in parts]
        return np.array(rows), np.array(list(parts.values()))

    def _units(self, number: Any) -> int:
        units: int = round(number.item() * self.scale)
        return units

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.calendar.zone)


def fit(history: History, *, asset: Asset, calendar: Calendar) -> Forecast | None:
    """Learn from the past. None: nothing was ever paid, so nothing can be said."""
    total = sum(history.units)
    if total <= 0:
        return None
    scale = max(total // len(history.units), 1)
    units: Numbers = np.array([one / scale for one in history.units])
    last = history.end - DAY
    rows: Numbers = np.array([_row(history.first + n * DAY, last, calendar) for n in range(len(units))])
    ages = np.arange(len(units))[::-1]
    weights, covariance, noise = _fitted(rows, units, 0.5 ** (ages / HALF_LIFE))
    return Forecast(
        asset=asset,
        calendar=calendar,
        days=len(history.units),
        seen_until=last,
        recent=history.units[-RECENT:],
        scale=scale,
        weights=weights,
        covariance=covariance,
        noise=noise,
        shares=_shares(history.by_hour),
    )


def by_day(sums: Mapping[date, int], *, first: date, end: date) -> tuple[int, ...]:
    """Sums per day, with a nought where nothing was paid."""
    return tuple(sums.get(first + n * DAY, 0) for n in range((end - first).days))


def _row(day: date, last: date, calendar: Calendar) -> list[Any]:
    """A day as the model sees it: level, terms, and the trend in months, which ends with what was seen."""
    return [1.0, *(part / 100 for part in terms(day, calendar)), min((day - last).days, 0) / 30]


def _fitted(rows: Numbers, units: Numbers, counts: Numbers) -> tuple[Numbers, Numbers, Number]:
    """Weights, their covariance and the noise, by penalised iteratively reweighted least squares."""
    prior = np.diag([sd**-2 for sd in (LEVEL_SD, *PRIOR_SD, TREND_SD)])
    weights = np.zeros(rows.shape[1])
    noise = Number(NOISE)
    for _ in range(STEPS):
        level = np.clip(rows @ weights, -8, 8)
        means = np.exp(level)
        precision = counts * means ** (2 - POWER) / noise
        inner = rows.T @ (precision[:, None] * rows) + prior
        wanted = np.linalg.solve(inner, rows.T @ (precision * (level + (units - means) / means)))
        moved = np.abs(wanted - weights).max()
        weights = weights + np.clip(wanted - weights, -1, 1)
        noise = _noise(rows, units, counts, weights, inner, precision)
        if moved < ENOUGH:
            break
    return weights, np.asarray(np.linalg.inv(inner), dtype=Number), noise


def _noise(rows: Numbers, units: Numbers, counts: Numbers, weights: Numbers, inner: Numbers, precision: Numbers) -> Number:
    """How much days scatter around their mean (Pearson's estimate, with the prior's few days)."""
    means = np.exp(np.clip(rows @ weights, -8, 8))
    taken = np.trace(np.linalg.solve(inner, rows.T @ (precision[:, None] * rows)))
    scatter = (counts * (units - means) ** 2 / means**POWER).sum()
    free = max(counts.sum() - taken, 0)
    return Number((NOISE * NOISE_DAYS + scatter) / (NOISE_DAYS + free))


def _shares(by_hour: Sequence[int]) -> Numbers:
    seen: Numbers = np.array([one / max(sum(by_hour), 1) for one in by_hour])
    known = 10 if sum(by_hour) else 0
    return np.asarray((seen * known + SMOOTH / HOURS) / (known * seen.sum() + SMOOTH), dtype=Number)


def _next_half(moment: datetime) -> datetime:
    """The next half hour: some zones are half an hour apart from the others."""
    return moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0) + timedelta(minutes=30)
