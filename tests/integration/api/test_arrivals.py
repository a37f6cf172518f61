"""A callback is stored before it is answered, and answered at once, whatever everybody else does."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from structlog.testing import capture_logs

from gateway.api.callbacks import callback_router
from gateway.api.problems import install_problems
from gateway.db.session import POOL_SIZE, transaction
from gateway.offramp import Callback, ForgedCallback, Outcome, Report
from gateway.payouts import arrivals
from gateway.payouts.addresses import CallbackAddresses, Callee
from gateway.payouts.arrivals import make_inbox_engine
from gateway.payouts.rails import Rails
from tests.factories import NOW, FakeRail, make_orders

URL = "http://rails.example"
WITHIN_S = 10
SOON_S = 0.1
"""What a rail is promised."""


class CallingRail(FakeRail):
    think_s = 0.0

    def read_callback(self, request):
        time.sleep(self.think_s)
        try:
            event_id = json.loads(request.body)["id"]
        except ValueError:
            raise ForgedCallback("unreadable") from None
        return Callback(event_id=event_id, attempt_id=request.attempt_id, report=Report(outcome=Outcome.PENDING))

    def callback_answer(self):
        return 200, {}


class Place:
    """The route with a database and a client."""

    def __init__(self, engine, database_url):
        self.engine = engine
        self.inbox = make_inbox_engine(database_url)
        self.rail, self.other = CallingRail(), CallingRail(name="other")
        self.addresses = CallbackAddresses(public_url=URL, key=bytes(32))
        self.services = SimpleNamespace(
            engine=engine,
            inbox=self.inbox,
            rails=Rails({"fake": self.rail, "other": self.other}),
            addresses=self.addresses,
            clock=lambda: NOW,
        )
        app = FastAPI()
        app.include_router(callback_router(self.services))
        install_problems(app)

        @app.post("/bare")
        async def bare():
            async with transaction(self.inbox) as connection:
                await connection.execute(text("INSERT INTO bare VALUES ('x')"))
            return {}

        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL)

    async def bring(self, event_id, *, attempt_id="att_1", adapter="fake"):
        place = self.addresses.address(Callee(adapter, attempt_id, "result"))
        async with asyncio.timeout(WITHIN_S):
            return await self.client.post(place, json={"id": event_id})

    async def stored(self):
        async with transaction(self.engine) as connection:
            return list((await connection.execute(text("SELECT event_id FROM callbacks ORDER BY event_id"))).scalars())

    async def times(self, act, number=40):
        """Seconds of each, in their order."""
        taken = []
        for turn in range(number):
            started = time.perf_counter()
            answer = await act(turn)
            taken.append(time.perf_counter() - started)
            assert answer.status_code == 200
        return sorted(taken)


@pytest.fixture
async def place(engine, database_url):
    made = Place(engine, database_url)
    yield made
    await made.client.aclose()
    await made.inbox.dispose()


@asynccontextmanager
async def locked(engine, statement):
    async with transaction(engine) as connection:
        await connection.execute(text(statement))
        yield


async def busy(engine):
    """Long work of others: no connection is free, and every order and attempt is locked."""
    await make_orders(engine, 3)
    stack = AsyncExitStack()
    taken = [await stack.enter_async_context(engine.connect()) for _ in range(2 * POOL_SIZE)]
    await taken[0].execute(text("SELECT FROM orders FOR UPDATE"))
    await taken[0].execute(text("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"))
    return stack


async def test_it_is_answered_at_once_while_all_connections_are_taken_and_all_orders_locked(engine, place):
    async with transaction(engine) as connection:
        await connection.execute(text("CREATE TABLE bare (x text)"))
    async with await busy(engine):
        floor = await place.times(lambda _: place.client.post("/bare"))
        taken = await place.times(lambda turn: place.bring(f"event {turn}"))
    most = len(taken) * 9 // 10
    # On a machine that has no time for anybody, a bare route is slow too.
    assert taken[most] < max(SOON_S, 4 * floor[most]), (taken[most], floor[most])
    assert len(await place.stored()) == len(taken)


async def test_a_hundred_at_once_are_one_row_and_all_are_answered(place):
    answers = await asyncio.gather(*(place.bring("same") for _ in range(100)))
    assert Counter(answer.status_code for answer in answers) == {200: 100}
    assert await place.stored() == ["same"]


async def test_many_at_once_are_stored_in_few_transactions(place):
    sets = []
    store_all = arrivals.store_all

    async def counted(connection, *, arrivals):
        sets.append(len(arrivals))
        return await store_all(connection, arrivals=arrivals)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "store_all", counted)
        await asyncio.gather(*(place.bring(f"event {number:03}") for number in range(100)))
    assert (sum(sets), len(await place.stored())) == (100, 100)
    assert len(sets) < 50


async def test_what_cannot_be_stored_in_time_is_never_answered_as_taken(engine, place, monkeypatch):
    monkeypatch.setattr(arrivals, "STORED_WITHIN_S", 0.2)
    async with locked(engine, "LOCK TABLE callbacks IN ACCESS EXCLUSIVE MODE"):
        with capture_logs():
            answers = await asyncio.gather(*(place.bring(f"event {number}") for number in range(5)))
        assert {answer.status_code for answer in answers} == {503}
        assert answers[0].headers["retry-after"]
    assert (await place.bring("event 1")).status_code == 200
    assert "event 1" in await place.stored()


async def test_more_than_can_be_in_time_are_turned_away_at_once(engine, database_url, monkeypatch):
    monkeypatch.setattr(arrivals, "WAITING_MOST", 3)
    place = Place(engine, database_url)
    async with locked(engine, "LOCK TABLE callbacks IN ACCESS EXCLUSIVE MODE"):
        with capture_logs():
            tasks = [asyncio.create_task(place.bring(f"event {number}")) for number in range(20)]
            done = set()
            # One set is being stored, of one to three, and three wait.
            while len(done) < 20 - 3 - 3:
                done, _ = await asyncio.wait(tasks, timeout=0.05)
        assert {task.result().status_code for task in done} == {503}
    answers = Counter([(await task).status_code for task in tasks])
    assert answers == {503: 20 - len(await place.stored()), 200: len(await place.stored())}
    assert 1 <= answers[200] <= 3 + 3


async def test_one_that_is_wrong_does_not_keep_those_that_came_with_it(place, monkeypatch):
    store_all = arrivals.store_all

    async def picky(connection, *, arrivals):
        if any(one.event_id == "bad" for one in arrivals):
            await connection.execute(text("SELECT 1 / 0"))
        return await store_all(connection, arrivals=arrivals)

    monkeypatch.setattr(arrivals, "store_all", picky)
    with capture_logs():
        answers = await asyncio.gather(*(place.bring(name) for name in ("first", "bad", "good", "bad", "fine")))
    assert [answer.status_code for answer in answers] == [200, 503, 200, 503, 200]
    assert await place.stored() == ["fine", "first", "good"]


async def test_connections_from_before_a_restart_lose_nothing(engine, place):
    await asyncio.gather(*(place.bring(f"event {number}") for number in range(4)))
    async with transaction(engine) as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    assert (await place.bring("after")).status_code == 200
    assert "after" in await place.stored()


async def test_while_the_database_is_down_it_says_so_at_once(place):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    place.services.inbox = make_inbox_engine(f"postgresql://nobody@127.0.0.1:{port}/none")
    app = FastAPI()
    app.include_router(callback_router(place.services))
    install_problems(app)
    address = place.addresses.address(Callee("fake", "att_1", "result"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL) as client:
        with capture_logs():
            started = time.perf_counter()
            answer = await client.post(address, json={"id": "x"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert time.perf_counter() - started < arrivals.STORED_WITHIN_S / 2
        # Who has no address of ours doesn't get as far as the database.
        assert (await client.post(address[:-2], json={"id": "x"})).status_code == 404
    await place.services.inbox.dispose()


async def test_an_adapter_that_thinks_for_long_keeps_nobody_elses_callback_waiting(place, monkeypatch):
    monkeypatch.setattr("gateway.api.callbacks.READ_WITHIN_S", 0.3)
    place.rail.think_s = 1.0
    with capture_logs():
        slow = asyncio.create_task(place.bring("slow"))
        await asyncio.sleep(0.05)
        answer = await place.bring("quick", adapter="other")
        assert answer.status_code == 200
        assert not slow.done()
        assert (await slow).status_code == 200
    kept = await place.stored()
    assert kept[0] == "quick"
    assert kept[1].startswith("unreadable:")
