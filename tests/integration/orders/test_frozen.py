"""A frozen coin: what it holds, what it refuses, and that nothing thaws by itself."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.freezes import AssetFrozen, FreezeKind, freeze_asset, frozen, lift_freezes, open_freezes, refuse_frozen
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.orders.frozen import hold_frozen_orders
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from tests.factories import NOW, USDC, USDT, FakeRail, make_deposit, make_orders

BRIDGED = Asset("USDC.e@31337", 6)
BIGGEST = 2**256 - 1


async def freeze(engine, asset=USDC, kind=FreezeKind.PAUSED, reason="Its issuer has paused it."):
    async with transaction(engine) as connection:
        return await freeze_asset(connection, asset=asset.code, kind=kind, reason=reason, now=NOW)


async def lift(engine, asset=USDC):
    async with transaction(engine) as connection:
        await connection.execute(
            text("INSERT INTO operators VALUES ('amina', 'x', now(), NULL) ON CONFLICT DO NOTHING"),
        )
        await lift_freezes(connection, asset=asset.code, operator="amina", now=NOW)


async def standing(engine, order):
    async with transaction(engine) as connection:
        view = await order_view(connection, now=NOW, order_id=order.order_id)
        return view.state, view.progress.reason


async def book(engine):
    return await book_deposits(engine, least={}, now=NOW)


async def hold(engine):
    return await hold_frozen_orders(engine, now=NOW)


async def accounts(engine):
    async with transaction(engine) as connection:
        rows = await balances(connection)
    return {
        (name.rpartition(":")[2] if name.startswith("order:") else name, money.asset.code): money.units
        for name, money in rows
    }


async def test_an_asset_is_frozen_once_for_each_reason_and_says_them_all(engine):
    await make_orders(engine)
    assert await freeze(engine) is not None
    assert await freeze(engine, reason="again") is None
    assert await freeze(engine, kind=FreezeKind.CHANGED, reason="Its code changed.") is not None
    async with transaction(engine) as connection:
        assert await frozen(connection) == {USDC.code: "Its issuer has paused it. Its code changed."}
        assert [one.kind for one in await open_freezes(connection)] == [FreezeKind.PAUSED, FreezeKind.CHANGED]
        await refuse_frozen(connection, asset=USDT.code)
        with pytest.raises(AssetFrozen, match="USDC on this chain is not taken at the moment: its issuer has paused it"):
            await refuse_frozen(connection, asset=USDC.code)
    await lift(engine)
    async with transaction(engine) as connection:
        assert await frozen(connection) == {}
    assert await freeze(engine) is not None


async def test_lifting_one_assets_freeze_leaves_the_others(engine):
    await make_orders(engine)
    for asset in (USDC, USDT):
        await freeze(engine, asset)
    await lift(engine)
    async with transaction(engine) as connection:
        assert list(await frozen(connection)) == [USDT.code]


async def test_no_order_is_made_of_a_quote_whose_coin_was_frozen_meanwhile(engine):
    await make_orders(engine)
    await freeze(engine)
    with pytest.raises(AssetFrozen) as caught:
        await make_orders(engine)
    assert caught.value.field == "quote_id"


async def test_money_that_arrives_in_a_frozen_coin_is_on_the_ledger_and_held(engine):
    [order] = await make_orders(engine)
    await freeze(engine)
    await make_deposit(engine, order)
    assert await book(engine) == 1
    assert await standing(engine, order) == ("held", "frozen")
    async with transaction(engine) as connection:
        told = (await order_view(connection, now=NOW, order_id=order.order_id)).progress
    assert (told.status, told.sentence.partition(".")[0]) == ("on_hold", "10")
    assert "what arrived is on our books" in told.sentence
    assert "don't send more of it" in told.next_step
    assert await accounts(engine) == {("chain:31337", USDC.code): -10_000_000, ("funds", USDC.code): 10_000_000}
    await lift(engine)
    assert [await book(engine), await hold(engine)] == [0, 0]
    assert await standing(engine, order) == ("held", "frozen")


async def test_another_coins_freeze_holds_nothing(engine):
    [order] = await make_orders(engine)
    await freeze(engine, USDT)
    await make_deposit(engine, order)
    await book(engine)
    assert [await hold(engine), await standing(engine, order)] == [0, ("funded", "funded")]


@pytest.mark.parametrize("by", ["dispatch", "its own loop"])
async def test_funded_orders_of_a_frozen_coin_are_not_sent_but_held(engine, by):
    orders = await make_orders(engine, 3)
    for order in orders:
        await make_deposit(engine, order)
    await book(engine)
    await freeze(engine)
    rail = FakeRail()

    async def look():
        if by == "dispatch":
            return await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
        return await hold(engine)

    assert [await look(), await look()] == [3, 0]
    assert rail.calls == []
    assert {await standing(engine, order) for order in orders} == {("held", "frozen")}


async def test_a_payout_that_was_sent_before_goes_on(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order)
    await book(engine)
    rail = FakeRail()
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    await freeze(engine)
    assert await hold(engine) == 0
    assert (await standing(engine, order))[0] == "paid"


async def test_a_top_up_while_frozen_completes_the_money_and_not_the_order(engine):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, units=6_000_000)
    await book(engine)
    assert await standing(engine, order) == ("held", "underpaid")
    await freeze(engine)
    await make_deposit(engine, order, units=5_000_000, block=8)
    await book(engine)
    assert await standing(engine, order) == ("held", "frozen")
    held = await accounts(engine)
    assert (held["funds", USDC.code], held["unallocated", USDC.code]) == (10_000_000, 1_000_000)


async def test_two_parts_of_which_the_first_was_frozen_wait_for_a_person(engine):
    [order] = await make_orders(engine)
    await freeze(engine)
    await make_deposit(engine, order, units=6_000_000)
    await book(engine)
    await lift(engine)
    await make_deposit(engine, order, units=4_000_000, block=8)
    await book(engine)
    assert await standing(engine, order) == ("held", "frozen")
    assert (await accounts(engine))["funds", USDC.code] == 10_000_000


async def test_a_bridged_coin_sent_for_a_quote_in_the_native_one_is_its_own_unallocated_asset(engine):
    [order] = await make_orders(engine)
    async with transaction(engine) as connection:
        await connection.execute(text("INSERT INTO assets VALUES ('USDC.e@31337', 6)"))
    await make_deposit(engine, order, asset=BRIDGED)
    await book(engine)
    assert (await standing(engine, order))[0] == "awaiting_deposit"
    assert await accounts(engine) == {
        ("chain:31337", BRIDGED.code): -10_000_000,
        ("unallocated", BRIDGED.code): 10_000_000,
    }


@pytest.mark.parametrize("units", [2**255, BIGGEST])
async def test_the_largest_amounts_there_are_stand_exactly_on_the_ledger(engine, units):
    [order] = await make_orders(engine)
    await make_deposit(engine, order, units=units)
    await book(engine)
    assert (await standing(engine, order))[0] == "funded"
    assert await accounts(engine) == {
        ("chain:31337", USDC.code): -units,
        ("funds", USDC.code): 10_000_000,
        ("unallocated", USDC.code): units - 10_000_000,
    }


async def test_many_of_the_largest_amounts_add_up_without_an_overflow(engine):
    [order] = await make_orders(engine)
    for block in range(7, 27):
        await make_deposit(engine, order, units=BIGGEST, block=block)
    await book(engine)
    assert (await accounts(engine))["unallocated", USDC.code] == 20 * BIGGEST - 10_000_000


async def test_a_flood_of_dust_moves_no_order_and_is_booked_in_sets(engine):
    [order] = await make_orders(engine)
    for block in range(7, 7 + 150):
        await make_deposit(engine, order, units=1, block=block)
    least = {USDC.code: Money(10_000, USDC)}
    done = [await book_deposits(engine, least=least, now=NOW) for _ in range(3)]
    assert done == [100, 50, 0]
    assert (await standing(engine, order))[0] == "awaiting_deposit"
    assert await accounts(engine) == {("chain:31337", USDC.code): -150, ("unallocated", USDC.code): 150}
