"""What a process loses that stands still in the middle of a transaction."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.faults import passes
from gateway.db.session import reading, snapshot, transaction

SETTING = "idle_in_transaction_session_timeout"


async def settings(connection) -> dict[str, int]:
    sql = f"SELECT name, setting FROM pg_settings WHERE name IN ('{SETTING}', 'lock_timeout')"
    return {row.name: int(row.setting) for row in await connection.execute(text(sql))}


async def test_it_loses_its_locks_before_those_who_wait_for_them_give_up(engine: AsyncEngine) -> None:
    async with reading(engine) as connection:
        found = await settings(connection)
    assert 0 < found[SETTING] < found["lock_timeout"]


async def test_who_only_reads_a_moment_holds_no_locks_and_may_take_its_time(engine: AsyncEngine) -> None:
    async with snapshot(engine) as connection:
        assert (await settings(connection))[SETTING] == 0


async def test_its_work_is_done_again(engine: AsyncEngine) -> None:
    async def stand_still() -> None:
        async with transaction(engine) as connection:
            await connection.execute(text(f"SET LOCAL {SETTING} = 20"))
            await asyncio.sleep(0.2)
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DBAPIError) as told:
        await stand_still()
    assert passes(told.value), told.value
    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
