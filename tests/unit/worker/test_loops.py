"""Loops go on whatever happens to one of them, and work wakes the others."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from gateway.worker.loops import Loop, Worker

NOBODY = "postgresql://nobody@127.0.0.1:1/none"
LONG = timedelta(hours=1)


async def run_until(worker, condition):
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_step_that_raises_is_tried_again_and_the_others_go_on():
    calls = {"bad": 0, "good": 0}

    async def bad():
        calls["bad"] += 1
        raise ConnectionError("node is down")

    async def good():
        calls["good"] += 1
        return 0

    idle = timedelta(milliseconds=10)
    worker = Worker(
        loops=(Loop("bad", bad, foreseen=(ConnectionError,)), Loop("good", good, idle=idle)), database_url=NOBODY
    )
    await run_until(worker, lambda: calls["bad"] >= 2 and calls["good"] >= 5)
    assert worker.faults == {"bad": "ConnectionError: node is down"}


async def test_work_done_wakes_the_loops_that_wait_but_not_those_that_ask_the_outside():
    calls = {"worker": 0, "sleeper": 0, "outside": 0}

    def step(name, results):
        async def one():
            calls[name] += 1
            return results.pop() if results and calls["sleeper"] and calls["outside"] else 0

        return one

    loops = (
        Loop("sleeper", step("sleeper", []), idle=LONG),
        Loop("outside", step("outside", []), idle=LONG, wakes=False),
        Loop("worker", step("worker", [1]), idle=timedelta(milliseconds=10)),
    )
    await run_until(Worker(loops=loops, database_url=NOBODY), lambda: calls["sleeper"] >= 2)
    assert calls["outside"] == 1


async def test_the_database_wakes_the_loops(database_url):
    import psycopg

    calls = []

    async def step():
        calls.append(1)
        return 0

    worker = Worker(loops=(Loop("one", step, idle=LONG),), database_url=database_url)

    def rung():
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify('lastmile', 'orders')")
        return len(calls) >= 2

    await run_until(worker, rung)


async def test_news_from_beside_a_loop_wake_it_and_a_failure_there_does_not_stop_it(monkeypatch):
    monkeypatch.setattr("gateway.worker.loops.LISTEN_AGAIN_S", 0.01)
    calls, rings = [], []

    async def step():
        calls.append(1)
        return 0

    async def beside(bell):
        rings.append(1)
        bell.set()
        raise ConnectionError("cut")

    worker = Worker(loops=(Loop("heard", step, idle=LONG, wakes=False, beside=beside),), database_url=NOBODY)
    await run_until(worker, lambda: len(calls) >= 3 and len(rings) >= 3)
    assert worker.faults == {}


async def test_what_runs_beside_a_loop_ends_with_it():
    ended = []

    async def beside(_bell):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    calls = []

    async def step():
        calls.append(1)
        return 0

    await run_until(Worker(loops=(Loop("one", step, idle=LONG, beside=beside),), database_url=NOBODY), lambda: calls)
    assert ended == [1]


async def test_a_database_that_is_away_is_told_of_in_a_line_and_a_mistake_with_its_stack(monkeypatch):
    monkeypatch.setattr("gateway.worker.loops.BACKOFF_FIRST_S", 0.01)
    away = OperationalError("SELECT", {}, ConnectionError("cut"))
    calls = {"away": 0, "wrong": 0}

    def step(name, error):
        async def one():
            calls[name] += 1
            raise error

        return one

    loops = (Loop("away", step("away", away)), Loop("wrong", step("wrong", ZeroDivisionError("a bug"))))
    with capture_logs() as logs:
        await run_until(Worker(loops=loops, database_url=NOBODY), lambda: min(calls.values()) >= 2)
    stacks = {entry["loop"]: entry["exc_info"] for entry in logs if entry["event"] == "loop_failed"}
    assert stacks["away"] is None
    assert isinstance(stacks["wrong"], ZeroDivisionError)
