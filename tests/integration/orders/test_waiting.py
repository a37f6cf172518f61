"""The queues follow the orders, whoever changes one, and nobody changes a queue."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.offramp import Outcome
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from tests.factories import NOW, PENDING, FakeRail, failed, make_deposit, make_orders

_DIFFERENCES = text("""
SELECT id, state, lane, due_at FROM orders
    WHERE state IN ('awaiting_deposit', 'confirming', 'funded', 'held', 'uncertain', 'refunding')
EXCEPT SELECT order_id, state, lane, due_at FROM waiting_orders
UNION ALL (SELECT order_id, state, lane, due_at FROM waiting_orders EXCEPT SELECT id, state, lane, due_at FROM orders)
""")


async def queue(engine: AsyncEngine) -> list[str]:
    """The states of who waits, after a look that the queue is what the orders say."""
    async with transaction(engine) as connection:
        assert (await connection.execute(_DIFFERENCES)).all() == []
        return sorted((await connection.execute(text("SELECT state FROM waiting_orders"))).scalars())


async def run(engine: AsyncEngine, statement: str) -> None:
    async with transaction(engine) as connection:
        await connection.execute(text(statement))


async def test_an_order_waits_until_a_rail_has_it_and_again_when_it_comes_back(engine: AsyncEngine) -> None:
    orders = await make_orders(engine, 3)
    assert await queue(engine) == ["awaiting_deposit"] * 3
    for order in orders[:2]:
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    assert await queue(engine) == ["awaiting_deposit", "funded", "funded"]
    rail = FakeRail(answers=[PENDING, failed()])
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    assert len(rail.calls) == 2
    states = await queue(engine)
    assert len(states) == 2
    assert Outcome.PENDING.value not in states


async def test_a_date_or_lane_that_somebody_changes_is_the_queues_too(engine: AsyncEngine) -> None:
    await make_orders(engine, 2)
    await run(engine, "UPDATE orders SET due_at = due_at + interval '1 hour'")
    assert await queue(engine) == ["awaiting_deposit"] * 2
    await run(engine, "UPDATE orders SET lane = 'UG/UGX/mobile_money/standard'")
    assert await queue(engine) == ["awaiting_deposit"] * 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM waiting_orders",
        "UPDATE waiting_orders SET due_at = due_at + interval '1 hour'",
        "INSERT INTO waiting_orders VALUES ('ord_x', 'funded', '', now())",
        "TRUNCATE waiting_orders",
    ],
)
async def test_nobody_changes_a_queue(engine: AsyncEngine, statement: str) -> None:
    await make_orders(engine, 1)
    with pytest.raises(IntegrityError):
        await run(engine, statement)


async def test_a_step_changes_an_orders_row_in_its_place(engine: AsyncEngine) -> None:
    """No index of `orders` has a column that steps change: else each step writes them all anew."""
    async with transaction(engine) as connection:
        found = await connection.execute(text("SELECT indexdef FROM pg_indexes WHERE tablename = 'orders'"))
        indexed = " ".join(found.scalars())
    assert "orders_pkey" in indexed
    assert not [column for column in ("state", "due_at", "version", "updated_at") if column in indexed]
