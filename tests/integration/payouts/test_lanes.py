"""Orders wait in lanes: who is kept waiting by a rail without room, and who isn't."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.money import Money
from gateway.offramp import Fault, Method
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from tests.factories import KES, NOW, failed
from tests.integration.payouts.test_dispatch import DROP, Rail, Time, funded, rows, states

BANK_TOO = "KE/KES/mobile_money+bank/standard"


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def rails():
    return Rails({"mobile": Rail("mobile"), "bank": Rail("bank", method=Method.BANK)})


async def write(engine, sql, **values):
    async with transaction(engine) as connection:
        await connection.execute(text(sql), values)


async def with_a_bank(engine, orders):
    for order in orders:
        await write(engine, "INSERT INTO recipient_ways VALUES (:id, 1, 'bank', 'KE59 0001')", id=order)


async def breaks(engine, rail, *, until=NOW + timedelta(minutes=5)):
    sql = "INSERT INTO rail_states (rail, state, open_until, since, reason) VALUES (:rail, 'open', :until, :now, 'down')"
    await write(engine, sql, rail=rail, until=until, now=NOW)


async def lanes(engine):
    return {row.lane for row in await rows(engine, "SELECT lane FROM orders")}


async def test_an_order_of_a_full_lane_goes_by_its_recipients_next_way(engine, clock, rails):
    single, several = await funded(engine, 2), await funded(engine, 2)
    await with_a_bank(engine, several)
    await breaks(engine, "mobile")
    assert await dispatch(engine, rails=rails, clock=clock) == 2
    assert await states(engine, several) == {"paid": 2}
    assert [(row.adapter, row.way) for row in await rows(engine, "SELECT adapter, way FROM attempts")] == [("bank", 1)] * 2
    assert await states(engine, single) == {"funded": 2}
    [due] = await rows(engine, "SELECT DISTINCT due_at FROM orders WHERE state = 'funded'")
    assert due.due_at == NOW  # nobody touched them


async def test_an_order_whose_first_way_failed_does_not_wait_for_that_ways_rails(engine, clock, rails):
    [order] = await funded(engine)
    await with_a_bank(engine, [order])
    rails["mobile"].answers = [failed(Fault.RECIPIENT)]
    await dispatch(engine, rails=rails, clock=clock)
    await breaks(engine, "mobile")
    clock.pass_(minutes=1)
    assert await dispatch(engine, rails=rails, clock=clock) == 1
    assert await states(engine, [order]) == {"paid": 1}


async def test_an_order_that_only_a_full_rail_takes_keeps_nobody_behind_it_waiting(engine, clock):
    [corridor] = Rail("any").capabilities.corridors
    small, large = Rail("small", corridors=(replace(corridor, most=Money(124_899, KES)),)), Rail("large")
    [big] = await funded(engine)
    await write(engine, "UPDATE orders SET due_at = due_at - interval '1 minute' WHERE id = :id", id=big)
    others = await funded(engine, 3, receive_units=124_800, rounding_units=108)
    await breaks(engine, "large")
    assert await dispatch(engine, rails=Rails({"small": small, "large": large}), clock=clock) == 3
    assert await states(engine, others) == {"paid": 3}
    assert await states(engine, [big]) == {"funded": 1}


async def test_a_lane_names_all_methods_of_its_orders_recipients(engine):
    plain, same, other, three = await funded(engine, 4)
    add = "INSERT INTO recipient_ways VALUES (:id, :rank, :method, 'x')"
    await write(engine, add, id=same, rank=1, method="mobile_money")
    await write(engine, add, id=other, rank=1, method="bank")
    for rank, method in enumerate(("cash", "bank", "cash"), start=1):
        await write(engine, add, id=three, rank=rank, method=method)
    found = {row.id: row.lane for row in await rows(engine, "SELECT id, lane FROM orders")}
    assert found == {
        plain: "KE/KES/mobile_money/standard",
        same: "KE/KES/mobile_money/standard",
        other: BANK_TOO,
        three: "KE/KES/mobile_money+bank+cash/standard",
    }
    # Another quote keeps the ways.
    await write(engine, "UPDATE orders SET quote_id = quote_id")
    assert {row.id: row.lane for row in await rows(engine, "SELECT id, lane FROM orders")} == found


async def test_economy_orders_of_several_ways_wait_for_their_corridors_drop(engine, clock, rails):
    drops = {DROP: timedelta(minutes=30)}
    clock.pass_(minutes=1)
    orders = await funded(engine, 2, at=clock.now, speed="economy", drop_every_s=1800)
    await with_a_bank(engine, orders[:1])
    assert await lanes(engine) == {DROP, DROP.replace("money", "money+bank")}
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 0
    clock.now = NOW + timedelta(minutes=30)
    assert await dispatch(engine, rails=rails, clock=clock, drops=drops) == 2
    assert await states(engine, orders) == {"paid": 2}
