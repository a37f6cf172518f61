"""Transactions of two round trips."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.faults import passes
from gateway.db.session import Statement, make_engine, reading, transaction
from gateway.db.trips import trip

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PUT = text(
    "INSERT INTO assets (code, decimals) SELECT code, 2 FROM jsonb_array_elements_text(CAST(:codes AS jsonb)) AS code"
)
COUNT = text("SELECT count(*) AS number FROM assets")
SAY = text("""
SELECT CAST(:text AS text) AS said, CAST(:at AS timestamptz) AS at, 12.5 AS much, ARRAY['a', 'b'] AS some, :text AS twice
""")
WHO = text("SELECT pg_backend_pid() AS pid")


def putting(codes: Sequence[str]) -> Statement:
    return PUT, {"codes": json.dumps(codes)}


async def put(
    engine: AsyncEngine, *, now: Sequence[str] = (), last: Sequence[str] = (), act: Callable[[], object] = object
) -> None:
    async with trip(engine) as going:
        await going.ask([putting(now)])
        going.last([putting(last)])
        act()


async def stored(engine: AsyncEngine) -> int:
    async with reading(engine) as connection:
        return int((await connection.execute(COUNT)).scalar_one())


async def backend(engine: AsyncEngine) -> int:
    async with trip(engine) as going:
        [[row]] = await going.ask([(WHO, {})])
    return int(row.pid)


async def test_what_is_asked_has_names_and_types_and_each_statement_its_own_rows(engine: AsyncEngine) -> None:
    async with trip(engine) as going:
        said, none, written = await going.ask(
            [(SAY, {"text": "O'Neill; $1 %s", "at": NOW}), (SAY, {"text": None, "at": None}), (PUT, {"codes": "[]"})]
        )
    [row] = said
    assert row._asdict() == {
        "said": "O'Neill; $1 %s",
        "at": NOW,
        "much": Decimal("12.5"),
        "some": ["a", "b"],
        "twice": "O'Neill; $1 %s",
    }
    assert (none[0].said, none[0].at, written) == (None, None, [])


async def test_what_is_last_is_written_at_the_end_of_the_block_and_committed(engine: AsyncEngine) -> None:
    for number in range(3):
        async with trip(engine) as going:
            [[counted]] = await going.ask([(COUNT, {})])
            going.last([(PUT, {"codes": f'["A{number}"]'}), (PUT, {"codes": f'["B{number}"]'})])
            assert counted.number == await stored(engine) == 2 * number
        assert await stored(engine) == 2 * number + 2


async def test_a_block_that_raises_has_done_nothing_and_nobody_meets_its_connection(engine: AsyncEngine) -> None:
    before = await backend(engine)
    assert await backend(engine) == before
    with pytest.raises(ZeroDivisionError):
        await put(engine, now=["KES"], last=["UGX"], act=lambda: 1 // 0)
    assert await stored(engine) == 0
    assert await backend(engine) != before


@pytest.mark.parametrize("words", [{"now": ["UGX", "UGX"]}, {"last": ["UGX", "UGX"]}, {"now": ["UGX"], "last": ["UGX"]}])
async def test_what_the_database_refuses_is_raised_and_nothing_of_it_is_kept(
    engine: AsyncEngine, words: dict[str, list[str]]
) -> None:
    for _ in range(2):
        with pytest.raises(IntegrityError, match="assets_pkey"):
            await put(engine, now=words.get("now", ()), last=words.get("last", ()))
        assert await stored(engine) == 0
    await put(engine, last=["UGX"])
    assert await stored(engine) == 1


async def test_a_wrong_statement_is_told_as_sqlalchemy_tells_it(engine: AsyncEngine) -> None:
    async def wrong() -> None:
        async with trip(engine) as going:
            await going.ask([(COUNT, {}), (text("SELECT * FROM nowhere"), {})])

    with pytest.raises(ProgrammingError, match="nowhere"):
        await wrong()


async def test_prepared_statements_that_somebody_threw_away_are_prepared_again(database_url: str) -> None:
    engine = make_engine(database_url, pool_size=1)
    for _ in range(2):
        async with trip(engine) as going:
            await going.ask([(COUNT, {}), (WHO, {})])
            going.last([(PUT, {"codes": "[]"})])
        async with transaction(engine) as connection:
            await connection.execute(text("DEALLOCATE ALL"))
    async with trip(engine) as going:
        [[counted], _] = await going.ask([(COUNT, {}), (WHO, {})])
        going.last([(PUT, {"codes": '["KES"]'})])
    assert (counted.number, await stored(engine)) == (0, 1)
    await engine.dispose()


@pytest.mark.parametrize("words", [{"now": ["KES"]}, {"last": ["KES"]}])
async def test_a_cut_connection_is_a_failure_that_passes(engine: AsyncEngine, words: dict[str, list[str]]) -> None:
    async def cut() -> None:
        async with trip(engine) as going:
            [[row]] = await going.ask([(WHO, {})])
            async with transaction(engine) as connection:
                await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": row.pid})
            await going.ask([putting(words.get("now", []))])
            going.last([putting(words.get("last", []))])

    with pytest.raises(OperationalError) as failure:
        await cut()
    assert passes(failure.value)
    assert await stored(engine) == 0
    assert await backend(engine)


async def test_more_than_the_network_takes_at_once_goes_through(engine: AsyncEngine) -> None:
    words = "word " * 1_000_000
    async with trip(engine) as going:
        [[row], *_] = await going.ask([(SAY, {"text": words, "at": NOW})] * 3)
    assert row.said == words
