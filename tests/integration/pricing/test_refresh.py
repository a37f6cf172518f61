from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from sqlalchemy import select, text

from gateway.pricing.models import RateObservation
from gateway.pricing.observations import PRICE_PARTS, Observation
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.sources import SourceFault

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Says:
    """A source whose answer is a function of the time."""

    name: str
    answer: Callable[[datetime], Awaitable[list[Observation]]]

    async def fetch(self, now: datetime) -> list[Observation]:
        return await self.answer(now)


def price(source: str, text: str, *, quote: str = "KES", as_of: datetime = NOW) -> Observation:
    return Observation(source=source, base="USD", quote=quote, price=Fraction(text), as_of=as_of)


def steady(name: str, *observations: Observation) -> Says:
    async def answer(_now):
        return list(observations)

    return Says(name, answer)


def failing(name: str, error: Exception) -> Says:
    async def answer(_now):
        raise error

    return Says(name, answer)


async def stored(engine) -> dict[tuple[str, str], tuple[Fraction, datetime, datetime]]:
    async with engine.connect() as connection:
        rows = await connection.execute(select(RateObservation.__table__))
        return {(row.source, row.quote): (Fraction(row.num, row.den), row.as_of, row.fetched_at) for row in rows}


async def test_every_price_of_every_source_is_stored(engine):
    one = steady("one", price("one", "129.2"), price("one", "3650", quote="UGX"))
    two = steady("two", price("two", "129.25", as_of=NOW - HOUR))
    result = await refresh_rates(engine, sources=[one, two], now=NOW)
    assert (result.stored, result.faults) == (3, ())
    assert await stored(engine) == {
        ("one", "KES"): (Fraction("129.2"), NOW, NOW),
        ("one", "UGX"): (Fraction(3650), NOW, NOW),
        ("two", "KES"): (Fraction("129.25"), NOW - HOUR, NOW),
    }


async def test_a_newer_price_takes_the_place_of_the_old_one(engine):
    await refresh_rates(engine, sources=[steady("one", price("one", "129.2"))], now=NOW)
    later = NOW + HOUR
    await refresh_rates(engine, sources=[steady("one", price("one", "130", as_of=later))], now=later)
    assert await stored(engine) == {("one", "KES"): (Fraction(130), later, later)}


async def test_an_older_price_does_not_take_the_place_of_a_newer_one(engine):
    await refresh_rates(engine, sources=[steady("one", price("one", "129.2"))], now=NOW)
    late = steady("one", price("one", "120", as_of=NOW - HOUR))
    assert (await refresh_rates(engine, sources=[late], now=NOW)).stored == 0
    assert await stored(engine) == {("one", "KES"): (Fraction("129.2"), NOW, NOW)}


async def test_a_corrected_price_of_the_same_moment_counts(engine):
    await refresh_rates(engine, sources=[steady("one", price("one", "12.92"))], now=NOW)
    assert (await refresh_rates(engine, sources=[steady("one", price("one", "129.2"))], now=NOW)).stored == 1
    assert (await stored(engine))["one", "KES"][0] == Fraction("129.2")


async def test_the_most_exact_prices_come_back_exactly(engine):
    least, most = Fraction(10**12 + 1, PRICE_PARTS), Fraction(10**36 - 1, PRICE_PARTS)
    source = steady("one", price("one", str(least)), price("one", str(most), quote="UGX"))
    await refresh_rates(engine, sources=[source], now=NOW)
    found = await stored(engine)
    assert (found["one", "KES"][0], found["one", "UGX"][0]) == (least, most)


async def test_one_sources_fault_costs_only_its_own_news(engine):
    await refresh_rates(engine, sources=[steady("bad", price("bad", "129"))], now=NOW - HOUR)
    bug = ZeroDivisionError("secret")
    sources = [
        failing("bad", SourceFault("bad", "nothing today")),
        failing("buggy", bug),
        steady("good", price("good", "129.2")),
    ]
    result = await refresh_rates(engine, sources=sources, now=NOW)
    assert result.stored == 1
    assert [str(fault) for fault in result.faults] == [
        "rate source bad: nothing today",
        "rate source buggy: failed with ZeroDivisionError",
    ]
    assert result.faults[1].__cause__ is bug
    assert await stored(engine) == {
        ("bad", "KES"): (Fraction(129), NOW, NOW - HOUR),
        ("good", "KES"): (Fraction("129.2"), NOW, NOW),
    }


async def test_a_source_that_never_answers_is_given_up(engine):
    async def never(_now):
        await asyncio.Event().wait()
        return []

    sources = [Says("deaf", never), steady("good", price("good", "129.2"))]
    async with asyncio.timeout(10):
        result = await refresh_rates(engine, sources=sources, now=NOW, within=timedelta(milliseconds=50))
    assert result.stored == 1
    assert [str(fault) for fault in result.faults] == ["rate source deaf: failed with TimeoutError"]


async def test_all_sources_are_asked_at_the_same_time(engine):
    both = asyncio.Barrier(2)

    async def together(_now):
        await both.wait()
        return []

    sources = [Says("one", together), Says("two", together)]
    assert (await refresh_rates(engine, sources=sources, now=NOW, within=timedelta(seconds=5))).faults == ()


async def test_no_transaction_is_open_while_a_source_is_asked(engine):
    seen = []

    async def look(_now):
        async with engine.connect() as connection:
            others = text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
            )
            seen.append((await connection.execute(others)).scalar_one())
        return []

    await refresh_rates(engine, sources=[Says("one", look)], now=NOW)
    assert seen == [1]


async def test_a_source_that_says_a_thing_twice_hurts_nobody(engine):
    twice = steady("one", price("one", "129.1"), price("one", "129.2"))
    assert (await refresh_rates(engine, sources=[twice], now=NOW)).stored == 1


async def test_processes_that_store_at_once_do_not_block_each_other(engine):
    currencies = [f"{a}{b}X" for a in "ABCDEFGHIJKLMNOPQRST" for b in "ABCDEFGHIJKLMNOPQRST"]
    prices = [price("one", "129.2", quote=currency) for currency in currencies]
    forward, backward = steady("one", *prices), steady("one", *reversed(prices))
    rounds = [refresh_rates(engine, sources=[source], now=NOW) for source in (forward, backward) * 4]
    assert [one.stored for one in await asyncio.gather(*rounds)] == [400] * 8
