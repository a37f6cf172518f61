"""Deadlines of orders are kept by level, however late somebody looks and whatever the clock did."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.db.session import transaction
from gateway.orders.advance import Move, advance
from gateway.orders.deadlines import TOLD_OF, keep_deadlines
from gateway.orders.duties import DUTIES
from gateway.orders.states import RESTING, E, S
from tests.factories import NOW, make_deposit, make_orders

HOUR = timedelta(hours=1)


async def rows(engine, sql, **values):
    async with transaction(engine) as connection:
        return list((await connection.execute(text(sql), values)).all())


async def put(engine, state, *, due_at, since=NOW):
    """An order in a state, as a step would have left it."""
    [order] = await make_orders(engine)
    async with transaction(engine) as connection:
        await connection.execute(
            text("UPDATE orders SET state = :state, due_at = :due_at, updated_at = :since WHERE id = :id"),
            {"state": state, "due_at": due_at, "since": since, "id": order.order_id},
        )
    return order.order_id


async def test_an_unpaid_order_expires_once(engine):
    [order] = await make_orders(engine)
    assert await keep_deadlines(engine, now=NOW) == 0
    assert await keep_deadlines(engine, now=NOW + HOUR) == 1
    assert await keep_deadlines(engine, now=NOW + HOUR) == 0
    assert await rows(engine, "SELECT state, due_at FROM orders WHERE id = :id", id=order.order_id) == [("expired", None)]


@pytest.mark.parametrize("state", sorted(TOLD_OF))
async def test_of_an_order_that_waits_too_long_a_person_is_told_ever_less_often(engine, state):
    within = DUTIES[state].within
    order_id = await put(engine, state, due_at=NOW + within)
    looks = [within * number / 2 for number in range(35)]
    told = [look for look in looks if await keep_deadlines(engine, now=NOW + look)]
    assert told == [within, 2 * within, 4 * within, 8 * within, 16 * within]
    incidents = await rows(engine, "SELECT kind, order_id FROM incidents")
    assert incidents == [(f"{state}_too_long", order_id)] * len(told)
    assert [(row.state,) for row in await rows(engine, "SELECT state FROM orders")] == [(state,)]


async def test_looking_twice_tells_once(engine):
    order_id = await put(engine, S.HELD, due_at=NOW)
    assert await keep_deadlines(engine, now=NOW + 30 * HOUR) == 1
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE orders SET due_at = :now WHERE id = :id"), {"now": NOW, "id": order_id})
    assert await keep_deadlines(engine, now=NOW + 31 * HOUR) == 1
    assert len(await rows(engine, "SELECT FROM incidents")) == 1


async def test_after_a_step_the_waiting_begins_anew(engine):
    order_id = await put(engine, S.HELD, due_at=NOW)
    await keep_deadlines(engine, now=NOW + 30 * HOUR)
    async with transaction(engine) as connection:
        await advance(connection, moves=[Move(order_id=order_id, event=E.HOLD_LIFTED, cause="a")], now=NOW + 31 * HOUR)
        await advance(connection, moves=[Move(order_id=order_id, event=E.HOLD_PLACED, cause="b")], now=NOW + 32 * HOUR)
    assert await rows(engine, "SELECT due_at FROM orders") == [(NOW + 56 * HOUR,)]
    assert await keep_deadlines(engine, now=NOW + 55 * HOUR) == 0
    assert await keep_deadlines(engine, now=NOW + 57 * HOUR) == 1
    assert len(await rows(engine, "SELECT FROM incidents")) == 2


async def test_a_step_that_names_no_time_is_due_by_its_states_duty(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, status="seen")
    async with transaction(engine) as connection:
        move = Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="seen")
        await advance(connection, moves=[move], now=NOW)
    assert await rows(engine, "SELECT due_at FROM orders") == [(NOW + DUTIES[S.CONFIRMING].within,)]


async def test_the_database_takes_no_order_that_waits_without_a_time(engine):
    for state in sorted(set(S) - RESTING):
        with pytest.raises(IntegrityError, match="what_waits_is_due"):
            await put(engine, state, due_at=None)


async def test_a_clock_that_was_ahead_keeps_no_funded_order_waiting(engine):
    order_id = await put(engine, S.FUNDED, due_at=NOW + 365 * 24 * HOUR)
    other = await put(engine, S.FUNDED, due_at=NOW + 24 * HOUR)
    assert await keep_deadlines(engine, now=NOW) == 1
    assert await rows(engine, "SELECT id, due_at FROM orders ORDER BY due_at") == [(order_id, NOW), (other, NOW + 24 * HOUR)]


async def test_a_clock_that_was_set_back_tells_of_nothing_early(engine):
    await put(engine, S.HELD, due_at=NOW + HOUR, since=NOW + 5 * HOUR)
    assert await keep_deadlines(engine, now=NOW) == 0
    assert await keep_deadlines(engine, now=NOW + 2 * HOUR) == 1
    assert await keep_deadlines(engine, now=NOW + 3 * HOUR) == 0


async def test_many_are_told_of_in_sets(engine, monkeypatch):
    monkeypatch.setattr("gateway.orders.deadlines.SET", 10)
    orders = await make_orders(engine, 25)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE orders SET state = 'held', due_at = :now"), {"now": NOW})
    done = [await keep_deadlines(engine, now=NOW + 48 * HOUR) for _ in range(4)]
    assert done == [10, 10, 5, 0]
    assert len(await rows(engine, "SELECT DISTINCT order_id FROM incidents")) == len(orders)
