"""How rails did, learned from attempts in a real database."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway import failpoints
from gateway.db.session import make_engine, transaction
from gateway.ids import new_id
from gateway.offramp import Fault, Outcome, Report
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.routing import experience
from gateway.routing import learn as learning
from gateway.routing.experience import FAILED, PAID
from gateway.routing.histogram import bucket_of
from gateway.routing.learn import LAG, Memory, learn
from tests.factories import NOW, PENDING, FakeRail, failed, make_deposit, make_orders
from tests.integration.payouts.claiming import Time

MEMORY = Memory(says_nothing=("not sent: the lease ran out",))
LATER = NOW + timedelta(hours=1)
SHILLINGS = 124_900

_INSERT = text("""
INSERT INTO attempts (id, order_id, way, adapter, deliver_asset, deliver_units, outcome, fault, reason, provider_ref,
    evidence, asks, due_at, lease_token, created_at, updated_at, closed_at)
VALUES (:id, :order_id, :way, :rail, 'KES', :units, :outcome, :fault, :reason, 'ref', '{}', 0, :due_at, 1, :sent, :at,
    :closed_at)
""")
_CLOSE = text("""
UPDATE attempts SET outcome = :outcome, fault = :fault, updated_at = :at, closed_at = :at, due_at = NULL WHERE id = :id
""")


@pytest.fixture
async def order_id(engine):
    [order] = await make_orders(engine)
    return order.order_id


PLAIN = {"way": 0, "rail": "fake", "units": SHILLINGS, "outcome": "paid", "fault": None, "reason": None}


async def attempt(engine, order_id, *, sent=NOW, took=60, **facts):
    """One attempt, as it stands some time after it was sent. `took` None: it is open."""
    attempt_id, at = new_id("att", now=sent), sent + timedelta(seconds=took or 0)
    row = PLAIN | {"id": attempt_id, "order_id": order_id, "sent": sent, "at": at} | facts
    row |= {"due_at": at if took is None else None, "closed_at": None if took is None else at}
    async with transaction(engine) as connection:
        await connection.execute(_INSERT, row)
    return attempt_id


async def close(engine, attempt_id, *, at, outcome="paid", fault=None):
    async with transaction(engine) as connection:
        await connection.execute(_CLOSE, {"id": attempt_id, "outcome": outcome, "fault": fault, "at": at})


async def change(engine, sql, **values):
    async with transaction(engine) as connection:
        await connection.execute(text(sql), values)


async def teach(engine, *, at=LATER, memory=MEMORY):
    return await learn(engine, clock=lambda: at, memory=memory)


async def slots(engine, *, span="usual", now=LATER, rail="fake", half_life=MEMORY.half_life):
    """What counts, by slot: decayed to `now`."""
    async with transaction(engine) as connection:
        found = await connection.execute(
            text("SELECT slot, weight, at FROM experience WHERE span = :span AND rail = :rail"), {"span": span, "rail": rail}
        )
        weights = {}
        for row in found:
            weights.setdefault(row.slot, 0.0)
            weights[row.slot] += row.weight * 0.5 ** ((now - row.at) / half_life)
    return {slot: weight for slot, weight in weights.items() if abs(weight) > 0.01}


async def waiting(engine):
    async with transaction(engine) as connection:
        return list((await connection.execute(text("SELECT attempt_id FROM experience_waiting"))).scalars())


async def look(engine, *, now=LATER, rail="fake", institution=None, units=SHILLINGS):
    async with transaction(engine) as connection:
        known = await experience.load(connection, now)
    return known.look(rail, institution, NOW.hour, "KES", units)


def near(expected):
    return pytest.approx(expected, rel=0.01)


async def test_payments_count_with_how_long_they_took(engine, order_id):
    for took in (50, 60, 70):
        await attempt(engine, order_id, took=took)
    assert await teach(engine) == 0
    times = {bucket_of(took): 1 for took in (50, 60, 70)}
    assert await slots(engine) == near({**times, PAID: 3})
    assert (await look(engine)).samples == near(3)


async def test_what_was_learned_once_is_not_learned_again(engine, order_id):
    await attempt(engine, order_id)
    for _ in range(3):
        await teach(engine)
    assert await slots(engine) == near({bucket_of(60): 1, PAID: 1})


async def test_the_database_and_python_put_times_into_the_same_buckets(engine, order_id):
    took = [1, 2, 3, 5, 17, 29, 60, 61, 600, 3_599, 86_400, 2_592_000, 40_000_000]
    for seconds in took:
        await attempt(engine, order_id, took=seconds, sent=NOW - timedelta(seconds=seconds))
    await teach(engine)
    assert set(await slots(engine)) == {bucket_of(seconds) for seconds in took} | {PAID}


@pytest.mark.parametrize(
    ("outcome", "fault", "reason", "counts"),
    [
        ("failed", "rail", "401 bad credential", {FAILED: 1}),
        ("failed", "transient", "503", {FAILED: 1}),
        ("failed", "recipient", "2040 not registered", {}),
        ("failed", "float", "1 not enough money", {}),
        ("failed", "transient", "not sent: the lease ran out", {}),
        ("returned", "recipient", "account closed", {}),
        ("returned", "rail", "reversed by the operator", {FAILED: 1}),
    ],
)
async def test_only_what_the_rail_did_wrong_counts_against_it(engine, order_id, outcome, fault, reason, counts):
    await attempt(engine, order_id, outcome=outcome, fault=fault, reason=reason)
    await teach(engine)
    assert await slots(engine) == near(counts)


async def test_hour_and_amount_tell_payments_apart(engine, order_id):
    await attempt(engine, order_id, took=10)
    await attempt(engine, order_id, took=1_000, units=100 * SHILLINGS)
    await attempt(engine, order_id, took=2_000, sent=NOW - timedelta(hours=5))
    await teach(engine)
    async with transaction(engine) as connection:
        found = (
            await connection.execute(text("SELECT hour, band, slot FROM experience WHERE slot < 101 AND span = 'usual'"))
        ).all()
    assert sorted(tuple(row) for row in found) == [
        (7, 12, bucket_of(2_000)),
        (12, 12, bucket_of(10)),
        (12, 16, bucket_of(1_000)),
    ]


async def test_the_institution_is_the_one_that_was_paid(engine, order_id):
    await change(engine, "UPDATE recipients SET institution = 'mpesa' WHERE order_id = :id", id=order_id)
    await change(
        engine,
        "INSERT INTO recipient_ways (order_id, rank, method, account, institution)"
        " VALUES (:id, 1, 'mobile_money', '+254733', 'airtel')",
        id=order_id,
    )
    await attempt(engine, order_id, took=10)
    await attempt(engine, order_id, took=1_000, way=1)
    await teach(engine)
    async with transaction(engine) as connection:
        found = await connection.execute(
            text("SELECT institution, slot FROM experience WHERE slot < 101 AND span = 'usual'")
        )
    assert {tuple(row) for row in found} == {("mpesa", bucket_of(10)), ("airtel", bucket_of(1_000))}


async def test_what_is_still_being_made_is_left_for_later(engine, order_id):
    await attempt(engine, order_id, took=1)
    assert await teach(engine, at=NOW + LAG - timedelta(seconds=1)) == 0
    assert await slots(engine) == {}
    await teach(engine, at=NOW + LAG + timedelta(seconds=1))
    assert await slots(engine) == near({bucket_of(1): 1, PAID: 1})


async def test_a_backlog_is_read_in_sets(engine, order_id, monkeypatch):
    monkeypatch.setattr(learning, "SET", 2)
    for n in range(5):
        await attempt(engine, order_id, sent=NOW + timedelta(seconds=n))
    assert [await teach(engine) for _ in range(3)] == [2, 2, 0]
    assert await slots(engine) == near({bucket_of(60): 5, PAID: 5})


async def test_one_that_is_open_counts_as_taking_at_least_as_long_as_it_waits(engine, order_id):
    for _ in range(60):
        await attempt(engine, order_id, took=10)
    await teach(engine)
    assert (await look(engine)).p95_s <= 12
    orders = await make_orders(engine, 20)
    for order in orders:
        await attempt(engine, order.order_id, took=None, outcome="pending")
    await teach(engine)
    assert len(await waiting(engine)) == 20
    slow = await look(engine)
    assert slow.p50_s <= 12
    assert 3_600 <= slow.p95_s <= 4_400
    assert (await look(engine, now=LATER + timedelta(hours=2))).p95_s > 9_000


async def test_one_that_was_open_counts_once_when_it_is_over(engine, order_id):
    attempt_id = await attempt(engine, order_id, took=None, outcome="unknown")
    await teach(engine)
    assert await slots(engine) == {}
    await close(engine, attempt_id, at=NOW + timedelta(minutes=30))
    for _ in range(2):
        await teach(engine)
    assert await slots(engine) == near({bucket_of(1_800): 1, PAID: 1})
    assert await waiting(engine) == []


async def test_cash_is_there_when_it_can_be_collected(engine, order_id):
    attempt_id = await attempt(engine, order_id, took=None, outcome="pending")
    await teach(engine)
    ready = NOW + timedelta(seconds=90)
    await change(
        engine, "UPDATE attempts SET outcome = 'available', updated_at = :at WHERE id = :id", id=attempt_id, at=ready
    )
    await teach(engine)
    await change(
        engine, "UPDATE attempts SET updated_at = :at WHERE id = :id", id=attempt_id, at=ready + timedelta(minutes=50)
    )
    await teach(engine)
    assert await slots(engine) == near({bucket_of(90): 1})
    assert (await look(engine, now=LATER + timedelta(days=9))).p95_s < 100_000, (
        "who doesn't collect it isn't the rail's delay"
    )
    await close(engine, attempt_id, at=NOW + timedelta(days=5))
    await teach(engine, at=NOW + timedelta(days=5))
    assert await slots(engine, now=NOW + timedelta(days=5)) == near({bucket_of(90): 0.5 ** (5 / 14), PAID: 1})


async def test_a_payment_that_came_back_counts_no_longer(engine, order_id):
    attempt_id = await attempt(engine, order_id)
    await teach(engine)
    await turn(engine, attempt_id, "returned", fault="recipient", was="paid")
    for _ in range(2):
        await teach(engine)
    assert await slots(engine) == {}


async def test_a_payment_that_the_rail_sent_back_counts_against_it(engine, order_id):
    attempt_id = await attempt(engine, order_id)
    await teach(engine)
    await turn(engine, attempt_id, "returned", fault="rail", was="paid")
    await teach(engine)
    assert await slots(engine) == near({FAILED: 1})


async def test_a_payment_that_was_made_after_all_counts_as_one(engine, order_id):
    attempt_id = await attempt(engine, order_id, outcome="failed", fault="transient")
    await teach(engine)
    assert await slots(engine) == near({FAILED: 1})
    await turn(engine, attempt_id, "paid", was="failed", was_fault="transient", closed=NOW + timedelta(minutes=20))
    for _ in range(2):
        await teach(engine)
    assert await slots(engine) == near({bucket_of(1_200): 1, PAID: 1})


async def test_one_that_turned_twice_counts_as_it_stands(engine, order_id):
    attempt_id = await attempt(engine, order_id, outcome="failed", fault="transient")
    await teach(engine)
    await turn(engine, attempt_id, "paid", was="failed", was_fault="transient", closed=NOW + timedelta(minutes=20))
    await teach(engine)
    await turn(engine, attempt_id, "returned", fault="recipient", was="paid", number=2)
    await teach(engine)
    assert await slots(engine) == {}


async def test_one_that_turned_before_it_was_come_to_counts_as_it_stands(engine, order_id):
    attempt_id = await attempt(engine, order_id)
    await turn(engine, attempt_id, "returned", fault="rail", was="paid")
    for _ in range(2):
        await teach(engine)
    assert await slots(engine) == near({FAILED: 1})


async def turn(engine, attempt_id, outcome, *, was, fault=None, was_fault=None, closed=None, number=1):
    """A rail says something else of a closed attempt, as gateway.payouts.record writes it."""
    async with transaction(engine) as connection:
        await connection.execute(
            text("""
                INSERT INTO attempt_reports (attempt_id, at, source, outcome, fault, evidence)
                SELECT id, updated_at, 'rail', :was, :was_fault, '{}' FROM attempts WHERE id = :id
            """),
            {"id": attempt_id, "was": was, "was_fault": was_fault},
        )
        await connection.execute(
            text("""
                UPDATE attempts SET outcome = :outcome, fault = :fault, turns = :number, updated_at = :at,
                    closed_at = COALESCE(CAST(:closed AS timestamptz), closed_at) WHERE id = :id
            """),
            {
                "id": attempt_id,
                "outcome": outcome,
                "fault": fault,
                "number": number,
                "at": NOW + timedelta(minutes=20),
                "closed": closed,
            },
        )


async def test_a_payment_counts_half_after_a_half_life(engine, order_id):
    await attempt(engine, order_id)
    at = NOW + MEMORY.half_life + timedelta(seconds=60)
    await teach(engine, at=at)
    assert await slots(engine, now=at) == near({bucket_of(60): 0.5, PAID: 0.5})
    later = at + MEMORY.half_life
    await attempt(engine, order_id, sent=later - timedelta(minutes=2))
    await teach(engine, at=later)
    assert await slots(engine, now=later) == near({bucket_of(60): 1.25, PAID: 1.25})
    assert (await look(engine, now=later)).samples == near(1.25)


async def test_what_is_long_past_is_forgotten(engine, order_id):
    await attempt(engine, order_id)
    await teach(engine)
    for days in (100, 500, 5_000, 50_000):
        await teach(engine, at=NOW + timedelta(days=days))
    async with transaction(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM experience"))).scalar_one() == 0


async def test_a_long_history_is_learned_at_once(engine, order_id):
    for days in (0, 1, 30, 4_000):
        await attempt(engine, order_id, sent=NOW - timedelta(days=days))
    await teach(engine)
    assert (await slots(engine))[PAID] == near(1 + 0.5 ** (1 / 14) + 0.5 ** (30 / 14))


async def everything(engine):
    async with transaction(engine) as connection:
        found = await connection.execute(
            text("SELECT span, rail, asset, institution, hour, band, slot, weight, at FROM experience")
        )
        half_lives = {"usual": MEMORY.half_life, "now": MEMORY.now_half_life}
        end = NOW + timedelta(days=3)
        weights = {tuple(row[:7]): row.weight * 0.5 ** ((end - row.at) / half_lives[row.span]) for row in found}
    return {place: weight for place, weight in weights.items() if abs(weight) > 0.01}


async def forget_everything(engine):
    for table in ("experience", "experience_waiting", "experience_turned", "rail_heard"):
        await change(engine, f"TRUNCATE {table}")
    await change(engine, "UPDATE experience_progress SET upto = ''")


@pytest.mark.parametrize("seed", range(3))
async def test_learning_in_steps_comes_to_the_same_as_learning_at_once(engine, seed, monkeypatch):
    monkeypatch.setattr(learning, "SET", 7)
    chance = random.Random(seed)
    orders = [one.order_id for one in await make_orders(engine, 40)]
    open_ones = {}
    for step in range(12):
        now = NOW + timedelta(hours=6 * step)
        for order_id in [one for one in orders if one not in open_ones][: chance.randint(0, 6)]:
            open_ones[order_id] = await attempt(
                engine, order_id, sent=now, took=None, outcome="sending", rail=chance.choice(["one", "two"])
            )
        for order_id, attempt_id in list(open_ones.items()):
            if chance.random() < 0.4:
                outcome, fault = chance.choice([("paid", None), ("failed", "rail"), ("failed", "recipient")])
                at = now + timedelta(seconds=chance.randint(1, 20_000))
                await close(engine, attempt_id, at=at, outcome=outcome, fault=fault)
                if outcome == "paid" and chance.random() < 0.3:
                    await turn(engine, attempt_id, "returned", fault="rail", was="paid")
                del open_ones[order_id]
        while await teach(engine, at=now + timedelta(hours=6)):
            pass
    while await teach(engine, at=NOW + timedelta(days=3)):
        pass
    in_steps = await everything(engine)
    await forget_everything(engine)
    while await teach(engine, at=NOW + timedelta(days=3)):
        pass
    at_once = await everything(engine)
    assert in_steps
    assert at_once.keys() == in_steps.keys()
    assert at_once == pytest.approx(in_steps, abs=0.02)


async def test_several_learners_count_once(engine, database_url, order_id, monkeypatch):
    monkeypatch.setattr(learning, "SET", 5)
    for n in range(40):
        await attempt(engine, order_id, sent=NOW + timedelta(seconds=n))
    engines = [make_engine(database_url) for _ in range(3)]
    try:
        for _ in range(12):
            await asyncio.gather(*(teach(one) for one in engines))
    finally:
        for one in engines:
            await one.dispose()
    assert await slots(engine) == near({bucket_of(60): 40, PAID: 40})


class Killed(BaseException):
    """A process that is no more."""


@pytest.mark.parametrize("side", ["before_commit", "after_commit"])
async def test_a_learner_that_is_killed_leaves_nothing_half_done(engine, order_id, side):
    for _ in range(4):
        await attempt(engine, order_id)
    [other] = await make_orders(engine)
    attempt_id = await attempt(engine, other.order_id, took=None, outcome="pending")

    def die(point):
        if point == f"experience.learn:{side}":
            raise Killed

    failpoints.arm(die)
    try:
        with pytest.raises(Killed):
            await teach(engine)
    finally:
        failpoints.arm(None)
    await teach(engine)
    assert await slots(engine) == near({bucket_of(60): 4, PAID: 4})
    assert await waiting(engine) == [attempt_id]


async def test_payments_that_were_really_made_are_learned(engine):
    """By dispatch, poll and record themselves, with a rail that answers at once, later, and otherwise than before."""
    rail = FakeRail(answers=[PENDING, failed(Fault.RECIPIENT), failed(Fault.TRANSIENT)])
    rails, clock = Rails({"fake": rail}), Time(NOW)
    for order in await make_orders(engine, 4):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    await dispatch(engine, rails=rails, clock=clock)
    clock.pass_(minutes=10)
    await poll(engine, rails=rails, clock=clock)
    await teach(engine, at=clock.now + LAG)
    found = await slots(engine, now=clock.now)
    assert found == near({bucket_of(0): 1, bucket_of(600): 1, PAID: 2, FAILED: 1})
    async with transaction(engine) as connection:
        said = Report(outcome=Outcome.RETURNED, fault=Fault.RAIL, provider_ref="r")
        paid_ones = (await connection.execute(text("SELECT id FROM attempts WHERE outcome = 'paid'"))).scalars()
        await record(connection, news=[News(attempt_id=one, report=said) for one in paid_ones], now=clock.now)
    await teach(engine, at=clock.now + LAG)
    assert await slots(engine, now=clock.now) == near({FAILED: 3})
