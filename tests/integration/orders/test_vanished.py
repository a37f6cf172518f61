"""Orders whose deposit was final and is gone: those that can be stopped are held, and stay so until a person decides."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from gateway.chain.resume import FINAL_VANISHED, Vanished
from gateway.db.session import transaction
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.funding import book_deposits
from gateway.orders.vanished import DepositVanished, hold_vanished, refuse_vanished
from gateway.payouts.dispatch import dispatch
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from tests.factories import NOW, FakeRail, make_deposit, make_orders


async def vanish(engine):
    """All final deposits are gone."""
    async with transaction(engine) as connection:
        rows = await connection.execute(
            text("""
            SELECT chain_id, tx_hash, log_index, block_number, block_hash, owner, asset, units
            FROM deposits JOIN deposit_addresses USING (address) WHERE status = 'final'
            """)
        )
        gone = [Vanished(**row._mapping) for row in rows]
        return await hold_vanished(connection, gone, now=NOW)


async def view(engine, order):
    async with transaction(engine) as connection:
        return await order_view(connection, now=NOW, order_id=order.order_id)


@pytest.fixture
async def order(engine):
    (order,) = await make_orders(engine)
    await make_deposit(engine, order)
    await book_deposits(engine, least={}, now=NOW)
    assert (await view(engine, order)).state == "funded"
    return order


async def test_a_funded_order_is_held_with_the_reason_and_not_paid(engine, order):
    assert await vanish(engine) == 1
    held = await view(engine, order)
    assert (held.state, held.progress.reason) == ("held", "deposit_vanished")
    rail = FakeRail()
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    assert (await view(engine, order)).state == "held"


@pytest.mark.usefixtures("order")
async def test_the_same_deposit_holds_an_order_once(engine):
    assert await vanish(engine) == 1
    assert await vanish(engine) == 0
    async with transaction(engine) as connection:
        count = await connection.execute(text("SELECT count(*) FROM order_events WHERE event = 'hold_placed'"))
        assert count.scalar_one() == 1


async def test_what_was_instructed_before_goes_on(engine, order):
    rail = FakeRail()
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    before = (await view(engine, order)).state
    assert before != "funded"
    assert await vanish(engine) == 0
    assert (await view(engine, order)).state == before
    async with transaction(engine) as connection:
        assert (
            await connection.execute(text("SELECT count(*) FROM incidents WHERE kind = 'illegal_step'"))
        ).scalar_one() == 0


async def test_no_deposit_holds_nothing(engine):
    async with transaction(engine) as connection:
        assert await hold_vanished(connection, [], now=NOW) == 0


@pytest.mark.parametrize(
    ("kind", "closed", "refused"), [(FINAL_VANISHED, False, True), (FINAL_VANISHED, True, False), ("other", False, False)]
)
async def test_its_money_is_not_to_be_touched_until_the_incident_is_closed(engine, order, kind, closed, refused):
    async with transaction(engine) as connection:
        await open_incidents(connection, alarms=[Alarm("gone", kind, order.order_id, {})], now=NOW)
        if closed:
            await connection.execute(text("UPDATE incidents SET closed_at = now(), closed_by = 'ada'"))
        if refused:
            with pytest.raises(DepositVanished, match="close incident"):
                await refuse_vanished(connection, order_id=order.order_id)
        else:
            await refuse_vanished(connection, order_id=order.order_id)
        await refuse_vanished(connection, order_id="ord_another")
