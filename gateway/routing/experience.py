"""What is known of rails by experience: how long they take and how surely they pay, as a snapshot in memory.

What a payment is expected to do rests on payments like it. Where these are few, others of the same institution count, then
those of the currency, of the rail, and at last the rail's own word (`Capabilities.settles_within`). What these tell is
a prior, worth some payments at most, which those like it outweigh as they grow in number (partial pooling: Gelman et al.,
"Bayesian data analysis", chapter 5; Dirichlet for the times, Beta for the successes). Each payment counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import rows
from gateway.offramp import Capabilities
from gateway.routing.histogram import BUCKETS, Weights, bucket_sql, density, evidence, guess, quantile_s, wilson_low

PAID, FAILED = BUCKETS, BUCKETS + 1
"""Slots behind the buckets: payments that were made, and those that failed by no fault of the recipient's."""
WAITING = BUCKETS + 2
"""The first slot of those that wait, by the bucket of their age."""
SLOTS = WAITING + BUCKETS
DEPTHS = 4
"""How much alike payments can be: of the rail, its currency, its institution, its hour and amount."""

STRENGTH = 20
"""What is known of those less alike counts as so many payments, at most."""
GUESSED_TIMES = 2
"""What is assumed of a rail's times before it paid anything counts as so many payments."""
GUESSED_SUCCESS = 0.9
GUESSED_SUCCESSES = 2
ANY = -1
"""In place of an hour or a band of amounts."""
SETTLES_WITHIN = timedelta(days=1)
"""Assumed of a rail that isn't configured."""


class Outlook(NamedTuple):
    """What to expect of a payment."""

    p50_s: int
    """Half of the payments are there within so many seconds of being sent. To the recipient of cash: can be collected."""
    p95_s: int
    success: float
    """The share of payments that succeed, 0 to 1, but for those that the recipient's account makes fail."""
    success_low: float
    """It is no less, with 95 % confidence."""
    samples: float
    """How many payments that rests on, old ones and less similar ones counting less; 0: a guess."""


class History(NamedTuple):
    """What a rail did: arrays of the same length. Weights are numbers of payments, old ones counting less."""

    assets: NDArray[np.str_]
    institutions: NDArray[np.str_]
    hours: NDArray[np.int64]
    bands: NDArray[np.int64]
    slots: NDArray[np.int64]
    weights: Weights


class _Known(NamedTuple):
    """What is known of payments."""

    shares: Weights
    worth: float
    success: float
    successes: float


_Key = tuple[str, str | None, int, str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """What all rails did, up to one moment. It never changes; answers are kept, since orders ask the same again."""

    capabilities: Mapping[str, Capabilities] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict, repr=False)
    _looks: dict[_Key, Outlook] = field(default_factory=dict, init=False, repr=False, compare=False)

    def look(self, rail: str, institution: str | None, hour: int, asset: str, units: int) -> Outlook:
        """What to expect of `units` of `asset` (its code) sent in `hour` (UTC); `institution` None: whichever it is."""
        key = (rail, institution, hour, asset, band_of(units))
        return self._looks.get(key) or self._work_out(key)

    @property
    def answers(self) -> Mapping[tuple[str, str | None, int, str, int], Outlook]:
        """What `look` has said so far, the oldest answer first: by rail, institution, hour, asset and band of amounts."""
        return self._looks

    @classmethod
    def remembered(
        cls, answers: Mapping[tuple[str, str | None, int, str, int], Outlook], *, capabilities: Mapping[str, Capabilities]
    ) -> Experience:
        """An experience that says what another one said; asked anything else, it only guesses."""
        made = cls(capabilities)
        made._looks.update(answers)
        return made

    def shares(self, rail: str, institution: str | None, hour: int, asset: str, units: int) -> Weights:
        """Which share of such payments is expected to take how long, by bucket."""
        return self._finest((rail, institution, hour, asset, band_of(units))).shares

    def usual(self, rail: str, institution: str | None, asset: str) -> Weights:
        """The same at any hour and of any amount."""
        return self._finest((rail, institution, ANY, asset, ANY)).shares

    def _work_out(self, key: _Key) -> Outlook:
        outlook = _outlook(self._finest(key)) if key[0] in self.histories else _guessed(self._settles_within(key[0]))
        self._looks[key] = outlook
        return outlook

    def _finest(self, key: _Key) -> _Known:
        rail, institution, hour, asset, band = key
        known = self._guess(rail)
        history = self.histories.get(rail)
        if history is not None:
            alike = history.assets == asset
            depth = alike.astype(np.int64)
            if institution is not None:
                alike = alike & (history.institutions == institution)
                depth += alike
            depth += alike & (history.hours == hour) & (history.bands == band)
            counts = np.bincount(depth * SLOTS + history.slots, history.weights, DEPTHS * SLOTS)
            for of_depth in np.maximum(counts, 0.0).reshape(DEPTHS, SLOTS):
                known = _updated(known, of_depth)
        return known

    def _guess(self, rail: str) -> _Known:
        return _Known(guess(self._settles_within(rail)), GUESSED_TIMES, GUESSED_SUCCESS, GUESSED_SUCCESSES)

    def _settles_within(self, rail: str) -> timedelta:
        capabilities = self.capabilities.get(rail)
        return capabilities.settles_within if capabilities else SETTLES_WITHIN


