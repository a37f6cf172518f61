"""Transactions of several statements, and what their rows are."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import reading, rows, rows_of_all, transaction, tuples

INSERT = "INSERT INTO assets (code, decimals) VALUES ('KES', 2)"


async def test_a_reading_transaction_reads_and_the_database_refuses_to_write(engine: AsyncEngine) -> None:
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM assets"))).scalar_one() == 0
        with pytest.raises(InternalError, match="read-only transaction"):
            await connection.execute(text(INSERT))


async def test_its_connection_writes_again_afterwards(engine: AsyncEngine) -> None:
    for _ in range(3):
        async with reading(engine) as connection:
            await connection.execute(text("SELECT 1"))
    async with transaction(engine) as connection:
        await connection.execute(text(INSERT))
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM assets"))).scalar_one() == 1


async def test_what_a_transaction_lost_with_its_connection_is_not_begun_anew_on_another(engine: AsyncEngine) -> None:
    statement = text(f"{INSERT} RETURNING code")

    async def lose() -> None:
        async with transaction(engine) as connection:
            assert await tuples(connection, statement, {}) == [("KES",)]
            await connection.invalidate()
            await tuples(connection, statement, {})

    with pytest.raises(PendingRollbackError):
        await lose()
    async with reading(engine) as connection:
        assert await rows(connection, text("SELECT code FROM assets"), {}) == []


async def test_a_statement_without_an_answer_has_no_rows(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        assert await rows(connection, text(INSERT), {}) == []
        told, one = text("NOTIFY nobody"), text("SELECT 1 AS one")
        assert await rows_of_all(connection, [(told, {}), (one, {})]) == [[], [(1,)]]
