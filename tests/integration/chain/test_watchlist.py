"""The watchlist against transactions that commit in any order, early, late or never."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain import watchlist
from gateway.chain.models import DepositAddress
from gateway.chain.watchlist import Watchlist
from gateway.db.session import transaction
from tests.unit.chain.fake_chain import address, topic

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def enter(connection: AsyncConnection, *names: object) -> None:
    rows = [
        {"address": address(name), "factory": "0x", "salt": "0x", "owner": f"ord_{name}", "created_at": NOW}
        for name in names
    ]
    await connection.execute(insert(DepositAddress), rows)


def topics(*names: object) -> set[str]:
    return {topic(address(name)) for name in names}


async def test_it_has_what_was_committed_before_each_look(engine: AsyncEngine) -> None:
    watched = Watchlist(engine)
    await watched.refresh()
    assert (len(watched), watched.topics()) == (0, set())
    for name in ("a", "b", "c"):
        async with transaction(engine) as connection:
            await enter(connection, name)
            await watched.refresh()
            assert topic(address(name)) not in watched
        await watched.refresh()
        assert topic(address(name)) in watched
    assert watched.topics() == topics("a", "b", "c")
    assert address("a") not in watched
    assert None not in watched


async def test_an_address_whose_transaction_commits_late_is_not_missed(engine: AsyncEngine) -> None:
    watched = Watchlist(engine)
    async with engine.connect() as early, engine.connect() as earliest:
        await enter(earliest, "earliest")
        await enter(early, "early")
        async with transaction(engine) as connection:
            await enter(connection, "late")
        await watched.refresh()
        assert watched.topics() == topics("late")
        await early.commit()
        await watched.refresh()
        assert watched.topics() == topics("late", "early")
        await earliest.commit()
        await watched.refresh()
    assert watched.topics() == topics("late", "early", "earliest")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["begin", "commit", "roll back", "refresh"]), max_size=30), st.randoms())
async def test_whatever_the_order_nothing_is_missed(engine: AsyncEngine, deeds: list[str], random: object) -> None:
    watched = Watchlist(engine)
    async with transaction(engine) as connection:
        await connection.execute(text("DELETE FROM deposit_addresses"))
    committed: set[str] = set()
    async with AsyncExitStack() as stack:
        running: list[tuple[AsyncConnection, int]] = []
        for number, deed in enumerate(deeds):
            if deed == "begin" and len(running) < 8:
                connection = await stack.enter_async_context(engine.connect())
                await enter(connection, number)
                running.append((connection, number))
            elif deed == "refresh":
                await watched.refresh()
                assert watched.topics() == committed
            elif running:
                connection, entered = running.pop(random.randrange(len(running)))  # type: ignore[attr-defined]
                await (connection.commit() if deed == "commit" else connection.rollback())
                committed |= topics(entered) if deed == "commit" else set()
        await watched.refresh()
        assert watched.topics() == committed


async def test_the_first_look_reads_in_bounded_pieces(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchlist, "CHUNK", 10)
    async with transaction(engine) as connection:
        await enter(connection, *range(35))
    watched = Watchlist(engine)
    read: list[int] = []
    monkeypatch.setattr(Watchlist, "_add", lambda _, page: read.append(len(list(page))))
    await watched.refresh()
    assert read == [10, 10, 10, 5]


async def test_later_looks_read_only_what_is_new(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with transaction(engine) as connection:
        await enter(connection, *range(35))
    watched = Watchlist(engine)
    await watched.refresh()
    async with transaction(engine) as connection:
        await enter(connection, "new")
    read: list[str] = []
    add = Watchlist._add
    monkeypatch.setattr(Watchlist, "_add", lambda self, page: add(self, [read.append(one) or one for one in page]))  # type: ignore[func-returns-value]
    await watched.refresh()
    assert read == [address("new")]
    assert len(watched) == 36
    read.clear()
    await watched.refresh()
    await watched.refresh()
    assert read == []


async def test_rows_of_another_server_s_backup_are_read_once(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with transaction(engine) as connection:
        await enter(connection, "restored")
        await connection.execute(text("UPDATE deposit_addresses SET entered = entered + 1000000000"))
    watched = Watchlist(engine)
    await watched.refresh()
    assert watched.topics() == topics("restored")
    read: list[str] = []
    monkeypatch.setattr(Watchlist, "_add", lambda _, page: read.extend(page))
    await watched.refresh()
    assert read == []


async def test_a_look_that_fails_is_made_again_from_where_it_was(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watchlist(engine)
    async with transaction(engine) as connection:
        await enter(connection, "a", "b")

    def fail(_self: Watchlist, _page: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(Watchlist, "_add", fail)
        with pytest.raises(ConnectionError):
            await watched.refresh()
    await watched.refresh()
    assert watched.topics() == topics("a", "b")


async def test_of_several_first_looks_at_once_one_reads_all(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watchlist(engine)
    looks: list[int] = []
    read_all = Watchlist._read_all

    async def counted(self: Watchlist, connection: AsyncConnection) -> None:
        looks.append(1)
        await read_all(self, connection)

    monkeypatch.setattr(Watchlist, "_read_all", counted)
    async with transaction(engine) as connection:
        await enter(connection, "a")
    await asyncio.gather(*(watched.refresh() for _ in range(5)))
    assert watched.topics() == topics("a")
    assert looks == [1]
