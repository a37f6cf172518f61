"""Who is sent when: lanes, room, drops, and what can't be sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.post import post, top_up
from gateway.money import Money
from gateway.offramp import Capabilities, Fault, Method, Outcome
from gateway.orders.accept import Accepted
from gateway.orders.funding import book_deposits
from gateway.payouts import dispatch as room
from gateway.payouts.dispatch import PARKED_FOR, dispatch
from gateway.payouts.rails import Rails
from tests.factories import KES, NOW, PENDING, UNKNOWN, FakeRail, failed, make_deposit, make_orders, paid

DROP = "KE/KES/mobile_money/economy"


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


class Rail(FakeRail):
    """A fake rail of a method and concurrency of its own."""

    def __init__(self, name, *, method=Method.MOBILE_MONEY, **changes):
        super().__init__(name=name)
        self.method, self.changes = method, changes

    @property
    def capabilities(self):
        known = super()._capabilities()
        fields = {name: getattr(known, name) for name in Capabilities.__dataclass_fields__}
        [corridor] = known.corridors
        corridor = type(corridor)(
            country="KE", method=self.method, asset=KES, least=corridor.least, most=corridor.most, step=corridor.step
        )
        return Capabilities(**{**fields, "corridors": (corridor,), "concurrency": 10_000, **self.changes})


class BulkRail(Rail):
    bulk_most = 3

    def __init__(self, name, **changes):
        super().__init__(name, **changes)
        self.batches = []

    async def pay_bulk(self, batch_id, instructions):
        self.batches.append((batch_id, len(instructions)))
        return {one.attempt_id: paid(one.attempt_id, one.deliver) for one in instructions}


async def funded(engine, number=1, *, at=NOW, **quote):
    orders = [order.order_id for order in await make_orders(engine, number, now=at, **quote)]
    async with transaction(engine) as connection:
        found = (await connection.execute(text("SELECT id, tracking_token FROM orders"))).all()
    for row in found:
        if row.id in orders:
            await make_deposit(engine, Accepted(order_id=row.id, tracking_token=row.tracking_token), at=at)
    while await book_deposits(engine, least={}, now=at):
        pass
    return orders


async def rows(engine, sql, **values):
    async with transaction(engine) as connection:
        return (await connection.execute(text(sql), values)).all()


async def states(engine, orders):
    found = {row.id: row.state for row in await rows(engine, "SELECT id, state FROM orders")}
    return Counter(found[order] for order in orders)


async def test_a_rail_without_room_holds_up_nobody_elses_orders(engine, clock):
    busy, free = Rail("busy", concurrency=1), Rail("free", method=Method.BANK)
    rails = Rails({"busy": busy, "free": free})
    waiting = await funded(engine, 8)
    clock.pass_(seconds=1)
    others = await funded(engine, 3, at=clock.now, method="bank")
    gate, sending = asyncio.Event(), asyncio.Event()

    async def pay(_instruction):
        sending.set()
        await gate.wait()
        return PENDING

    busy.pay = pay
    # The first dispatch takes what both take; its call to the busy rail doesn't end.
    stuck = asyncio.create_task(dispatch(engine, rails=rails, clock=clock))
    await asyncio.wait_for(sending.wait(), 10)
    await asyncio.wait_for(dispatch(engine, rails=rails, clock=clock), 10)
    assert (await states(engine, others))["funded"] == 0
    assert await states(engine, waiting) == {"funded": 7, "paying": 1}
    due = await rows(engine, "SELECT DISTINCT due_at FROM orders WHERE state = 'funded'")
    assert [row.due_at for row in due] == [NOW]  # nobody touched them
    gate.set()
    await stuck


async def test_lanes_share_a_set_and_the_oldest_go_first(engine, clock, monkeypatch):
    monkeypatch.setattr(room, "SET", 4)
    rails = Rails({"mobile": Rail("mobile"), "bank": Rail("bank", method=Method.BANK)})
    oldest = await funded(engine, 2)
    clock.pass_(seconds=1)
    many = await funded(engine, 4, at=clock.now)
    clock.pass_(seconds=1)
    few = await funded(engine, 2, at=clock.now, method="bank")
    assert await dispatch(engine, rails=rails, clock=clock) == 4
    assert await states(engine, oldest) == {"paid": 2}
    assert await states(engine, few) == {"paid": 2}
    assert await states(engine, many) == {"funded": 4}
    assert await dispatch(engine, rails=rails, clock=clock) == 4
    assert await states(engine, many) == {"paid": 4}


async def test_orders_that_no_rail_serves_are_found_and_held_with_a_reason(engine, clock):
    [order] = await funded(engine, method="cash")
    assert await dispatch(engine, rails=Rails({"mobile": Rail("mobile")}), clock=clock) == 1
    assert await states(engine, [order]) == {"held": 1}
    [event] = await rows(engine, "SELECT data FROM order_events WHERE event = 'hold_placed'")
    assert event.data == {"reason": "no_rail"}
    assert await dispatch(engine, rails=Rails({}), clock=clock) == 0


async def test_float_is_promised_once_and_first_come_first_served(engine, clock):
    rail = Rail("low")
    rails = Rails({"low": rail})
    async with transaction(engine) as connection:
        entry = top_up(rail="low", money=Money(300_000, KES), reference="1")
        await connection.execute(text("INSERT INTO assets VALUES ('KES', 2) ON CONFLICT DO NOTHING"))
        await post(connection, entries=[entry], now=NOW)
    first = await funded(engine, 5)
    rail.answers = [PENDING] * 5
    done = sum(await asyncio.gather(*(dispatch(engine, rails=rails, clock=clock) for _ in range(4))))
    assert done == 2  # 1249 KES each, of 3000
    assert await states(engine, first) == {"paying": 2, "funded": 3}
    assert await dispatch(engine, rails=rails, clock=clock) == 0
    assert await rows(engine, "SELECT FROM incidents WHERE kind LIKE '%float%'")
    async with transaction(engine) as connection:
        await post(connection, entries=[top_up(rail="low", money=Money(130_000, KES), reference="2")], now=NOW)
    assert await dispatch(engine, rails=rails, clock=clock) == 1


async def test_economy_orders_wait_for_the_slot_and_go_as_bulk(engine, clock):
    rail = BulkRail("bulk", concurrency=2)
    rails, drops = Rails({"bulk": rail}), {DROP: timedelta(minutes=30)}
    clock.pass_(minutes=1)
    orders = await funded(engine, 5, at=clock.now, speed="economy", drop_every_s=1800)
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 0
    clock.now = NOW + timedelta(minutes=29, seconds=59)
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 0
    clock.now = NOW + timedelta(minutes=30)
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 5
    assert sorted(number for _, number in rail.batches) == [2, 3]
    found = await rows(engine, "SELECT batch_id, count(*) AS number FROM attempts GROUP BY batch_id")
    assert {(row.batch_id, row.number) for row in found} == set(rail.batches)
    assert await states(engine, orders) == {"paid": 5}


async def test_what_fails_goes_with_the_next_drop_and_standard_orders_go_at_once(engine, clock):
    rail = Rail("single")
    rails, drops = Rails({"single": rail}), {DROP: timedelta(minutes=30)}
    orders = await funded(engine, 1, speed="economy", drop_every_s=1800)
    standard = await funded(engine, 1)
    rail.answers = [failed(Fault.TRANSIENT), failed(Fault.TRANSIENT)]
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 2
    clock.pass_(minutes=1)
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 1
    assert await states(engine, standard) == {"paid": 1}
    assert await states(engine, orders) == {"funded": 1}
    clock.pass_(minutes=30)
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 1
    assert await states(engine, orders) == {"paid": 1}


async def test_another_way_is_taken_with_its_own_account(engine, clock):
    mobile, bank = Rail("mobile"), Rail("bank", method=Method.BANK)
    [order] = await funded(engine)
    async with transaction(engine) as connection:
        await connection.execute(text("INSERT INTO recipient_ways VALUES (:id, 1, 'bank', 'KE59 0001')"), {"id": order})
    mobile.answers = [failed(Fault.RECIPIENT)]
    seen = []

    async def pay(instruction):
        seen.append(instruction.to)
        return paid(instruction.attempt_id, instruction.deliver)

    bank.pay = pay
    rails = Rails({"mobile": mobile, "bank": bank})
    while await dispatch(engine, rails=rails, clock=clock):
        pass
    assert [(to.method, to.account, to.holder) for to in seen] == [(Method.BANK, "KE59 0001", "Wanjiku Kamau")]
    assert await states(engine, [order]) == {"paid": 1}
    assert [row.way for row in await rows(engine, "SELECT way FROM attempts ORDER BY id")] == [0, 1]


async def test_an_order_that_only_a_full_rail_can_pay_is_looked_at_later_and_stops_nobody(engine, clock):
    small, large = Rail("small"), Rail("large", concurrency=1)
    rails = Rails({"small": small, "large": large})
    blocking = await funded(engine)
    refused = Rails({"large": large})
    large.answers = [PENDING]
    await dispatch(engine, rails=refused, clock=clock)
    assert await states(engine, blocking) == {"paying": 1}
    [order] = await funded(engine)
    small.answers = [failed(Fault.RAIL)]
    await dispatch(engine, rails=rails, clock=clock)
    async with transaction(engine) as connection:  # the only call of the large rail is under way
        await connection.execute(
            text("UPDATE attempts SET outcome = 'sending', lease_until = :until WHERE adapter = 'large'"),
            {"until": clock.now + timedelta(seconds=5)},
        )
    others = await funded(engine, 3)
    assert await dispatch(engine, rails=rails, clock=clock) == 3
    assert await states(engine, others) == {"paid": 3}
    [row] = await rows(engine, "SELECT due_at FROM orders WHERE id = :id", id=order)
    assert row.due_at > clock.now


async def test_an_order_that_the_database_refuses_is_parked_and_the_others_flow(engine, clock):
    rail = Rail("mobile")
    good, bad = await funded(engine, 5), await funded(engine, 1)
    async with transaction(engine) as connection:  # money that isn't there: the ledger refuses the whole set
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # no quote ever changes
        await connection.execute(
            text("UPDATE quotes SET send_units = send_units + 1 WHERE id = (SELECT quote_id FROM orders WHERE id = :id)"),
            {"id": bad[0]},
        )
    await dispatch(engine, rails=Rails({"mobile": rail}), clock=clock)
    assert await states(engine, good) == {"paid": 5}
    assert await states(engine, bad) == {"funded": 1}
    [row] = await rows(engine, "SELECT due_at FROM orders WHERE id = :id", id=bad[0])
    assert row.due_at == clock.now + PARKED_FOR
    assert [row.kind for row in await rows(engine, "SELECT kind FROM incidents")] == ["payout_parked"]
    assert len(rail.calls) == 5
    assert await dispatch(engine, rails=Rails({"mobile": rail}), clock=clock) == 0


async def test_an_answer_that_cannot_be_recorded_is_asked_about_and_the_others_are_recorded(engine, clock, monkeypatch):
    rail = Rail("mobile")
    orders = await funded(engine, 4)
    record, poison = room.record, []

    async def refusing(connection, *, news, now, capabilities):
        poison[:] = poison or [news[0].attempt_id]
        if poison[0] in {item.attempt_id for item in news}:
            await connection.execute(text("SELECT 1 / 0"))
        return await record(connection, news=news, now=now, capabilities=capabilities)

    monkeypatch.setattr(room, "record", refusing)
    await dispatch(engine, rails=Rails({"mobile": rail}), clock=clock)
    assert await states(engine, orders) == {"paid": 3, "paying": 1}
    assert [row.kind for row in await rows(engine, "SELECT kind FROM incidents")] == ["answer_not_recorded"]
    [row] = await rows(engine, "SELECT id, due_at FROM attempts WHERE closed_at IS NULL")
    assert row.id == poison[0]
    assert row.due_at is not None


async def test_a_worker_that_froze_before_sending_sends_nothing_and_its_answer_counts_for_nothing(
    engine, clock, monkeypatch
):
    rail = Rail("mobile")
    [order] = await funded(engine)
    claim = room._claim

    async def frozen(engine, desk, **options):
        found = await claim(engine, desk, **options)
        clock.pass_(hours=1)
        async with transaction(engine) as connection:  # somebody else has taken the attempt over meanwhile
            await connection.execute(text("UPDATE attempts SET lease_token = nextval('lease_tokens')"))
        return found

    monkeypatch.setattr(room, "_claim", frozen)
    await dispatch(engine, rails=Rails({"mobile": rail}), clock=clock)
    assert rail.calls == []
    assert await states(engine, [order]) == {"paying": 1}
    assert [row.outcome for row in await rows(engine, "SELECT outcome FROM attempts")] == ["sending"]


async def test_answers_tell_the_breaker_and_an_open_one_costs_no_attempt(engine, clock):
    rail = Rail("mobile")
    await funded(engine, 8)
    rail.answers = [UNKNOWN] * 8
    await dispatch(engine, rails=Rails({"mobile": rail}), clock=clock)
    assert [row.state for row in await rows(engine, "SELECT state FROM rail_states")] == ["open"]
    more = await funded(engine, 3)
    assert await dispatch(engine, rails=Rails({"mobile": rail}), clock=clock) == 0
    assert await states(engine, more) == {"funded": 3}


async def test_a_payment_that_may_come_back_is_watched(engine, clock):
    rails = Rails({"mobile": Rail("mobile", returns_within=timedelta(days=3))})
    await funded(engine)
    await dispatch(engine, rails=rails, clock=clock)
    [row] = await rows(engine, "SELECT outcome, due_at FROM attempts")
    assert row.outcome == Outcome.PAID
    assert clock.now < row.due_at < clock.now + timedelta(days=3)
