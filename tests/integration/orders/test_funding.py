"""Deposits become funded orders, and what doesn't fit is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.queries import balances
from gateway.orders.deadlines import expire_orders
from gateway.orders.funding import book_deposits
from gateway.payouts.queries import order_view
from tests.factories import NOW, USDC, USDT, make_deposit, make_orders

LATE = NOW + timedelta(minutes=15)


async def state(engine, order):
    async with transaction(engine) as connection:
        view = await order_view(connection, now=NOW, order_id=order.order_id)
        return view.state, view.progress.reason


async def book(engine):
    return await book_deposits(engine, least={USDC.code: USDC_LEAST}, now=NOW)


from gateway.money import Money  # noqa: E402

USDC_LEAST = Money(10_000, USDC)


async def accounts(engine):
    async with transaction(engine) as connection:
        return {
            (account.replace(account.split(":")[1], "X") if account.startswith("order:") else account): money.decimal()
            for account, money in await balances(connection)
        }


async def test_the_exact_amount_funds_the_order_once(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, status="seen")
    assert await book(engine) == 1
    assert (await state(engine, order))[0] == "confirming"
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE deposits SET status = 'final'"))
    assert await book(engine) == 1
    assert await book(engine) == 0
    assert (await state(engine, order))[0] == "funded"
    assert await accounts(engine) == {"chain:31337": "-10.000000", "order:X:funds": "10.000000"}


async def test_a_surplus_is_kept_for_its_sender(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, units=10_500_000)
    await book(engine)
    assert (await state(engine, order))[0] == "funded"
    assert await accounts(engine) == {
        "chain:31337": "-10.500000",
        "order:X:funds": "10.000000",
        "order:X:unallocated": "0.500000",
    }


async def test_too_little_waits_for_the_rest(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, units=9_000_000)
    await book(engine)
    assert await state(engine, order) == ("held", "underpaid")
    await make_deposit(engine, order, units=400_000, block=8)
    await book(engine)
    assert await state(engine, order) == ("held", "underpaid")
    await make_deposit(engine, order, units=700_000, block=9)
    await book(engine)
    assert (await state(engine, order))[0] == "funded"
    assert await accounts(engine) == {
        "chain:31337": "-10.100000",
        "order:X:funds": "10.000000",
        "order:X:unallocated": "0.100000",
    }


async def test_two_parts_in_one_set_make_a_whole(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, units=4_000_000)
    await make_deposit(engine, order, units=6_000_000, block=8)
    assert await book(engine) == 2
    assert (await state(engine, order))[0] == "funded"


async def test_a_late_top_up_does_not_fund(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, units=9_000_000)
    await make_deposit(engine, order, units=1_000_000, at=LATE, block=8)
    await book(engine)
    assert await state(engine, order) == ("held", "underpaid")
    assert (await accounts(engine))["order:X:unallocated"] == "1.000000"


async def test_late_money_is_held_not_paid_out_at_the_old_rate(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, at=LATE)
    await book(engine)
    assert await state(engine, order) == ("held", "late")


async def test_expiry_is_judged_by_the_blocks_time_not_by_ours(engine):
    [order] = await make_orders(engine)
    assert await expire_orders(engine, now=LATE - timedelta(microseconds=1)) == 0
    assert await expire_orders(engine, now=LATE) == 1
    assert (await state(engine, order))[0] == "expired"
    await make_deposit(engine, order, at=LATE - timedelta(seconds=1))
    await book(engine)
    assert (await state(engine, order))[0] == "funded"


async def test_a_second_deposit_is_kept(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order)
    await book(engine)
    await make_deposit(engine, order, block=9)
    await book(engine)
    assert (await state(engine, order))[0] == "funded"
    assert (await accounts(engine))["order:X:unallocated"] == "10.000000"


@pytest.mark.parametrize("what", [{"units": 9_999}, {"asset": USDT}])
async def test_dust_and_other_tokens_are_kept_and_move_no_order(engine, what):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, **what)
    await book(engine)
    assert (await state(engine, order))[0] == "awaiting_deposit"
    assert any(account == "order:X:unallocated" for account in await accounts(engine))
    await make_deposit(engine, order, block=9)
    await book(engine)
    assert (await state(engine, order))[0] == "funded"


async def test_a_dropped_deposit_goes_back_and_may_come_again(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, status="seen")
    await book(engine)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE deposits SET status = 'orphaned'"))
    await book(engine)
    assert (await state(engine, order))[0] == "awaiting_deposit"
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE deposits SET status = 'seen', block_hash = '0x99'"))
    await book(engine)
    assert (await state(engine, order))[0] == "confirming"
    assert await accounts(engine) == {}


async def test_an_order_goes_back_only_when_its_last_deposit_is_dropped(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, status="seen")
    second = await make_deposit(engine, order, status="seen", block=8)
    await book(engine)
    async with transaction(engine) as connection:
        await connection.execute(
            text("UPDATE deposits SET status = 'orphaned' WHERE tx_hash = :hash"), {"hash": second["tx_hash"]}
        )
    await book(engine)
    assert (await state(engine, order))[0] == "confirming"


async def test_a_hundred_orders_are_booked_in_one_set(engine):
    orders = await make_orders(engine, 120)
    for order in orders:
        await make_deposit(engine, order)
    assert await book(engine) == 100
    assert await book(engine) == 20
    assert {(await state(engine, order))[0] for order in orders} == {"funded"}
