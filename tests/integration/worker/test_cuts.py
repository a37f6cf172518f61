"""Connections are cut at random while the loops work: nothing is lost and nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from gateway.clock import system_clock
from gateway.offramp import Outcome, Report
from gateway.orders.deadlines import keep_deadlines
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.inbox import handle_callbacks
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.worker import loops
from gateway.worker.loops import Loop, Worker
from tests.factories import NOW, PENDING, FakeRail, make_deposit, make_orders, paid

ORDERS = 40
WITHIN_S = 60


@dataclass
class Rail(FakeRail):
    """Pays each id once, after it was asked about; counts what it was told to pay."""

    told: dict[str, int] = field(default_factory=dict)

    async def pay(self, instruction):
        self.told[instruction.attempt_id] = self.told.get(instruction.attempt_id, 0) + 1
        await asyncio.sleep(0.001)
        return PENDING

    async def status(self, attempt):
        await asyncio.sleep(0.001)
        if attempt.attempt_id not in self.told:
            return Report(outcome=Outcome.UNKNOWN, reason="not found")
        return paid(attempt.attempt_id, attempt.deliver)


class Cutter:
    """Ends backends of a database, at random moments."""

    def __init__(self, url: str, *, seed: int) -> None:
        self._url = url
        self._random = random.Random(seed)
        self.cuts = 0

    async def run(self, times: int) -> None:
        """Some at a time, with pauses of some hundredths of a second."""
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        async with connection:
            while self.cuts < times:
                await asyncio.sleep(self._random.uniform(0.005, 0.05))
                found = await connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND backend_type = 'client backend'"
                )
                backends = [pid for (pid,) in await found.fetchall()]
                for pid in self._random.sample(backends, k=min(len(backends), self._random.randint(1, 3))):
                    await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                    self.cuts += 1


class Clock:
    """Goes on by itself, and can be put forward so that nobody waits long for what is due later."""

    def __init__(self) -> None:
        self._begun = system_clock()
        self.ahead = timedelta(0)

    def __call__(self):
        return NOW + (system_clock() - self._begun) + self.ahead


@pytest.mark.parametrize("seed", range(2))
async def test_connections_cut_at_random_lose_nothing_and_double_nothing(engine, database_url, monkeypatch, seed):
    monkeypatch.setattr(loops, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(loops, "BACKOFF_MOST_S", 0.1)
    orders = await make_orders(engine, ORDERS, expires_at=NOW + timedelta(days=30))
    for order in orders:
        await make_deposit(engine, order)
    rail = Rail()
    rails, clock, idle = Rails({"fake": rail}), Clock(), timedelta(milliseconds=50)
    steps = {
        "deposits": lambda: book_deposits(engine, least={}, now=clock()),
        "deadlines": lambda: keep_deadlines(engine, now=clock()),
        "dispatch:0": lambda: dispatch(engine, rails=rails, clock=clock),
        "dispatch:1": lambda: dispatch(engine, rails=rails, clock=clock),
        "poll:0": lambda: poll(engine, rails=rails, clock=clock),
        "poll:1": lambda: poll(engine, rails=rails, clock=clock),
        "callbacks": lambda: handle_callbacks(engine, rails=rails, clock=clock),
    }
    worker = Worker(
        loops=tuple(Loop(name, step, idle=idle, foreseen=(OperationalError,)) for name, step in steps.items()),
        database_url=database_url,
    )
    cutter = Cutter(database_url, seed=seed)
    async with asyncio.timeout(WITHIN_S):
        working = asyncio.create_task(worker.run())
        await cutter.run(60)
        while read(database_url, "SELECT count(*) FROM orders WHERE state = 'paid'") != [(ORDERS,)]:
            assert not working.done()
            await asyncio.sleep(0.5)
            clock.ahead += timedelta(minutes=20)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
    assert cutter.cuts >= 60
    check(database_url, rail)


def read(url, sql):
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


def check(url, rail):
    """Each order was paid by one attempt, in one step, with one entry; nothing went to the rail that isn't on the books."""
    once = "SELECT order_id, count(*) FROM {} GROUP BY order_id HAVING count(*) <> 1"
    assert read(url, once.format("attempts WHERE outcome = 'paid'")) == []
    assert read(url, once.format("order_events WHERE event = 'outcome_paid'")) == []
    assert read(url, once.format("journal WHERE template = 'payout_settled'")) == []
    assert read(url, "SELECT FROM attempts WHERE closed_at IS NULL") == []
    assert {attempt for (attempt,) in read(url, "SELECT id FROM attempts WHERE outcome = 'paid'")} <= set(rail.told)
    assert set(rail.told) <= {attempt for (attempt,) in read(url, "SELECT id FROM attempts")}
    paid_out = read(url, "SELECT sum(units) FROM postings WHERE destination = 'rail:fake'")
    assert paid_out == [(ORDERS * 124_900,)]
    versions = read(url, "SELECT order_id, array_agg(version ORDER BY version) FROM order_events GROUP BY order_id")
    assert all(list(found) == list(itertools.islice(itertools.count(found[0]), len(found))) for _, found in versions)
