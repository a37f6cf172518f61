"""Open attempts are asked about until they are over: fairly, within limits, and by one worker at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from gateway.db.session import transaction
from gateway.offramp import Asked, Fault, Outcome, Report, Resend
from gateway.orders.funding import book_deposits
from gateway.payouts import poll as polling
from gateway.payouts.dispatch import dispatch
from gateway.payouts.pace import lease_until
from gateway.payouts.poll import DOUBTS_MOST, poll
from gateway.payouts.rails import Rails
from tests.factories import NOW, PENDING, UNKNOWN, FakeRail, failed, make_deposit, make_orders

WITHIN_S = 20
BACK = Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="account closed")


@dataclass
class Rail(FakeRail):
    """A rail with facts of the test's own, that counts its questions and can hang."""

    facts: dict = field(default_factory=dict)
    hang: asyncio.Event | None = None
    asking: int = 0
    most: int = 0
    destinations: list = field(default_factory=list)

    @property
    def capabilities(self):
        return replace(super().capabilities, **self.facts)

    async def pay(self, instruction):
        self.destinations.append(instruction.to)
        return await super().pay(instruction)

    async def status(self, attempt):
        self.asking += 1
        self.most = max(self.most, self.asking)
        try:
            if self.hang is not None:
                await self.hang.wait()
            await asyncio.sleep(0)
            return await super().status(attempt)
        finally:
            self.asking -= 1

    @property
    def verbs(self):
        return [call.split()[0] for call in self.calls]


class Time:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def pass_(self, **span):
        self.now += timedelta(**span)


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def rail():
    return Rail(answers=[PENDING])


@pytest.fixture
def rails(rail):
    return Rails({"fake": rail})


async def sent(engine, rails, clock, number=1, answer=PENDING):
    """Orders whose payments the first rail answered so."""
    orders = await make_orders(engine, number)
    for order in orders:
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    next(iter(rails.values())).answers = [answer] * number
    while await dispatch(engine, rails=rails, clock=clock):
        pass
    return orders


