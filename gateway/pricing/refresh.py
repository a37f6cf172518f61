"""Ask the sources and keep what they say, for all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.pricing.models import RateObservation
from gateway.pricing.observations import Observation
from gateway.pricing.sources import RateSource, SourceFault

FETCH_WITHIN = timedelta(seconds=30)
"""How long any source may take, whatever its own limits."""

_rates: Table = RateObservation.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What one round brought."""

    stored: int
    """Prices stored; a price older than the one we have is not."""
    faults: tuple[SourceFault, ...]
    """Why a source brought nothing: for the log. An unforeseen error is the fault's `__cause__`."""


async def refresh_rates(
    engine: AsyncEngine, *, sources: Sequence[RateSource], now: datetime, within: timedelta = FETCH_WITHIN
) -> Refreshed:
    """Fetch from all sources at once, with no transaction open, then store every price in one statement.

    A source that fails costs only its own news: its last price stays and grows old.
    """
    answers = await asyncio.gather(*(_fetch(source, now=now, within=within) for source in sources))
    faults = tuple(answer for answer in answers if isinstance(answer, SourceFault))
    news = [one for answer in answers if not isinstance(answer, SourceFault) for one in answer]
    return Refreshed(stored=await _store(engine, news, now=now) if news else 0, faults=faults)


async def _fetch(source: RateSource, *, now: datetime, within: timedelta) -> Sequence[Observation] | SourceFault:
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await source.fetch(now)
    except SourceFault as fault:
        return fault
    except Exception as error:  # noqa: BLE001 - one source's bug must not stop the others
        unforeseen = SourceFault(source.name, f"failed with {type(error).__name__}")
        unforeseen.__cause__ = error
        return unforeseen


async def _store(engine: AsyncEngine, observations: Iterable[Observation], *, now: datetime) -> int:
    rows = {(one.source, one.base, one.quote): _row(one, now=now) for one in observations}
    # In the order of the key, so that two processes that store at once wait for each other instead of deadlocking.
    statement = insert(_rates).values([rows[key] for key in sorted(rows)])
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["source", "base", "quote"],
        set_={name: new[name] for name in ("num", "den", "as_of", "fetched_at", "good_until")},
        where=_rates.c.as_of <= new.as_of,
    )
    async with transaction(engine, point="rates.store") as connection:
        return len((await connection.execute(statement.returning(_rates.c.source))).all())


def _row(observation: Observation, *, now: datetime) -> dict[str, Any]:
    return {
        "source": observation.source,
        "base": observation.base,
        "quote": observation.quote,
        "num": observation.price.numerator,
        "den": observation.price.denominator,
        "as_of": observation.as_of,
        "fetched_at": now,
        "good_until": observation.good_until,
    }
