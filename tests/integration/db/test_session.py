"""Transactions that only read can't write."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import reading, transaction

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