def _outlook(known: _Known) -> Outlook:
    return Outlook(
        p50_s=quantile_s(known.shares, 0.5),
        p95_s=quantile_s(known.shares, 0.95),
        success=known.success,
        success_low=wilson_low(known.success, known.successes),
        samples=max(known.successes - GUESSED_SUCCESSES, 0),
    )


@lru_cache(maxsize=1024)
def _guessed(settles_within: timedelta) -> Outlook:
    """What is expected of a rail of which nothing was learned: asked for again with every new scene."""
    return _outlook(_Known(guess(settles_within), GUESSED_TIMES, GUESSED_SUCCESS, GUESSED_SUCCESSES))


def _updated(coarser: _Known, counts: Weights) -> _Known:
    """What those less alike tell, after what was counted of these."""
    if not counts.any():
        return coarser
    ended, waiting = counts[:BUCKETS], counts[WAITING:]
    seen, prior = evidence(ended, waiting, coarser.shares), min(coarser.worth, STRENGTH)
    shares = (density(ended, waiting) * seen + coarser.shares * prior) / (seen + prior)
    paid, failed = counts[PAID].item(), counts[FAILED].item()
    trust = min(coarser.successes, STRENGTH)
    number = paid + failed + trust
    return _Known(shares, seen + prior, (paid + coarser.success * trust) / number, number)


def band_of(units: int) -> int:
    """The order of magnitude of an amount: bands begin at 1, 3, 10, 30, 100… units."""
    digits = str(units)
    return 2 * len(digits) + (digits >= "3")


BAND_SQL = "CAST(2 * length(CAST({0} AS text)) + CAST(CAST({0} AS text) >= '3' AS integer) AS smallint)"
"""The same as an SQL expression; the database compares digits as Python does in every collation."""

_LEFT_OF = """weight * power(0.5, LEAST(60.0,
        GREATEST(0.0, EXTRACT(epoch FROM CAST(:now AS timestamptz) - at) / EXTRACT(epoch FROM {0})))) AS weight"""
_WAITED = f"{WAITING} + {bucket_sql('CAST(:now AS timestamptz) - sent_at')} AS slot"
_LOAD = text(f"""
WITH counted AS (
    SELECT rail, asset, institution, hour, band, slot, {_LEFT_OF.format("p.half_life")}
    FROM experience CROSS JOIN experience_progress AS p WHERE span = 'usual'
    UNION ALL
    SELECT rail, asset, institution, hour, band, {_WAITED}, count(*)
    FROM experience_waiting WHERE NOT timed GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT rail, array_agg(asset) AS assets, array_agg(institution) AS institutions, array_agg(hour) AS hours,
    array_agg(band) AS bands, array_agg(slot) AS slots, array_agg(CAST(weight AS double precision)) AS weights
FROM counted GROUP BY rail
""")  # noqa: S608 - the expressions are ours
# What waits for longer is a person's matter: it says nothing of how the rail does now.
_RECENT = text(f"""
WITH counted AS (
    SELECT rail, asset, institution, slot, {_LEFT_OF.format("p.now_half_life")}
    FROM experience CROSS JOIN experience_progress AS p WHERE span = 'now'
    UNION ALL
    SELECT rail, asset, institution, {_WAITED}, count(*)
    FROM experience_waiting WHERE NOT timed AND sent_at > :since GROUP BY 1, 2, 3, 4
)
SELECT rail, asset, institution, array_agg(slot) AS slots, array_agg(CAST(weight AS double precision)) AS weights
FROM counted GROUP BY rail, asset, institution
""")  # noqa: S608 - the expressions are ours
WAITS_MOST = timedelta(days=1)


async def load(
    connection: AsyncConnection, now: datetime, *, capabilities: Mapping[str, Capabilities] | None = None
) -> Experience:
    """Read what was learned (gateway.routing.learn). `capabilities` of the rails in use tell what is assumed before."""
    found = await rows(connection, _LOAD, {"now": now})
    histories = {
        row.rail: History(
            np.array(row.assets),
            np.array(row.institutions),
            np.array(row.hours),
            np.array(row.bands),
            np.array(row.slots),
            np.array(row.weights),
        )
        for row in found
    }
    return Experience(capabilities or {}, histories)


async def load_recent(connection: AsyncConnection, now: datetime) -> dict[tuple[str, str, str], Weights]:
    """What happened within the last half hour or so, by slot; by rail, currency and institution."""
    found = await rows(connection, _RECENT, {"now": now, "since": now - WAITS_MOST})
    return {
        (row.rail, row.asset, row.institution): np.maximum(
            np.bincount(np.array(row.slots), np.array(row.weights), SLOTS), 0.0
        )
        for row in found
    }