async def rows(engine, sql, **values):
    async with transaction(engine) as connection:
        result = await connection.execute(text(sql), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def scalar(engine, sql):
    [(value,)] = await rows(engine, sql)
    return value


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_a_rail_that_hangs_keeps_no_question_of_another_waiting(engine, clock):
    slow, quick = Rail(name="slow", hang=asyncio.Event()), Rail(name="quick")
    await sent(engine, Rails({"slow": slow}), clock, 15)
    await sent(engine, Rails({"quick": quick}), clock, 15)
    clock.pass_(seconds=3)
    task = asyncio.create_task(poll(engine, rails=Rails({"slow": slow, "quick": quick}), clock=clock))
    paid_by = "SELECT count(*) = 15 FROM attempts WHERE adapter = 'quick' AND outcome = 'paid'"
    await until(lambda: scalar(engine, paid_by))
    assert await scalar(engine, "SELECT count(*) FROM attempts WHERE outcome = 'paid'") == 15
    assert not task.done()
    slow.hang.set()
    assert await task == 30
    assert await scalar(engine, "SELECT count(*) FROM attempts WHERE outcome = 'paid'") == 30


async def test_answers_are_recorded_while_slower_ones_are_waited_for(engine, rails, rail, clock):
    await sent(engine, rails, clock, 6)
    slowest = await scalar(engine, "SELECT min(id) FROM attempts")
    gate, ask = asyncio.Event(), rail.status

    async def status(attempt):
        if attempt.attempt_id == slowest:
            await gate.wait()
        return await ask(attempt)

    rail.status = status
    clock.pass_(seconds=3)
    task = asyncio.create_task(poll(engine, rails=rails, clock=clock))
    await until(lambda: scalar(engine, "SELECT count(*) = 5 FROM attempts WHERE outcome = 'paid'"))
    assert not task.done()
    gate.set()
    assert await task == 6


@pytest.mark.parametrize(("takes", "most"), [(6, 3), (1, 1)])
async def test_a_rail_is_asked_at_most_half_of_what_it_takes_at_once(engine, rails, rail, clock, takes, most):
    rail.facts["concurrency"] = takes
    await sent(engine, rails, clock, 8)
    clock.pass_(seconds=3)
    assert await poll(engine, rails=rails, clock=clock) == 8
    assert rail.most == most


async def test_two_workers_ask_about_each_attempt_once(engine, rails, rail, clock):
    await sent(engine, rails, clock, 30)
    clock.pass_(seconds=3)
    asked = await asyncio.gather(*(poll(engine, rails=rails, clock=clock) for _ in range(3)))
    assert sum(asked) == 30
    assert len({call for call in rail.calls if call.startswith("status")}) == rail.verbs.count("status") == 30


async def test_what_a_killed_worker_had_claimed_is_asked_about_when_its_lease_is_over(engine, rails, rail, clock):
    await sent(engine, rails, clock)
    rail.hang = asyncio.Event()
    clock.pass_(seconds=3)
    task = asyncio.create_task(poll(engine, rails=rails, clock=clock))
    await until(lambda: scalar(engine, "SELECT lease_until > updated_at FROM attempts"))
    task.cancel()
    await asyncio.wait([task])
    rail.hang = None
    assert await poll(engine, rails=rails, clock=clock) == 0
    clock.now = lease_until(rail.capabilities, now=clock())
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"


async def test_a_worker_that_was_frozen_sends_nothing_again_and_records_nothing(engine, rails, rail, clock, monkeypatch):
    await sent(engine, rails, clock, answer=UNKNOWN)
    rail.statuses = [UNKNOWN]
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    clock.pass_(minutes=1)
    hear, calls = polling._hear, len(rail.calls)

    async def thaw(*arguments, **keywords):
        monkeypatch.setattr(polling, "_hear", hear)
        clock.pass_(seconds=40)
        assert await poll(engine, rails=rails, clock=clock) == 1  # somebody else took over, and asks
        return await hear(*arguments, **keywords)

    monkeypatch.setattr(polling, "_hear", thaw)
    await poll(engine, rails=rails, clock=clock)
    assert rail.verbs[calls:] == ["status"]
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"
    assert await scalar(engine, "SELECT count(*) FROM order_events WHERE event = 'outcome_paid'") == 1


async def test_nothing_is_sent_again_that_could_arrive_after_the_rail_forgot_it(engine, rails, rail, clock):
    await sent(engine, rails, clock, answer=UNKNOWN)
    rail.statuses = [UNKNOWN] * 9
    clock.now = NOW + rail.capabilities.resend_within - rail.capabilities.answer_within
    for _ in range(4):
        assert await poll(engine, rails=rails, clock=clock) == 1
        clock.pass_(minutes=20)
    assert rail.verbs.count("pay") == 1


async def test_what_can_be_neither_found_nor_sent_again_is_a_persons_at_once(engine, rails, rail, clock):
    rail.resend = Resend.BLIND
    await sent(engine, rails, clock, answer=UNKNOWN)
    rail.statuses = [UNKNOWN] * 9
    clock.pass_(seconds=3)
    for _ in range(3):
        await poll(engine, rails=rails, clock=clock)
        assert await rows(engine, "SELECT kind FROM incidents") == [("payout_blind_unknown",)]
        clock.pass_(minutes=2)
    assert rail.verbs == ["pay", "status", "status", "status"]


async def test_a_pending_payment_of_a_blind_rail_is_nobodys_yet(engine, rails, rail, clock):
    rail.resend = Resend.BLIND
    await sent(engine, rails, clock)
    rail.statuses = [PENDING]
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    assert await rows(engine, "SELECT FROM incidents") == []


async def test_attempts_of_a_rail_that_is_gone_are_told_of_once_and_asked_about_when_it_is_back(engine, rails, clock):
    await sent(engine, rails, clock, 2)
    other = Rails({"other": FakeRail(name="other")})
    for _ in range(3):
        clock.pass_(minutes=6)
        assert await poll(engine, rails=other, clock=clock) == 0
    assert await rows(engine, "SELECT kind, count(*) FROM incidents GROUP BY kind") == [("rail_gone", 2)]
    clock.pass_(minutes=6)
    assert await poll(engine, rails=rails, clock=clock) == 2
    assert await scalar(engine, "SELECT count(*) FROM attempts WHERE outcome = 'paid'") == 2


async def test_what_is_sent_again_goes_the_way_that_the_attempt_took(engine, rails, rail, clock):
    [order] = await sent(engine, rails, clock, answer=UNKNOWN)
    insert = "INSERT INTO recipient_ways VALUES (:id, 1, 'bank', 'KE-0042'), (:id, 2, 'card', 'tok_1')"
    await rows(engine, insert, id=order.order_id)
    await rows(engine, "UPDATE attempts SET way = 1")
    rail.statuses = [UNKNOWN]
    for _ in range(2):
        clock.pass_(minutes=1)
        await poll(engine, rails=rails, clock=clock)
    assert [(to.method, to.account) for to in rail.destinations] == [("mobile_money", "+254712345678"), ("bank", "KE-0042")]


async def test_an_answer_that_cannot_be_recorded_keeps_none_of_the_others(engine, rails, clock, monkeypatch):
    await sent(engine, rails, clock, 3)
    bad = await scalar(engine, "SELECT min(id) FROM attempts")
    record = polling.record

    async def broken(connection, *, news, **keywords):
        if any(item.attempt_id == bad for item in news):
            await connection.execute(text("SELECT 1 / 0"))
        return await record(connection, news=news, **keywords)

    monkeypatch.setattr(polling, "record", broken)
    clock.pass_(seconds=3)
    with capture_logs():
        assert await poll(engine, rails=rails, clock=clock) == 3
    assert await scalar(engine, "SELECT count(*) FROM attempts WHERE outcome = 'paid'") == 2
    assert await rows(engine, "SELECT kind, detail ->> 'attempt' FROM incidents") == [("answer_not_recorded", bad)]
    monkeypatch.setattr(polling, "record", record)
    clock.pass_(minutes=1)
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await scalar(engine, "SELECT count(*) FROM attempts WHERE outcome = 'paid'") == 3


async def test_a_doorbell_during_a_question_makes_another_one(engine, rails, rail, clock):
    await sent(engine, rails, clock)
    ask, rung = rail.status, []

    async def status(attempt):
        if not rung:
            rung.append(1)
            await rows(engine, "UPDATE attempts SET due_at = :now", now=clock())
            assert await poll(engine, rails=rails, clock=clock) == 0  # another worker leaves it to us
            return PENDING
        return await ask(attempt)

    rail.status = status
    clock.pass_(seconds=3)
    assert await poll(engine, rails=rails, clock=clock) == 2
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"


async def test_a_payment_that_may_come_back_is_watched_until_its_window_ends(engine, rails, rail, clock):
    rail.facts["returns_within"] = timedelta(days=3)
    [order] = await sent(engine, rails, clock)
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"
    asked = []
    for hour in range(90):
        if await poll(engine, rails=rails, clock=clock):
            asked.append(hour)
        clock.pass_(hours=1)
    assert asked == [1, 2, 4, 8, 16, 32, 56, 72]
    assert await rows(engine, "SELECT due_at, lease_until FROM attempts") == [(None, None)]
    assert await scalar(engine, "SELECT state FROM orders") == "paid"
    assert await rows(engine, "SELECT FROM incidents") == []
    assert order.order_id


async def test_money_that_comes_back_days_later_finds_its_order_again(engine, rails, rail, clock):
    rail.facts["returns_within"] = timedelta(days=3)
    await sent(engine, rails, clock, answer=PENDING)
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    clock.pass_(days=2)
    rail.statuses = [BACK]
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await rows(engine, "SELECT outcome, due_at FROM attempts") == [("returned", None)]
    assert await scalar(engine, "SELECT state FROM orders") == "funded"
    assert await scalar(engine, "SELECT count(*) FROM order_events WHERE event = 'outcome_returned'") == 1


async def closed_and_rung(engine, rails, clock):
    """A paid attempt of which its rail has said something else."""
    await sent(engine, rails, clock)
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    await rows(engine, "UPDATE attempts SET due_at = :now, asks = 0", now=clock())


async def test_a_closed_attempt_that_is_as_we_know_it_is_asked_about_once(engine, rails, rail, clock):
    await closed_and_rung(engine, rails, clock)
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await rows(engine, "SELECT outcome, due_at, lease_until FROM attempts") == [("paid", None, None)]
    assert rail.verbs == ["pay", "status", "status"]


async def test_a_closed_attempt_is_never_sent_again(engine, rails, rail, clock):
    await sent(engine, rails, clock, answer=failed(Fault.RAIL))
    for number in range(3):
        await rows(engine, "UPDATE attempts SET due_at = :now, asks = :n", now=clock(), n=number)
        rail.statuses = [failed(Fault.RAIL)]
        assert await poll(engine, rails=rails, clock=clock) == 1
    assert rail.verbs.count("pay") == 1


@pytest.mark.parametrize("answer", [PENDING, UNKNOWN, Asked(question="q"), ConnectionError("down")])
async def test_a_rail_that_will_not_say_what_became_of_a_closed_attempt_is_a_persons(engine, rails, rail, clock, answer):
    await closed_and_rung(engine, rails, clock)
    rail.statuses = [answer] * 50
    asked = 0
    for _ in range(20):
        asked += await poll(engine, rails=rails, clock=clock)
        clock.pass_(minutes=20)
    assert asked == DOUBTS_MOST
    assert await rows(engine, "SELECT kind FROM incidents") == [("closed_payout_doubted",)]
    assert await scalar(engine, "SELECT state FROM orders") == "paid"


async def test_a_clock_that_was_ahead_keeps_no_attempt_waiting(engine, rails, clock):
    await sent(engine, rails, clock)
    ahead = NOW + timedelta(days=30)
    await rows(engine, "UPDATE attempts SET due_at = :ahead, lease_until = :ahead", ahead=ahead)
    clock.pass_(seconds=3)
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await scalar(engine, "SELECT outcome FROM attempts") == "paid"


async def test_ten_thousand_open_payments_are_found_by_an_index(engine):
    plan = """EXPLAIN SELECT id FROM attempts WHERE adapter = 'fake' AND due_at <= now() AND
        (lease_until IS NULL OR lease_until <= now()) ORDER BY due_at LIMIT 10 FOR UPDATE SKIP LOCKED"""
    async with transaction(engine) as connection:
        await connection.execute(text("SET LOCAL enable_seqscan TO off"))
        lines = [line for (line,) in await connection.execute(text(plan))]
    assert any("attempts_due" in line for line in lines)
    assert not any("Sort" in line for line in lines)


async def test_an_answer_still_counts_when_the_database_failed_for_a_moment(engine, rails, rail, clock, monkeypatch):
    await sent(engine, rails, clock, 2)
    record, failures = polling.record, []

    async def cut(connection, **keywords):
        done = await record(connection, **keywords)
        if len(failures) < 2:
            failures.append(1)
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return done

    monkeypatch.setattr(polling, "record", cut)
    clock.pass_(seconds=3)
    assert await poll(engine, rails=rails, clock=clock) == 2
    assert rail.verbs.count("status") == 2
    assert await scalar(engine, "SELECT count(*) FROM attempts WHERE outcome = 'paid'") == 2
