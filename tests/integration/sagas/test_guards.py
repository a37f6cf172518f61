"""Who speaks too late isn't heard, and what a person has settled isn't sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.db.session import transaction
from gateway.failpoints import arm
from gateway.legs import LegPlan, LegReport
from gateway.money import Money
from gateway.offramp import Fault, Outcome, Report, Resend
from gateway.payouts.evidence import Verdict
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.reports import LEASE_RAN_OUT
from gateway.sagas.calls import hear
from gateway.sagas.due import begin, claim
from gateway.sagas.record import Told, record_legs
from gateway.sagas.step import step
from tests.integration.payouts.people import ALONE, Bureau
from tests.integration.sagas.rail import PENDING, SELL, UNKNOWN, WITHDRAW, LegRail, Time
from tests.integration.sagas.test_engine import attempts, dispatched, legs, rows, states
from tests.integration.sagas.test_kill import Killed, kill_at

FAILED = LegReport(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="too late")


@pytest.fixture(autouse=True)
def _disarm():
    yield
    arm(None)


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def rail():
    return LegRail()


@pytest.fixture
def rails(rail):
    return Rails({"legs": rail})


async def tell(engine, rails, clock, item, report):
    told = Told(leg_id=item.leg.leg_id, attempt_id=item.attempt_id, lease=item.lease, heard=report)
    async with transaction(engine) as connection:
        return await record_legs(
            connection, told=[told], adapters=dict(rails.items()), capabilities=rails.capabilities, now=clock()
        )


async def test_a_worker_that_was_frozen_is_not_heard(engine, rails, clock):
    await dispatched(engine, rails, clock)
    await begin(engine, rails=rails, now=clock())
    [old] = await claim(engine, rails=rails, taken={}, now=clock())
    assert await claim(engine, rails=rails, taken={}, now=clock()) == []
    clock.pass_(minutes=1)
    [new] = await claim(engine, rails=rails, taken={}, now=clock())
    assert (old.first, new.first) == (True, False)
    assert await tell(engine, rails, clock, old, FAILED) == 0
    assert (await legs(engine), await attempts(engine)) == ([(SELL, "sending")], ["pending"])
    assert await rows(engine, "SELECT source FROM attempt_reports WHERE source = 'old_lease'") == [("old_lease",)]
    assert await tell(engine, rails, clock, new, PENDING) == 1


async def test_a_worker_whose_lease_has_run_out_sends_nothing(engine, rail, rails, clock):
    await dispatched(engine, rails, clock)
    await begin(engine, rails=rails, now=clock())
    [item] = await claim(engine, rails=rails, taken={}, now=clock())
    clock.pass_(seconds=8)
    heard = await hear(rail, item, capabilities=rail.capabilities, clock=clock)
    assert rail.sent == []
    await tell(engine, rails, clock, item, heard)
    assert await rows(engine, "SELECT sent_at FROM legs") == [(None,)]
    clock.pass_(minutes=1)
    await step(engine, rails=rails, clock=clock)
    assert await states(engine) == ["paid"]


async def test_a_dispatcher_that_was_frozen_cannot_fail_an_attempt_whose_legs_have_begun(engine, rails, clock):
    kill_at("dispatch.record:before_commit", 1)
    with pytest.raises(Killed):
        await dispatched(engine, rails, clock)
    [(attempt_id, lease)] = await rows(engine, "SELECT id, lease_token FROM attempts")
    clock.pass_(minutes=1)
    await begin(engine, rails=rails, now=clock())
    late = Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason=LEASE_RAN_OUT)
    async with transaction(engine) as connection:
        await record(connection, news=[News(attempt_id=attempt_id, report=late, lease=lease)], now=clock())
    assert (await legs(engine), await attempts(engine)) == ([(SELL, "sending")], ["sending"])


async def test_legs_begin_only_once_the_dispatcher_can_no_longer_fail_the_attempt(engine, rail, rails, clock):
    kill_at("dispatch.record:before_commit", 1)
    with pytest.raises(Killed):
        await dispatched(engine, rails, clock)
    await rows(engine, "UPDATE attempts SET due_at = :now", now=clock())  # a doorbell
    await step(engine, rails=rails, clock=clock)
    assert (await legs(engine), rail.sent) == ([], [])


async def test_polling_leaves_attempts_in_legs_alone(engine, rail, rails, clock):
    rail.answers = {SELL: [PENDING]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    clock.pass_(hours=1)
    assert await poll(engine, rails=rails, clock=clock) == 0


async def test_the_database_refuses_a_leg_before_its_turn(engine, rails, clock):
    await dispatched(engine, rails, clock)
    await begin(engine, rails=rails, now=clock())
    second = """
        INSERT INTO legs SELECT replace(id, '_1', '_2'), attempt_id, rail, 2, 'withdraw', false, 'failed', null, null, null,
            null, null, null, null, null, '{}', 'rail', 'x', '{}', 0, null, 0, null, created_at, null, updated_at, created_at
        FROM legs
    """
    with pytest.raises(DBAPIError, match="when the one before it is paid"):
        await rows(engine, second)


async def test_an_attempt_that_a_person_settled_has_no_leg_sent_any_more(engine, rail, rails, clock):
    rail.answers = {SELL: [UNKNOWN]}
    rail.tells = {SELL: [UNKNOWN]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    async with transaction(engine) as connection:
        [(attempt_id,)] = await connection.execute(text("SELECT id FROM attempts"))
        over = Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason="a person says so")
        await record(connection, news=[News(attempt_id=attempt_id, report=over, source="operator")], now=clock())
    for _ in range(4):
        clock.pass_(minutes=1)
        await step(engine, rails=rails, clock=clock)
    # What was sold after all is booked; nothing is withdrawn for an attempt that is over.
    assert (await legs(engine), len(rail.sent)) == ([(SELL, "paid")], 1)
    assert await rows(engine, "SELECT template FROM journal WHERE template = 'leg_paid'") == [("leg_paid",)]


async def test_a_leg_that_had_not_left_us_when_a_person_settled_its_attempt_never_does(engine, rail, rails, clock):
    await dispatched(engine, rails, clock)
    await begin(engine, rails=rails, now=clock())
    async with transaction(engine) as connection:
        [(attempt_id,)] = await connection.execute(text("SELECT id FROM attempts"))
        over = Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason="a person says so")
        await record(connection, news=[News(attempt_id=attempt_id, report=over, source="operator")], now=clock())
    await step(engine, rails=rails, clock=clock)
    assert (await legs(engine), rail.sent) == ([(SELL, "failed")], [])


async def test_while_a_second_person_looks_nothing_is_sent(engine):
    rail = LegRail(plans=(LegPlan(name=SELL), LegPlan(name=WITHDRAW, resend=Resend.DEDUPED)))
    bureau = Bureau(engine, rail=rail, above=Money(1, ALONE.asset))
    await bureau.hire("amina", "brian")
    attempt_id = await bureau.attempt()
    rail.answers, rail.tells = {SELL: [UNKNOWN]}, {SELL: [UNKNOWN]}
    await step(engine, rails=bureau.rails, clock=bureau.clock)
    bureau.now += timedelta(minutes=2)
    evidence = bureau.evidence(Verdict.FAILED, seen_at=bureau.now)
    decision = await bureau.propose(attempt_id, evidence)
    for _ in range(3):
        bureau.now += timedelta(minutes=1)
        await step(engine, rails=bureau.rails, clock=bureau.clock)
    assert (await legs(engine), len(rail.sent)) == ([(SELL, "paid"), (WITHDRAW, "sending")], 1)
    await bureau.refuse(decision.resolution_id)
    bureau.now += timedelta(minutes=1)
    await step(engine, rails=bureau.rails, clock=bureau.clock)
    assert await states(engine) == ["paid"]
