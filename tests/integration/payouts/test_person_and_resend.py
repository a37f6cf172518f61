"""A person who saw that a payment wasn't made, and a worker that sends the same id again: paid once at most."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.offramp import Fault
from gateway.payouts.dispatch import dispatch
from gateway.payouts.errors import StillRunning
from gateway.payouts.evidence import BadEvidence, Verdict
from gateway.payouts.poll import poll
from tests.factories import UNKNOWN, FakeRail, paid
from tests.integration.payouts.people import ALONE, Bureau, open_bureau


class SlowRail(FakeRail):
    """The first sending is lost on its way; what is sent again waits at the rail's door."""

    def __init__(self):
        super().__init__(answers=[ConnectionResetError()], statuses=[UNKNOWN] * 50)
        self.made: list[str] = []
        self.at_the_door, self.door = asyncio.Event(), asyncio.Event()

    async def pay(self, instruction):
        if self.answers:
            return await super().pay(instruction)
        self.at_the_door.set()
        await self.door.wait()
        self.made.append(instruction.attempt_id)
        return paid(instruction.attempt_id, instruction.deliver)


@pytest.fixture
async def bureau(engine):
    made = await open_bureau(engine)
    made.above = ALONE
    return made


async def resending(bureau: Bureau, rail: SlowRail) -> asyncio.Task[int]:
    """A worker that sends the same id again, and waits for the answer."""
    for _ in range(6):
        bureau.now += timedelta(seconds=20)
        task = asyncio.create_task(poll(bureau.engine, rails=bureau.rails, clock=bureau.clock))
        opened = asyncio.create_task(rail.at_the_door.wait())
        await asyncio.wait({task, opened}, return_when=asyncio.FIRST_COMPLETED)
        if opened.done():
            return task
        opened.cancel()
    raise AssertionError("it wasn't sent again")


async def test_nobody_calls_failed_what_is_being_sent_again(bureau: Bureau):
    bureau.rail = rail = SlowRail()
    attempt = await bureau.attempt(ConnectionResetError())
    task = await resending(bureau, rail)
    with pytest.raises(StillRunning, match="look again then"):
        await bureau.propose(attempt, bureau.evidence(Verdict.FAILED, fault=Fault.TRANSIENT))
    bureau.now += timedelta(seconds=6)
    await dispatch(bureau.engine, rails=bureau.rails, clock=bureau.clock)
    rail.door.set()
    await task
    assert rail.made == [attempt]
    assert await bureau.one("SELECT state FROM orders") == "paid"


async def test_what_was_seen_before_it_was_sent_again_says_nothing_of_it(bureau: Bureau):
    bureau.rail = rail = SlowRail()
    attempt = await bureau.attempt(ConnectionResetError())
    seen_at = bureau.now
    task = await resending(bureau, rail)
    # That worker dies, and its lease with it.
    task.cancel()
    await asyncio.wait({task})
    bureau.now += timedelta(minutes=5)
    evidence = bureau.evidence(Verdict.FAILED, fault=Fault.TRANSIENT, seen_at=seen_at)
    with pytest.raises(BadEvidence, match="before this payment was sent"):
        await bureau.propose(attempt, evidence)
    await bureau.propose(attempt, bureau.evidence(Verdict.FAILED, fault=Fault.TRANSIENT))
    assert await bureau.one("SELECT outcome FROM attempts") == "failed"


async def test_while_a_second_person_looks_at_it_it_is_asked_about_and_not_sent_again(bureau: Bureau):
    bureau.above = None
    attempt = await bureau.attempt()
    bureau.rail.statuses = [UNKNOWN] * 50
    bureau.now += timedelta(minutes=1)
    await bureau.propose(attempt, bureau.evidence(Verdict.FAILED, fault=Fault.TRANSIENT))
    bureau.rail.calls.clear()
    for _ in range(6):
        bureau.now += timedelta(minutes=20)
        await poll(bureau.engine, rails=bureau.rails, clock=bureau.clock)
    assert bureau.rail.calls == [f"status {attempt}"] * 6
