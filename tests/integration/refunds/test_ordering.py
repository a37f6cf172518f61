"""What must hold before a refund is ordered, however many ask at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.db.session import transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.money import Asset
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.orders.states import TABLE, E, S
from gateway.refunds.addresses import Source
from gateway.refunds.errors import (
    AddressNotProven,
    AssetFrozen,
    BadRefundAddress,
    BadRefundAmount,
    NoConfirmedAddress,
    NothingToRefund,
    OrderNotFound,
    OverDailyLimit,
    RefundNotPossible,
    RefundOpen,
    RefundsOff,
)
from gateway.refunds.order import Of, RefundWish
from gateway.refunds.wallets import NO_WALLETS
from tests.factories import FACTORY, USDC, USDT, make_orders
from tests.integration.refunds.house import CHAIN, OTHER, SENDER, TREASURY, USDC_AT, WALLET, House


async def nothing_ordered(house: House) -> bool:
    [row] = await house.run(
        "SELECT (SELECT count(*) FROM refunds) + (SELECT count(*) FROM order_events WHERE event = 'refund_ordered') AS n"
    )
    return row.n == 0


# --- states ----------------------------------------------------------------------------------------------------------------


async def test_an_orders_own_money_goes_back_only_from_where_the_table_allows_it(house):
    for order, state in zip(await house.hold(len(S)), S, strict=True):
        await house.run("UPDATE orders SET state = :state WHERE id = :id", state=state, id=order.order_id)
        if (state, E.REFUND_ORDERED) in TABLE:
            await house.refund(order)
            assert (await house.view(order)).state == "refunding"
            continue
        with pytest.raises(RefundNotPossible, match="can't be refunded: "):
            await house.refund(order)
        assert await house.run("SELECT FROM refunds WHERE order_id = :id", id=order.order_id) == []
        assert (await house.view(order)).state == state
    assert await house.run("SELECT FROM incidents") == []


async def test_what_came_beyond_goes_back_from_every_state(house):
    for order, state in zip(await house.hold(len(S)), S, strict=True):
        await house.credit(order, 5)
        await house.run("UPDATE orders SET state = :state WHERE id = :id", state=state, id=order.order_id)
        refund_id = await house.refund(order, Of.UNALLOCATED)
        assert (await house.see(refund_id)).amount.units == 5
        assert (await house.view(order)).state == state
        [kept] = await house.run("SELECT units FROM balances WHERE account = :own", own=f"order:{order.order_id}:refund")
        assert kept.units == 5


# --- amounts ---------------------------------------------------------------------------------------------------------------


async def test_no_more_goes_back_than_is_there(house):
    [order] = await make_orders(house.engine)
    await house.credit(order, 5)
    await house.confirm(order)
    for units in (6, 0, -1):
        with pytest.raises(BadRefundAmount, match=r"the most is 0\.000005 USDC"):
            await house.refund(order, Of.UNALLOCATED, units=units)
    with pytest.raises(NothingToRefund):
        await house.refund(order, Of.UNALLOCATED, asset=USDT.code)
    assert await nothing_ordered(house)


async def test_an_orders_own_money_goes_back_whole_or_not_at_all(house):
    [order] = await house.hold()
    with pytest.raises(BadRefundAmount, match=r"leave the amount out, or give 10\.000000"):
        await house.refund(order, units=9_999_999)
    await house.refund(order, units=10_000_000)


async def test_one_refund_at_a_time_per_order_and_asset(house):
    [order] = await house.hold()
    await house.credit(order, 5)
    await house.credit(order, 7, USDT)
    first = await house.refund(order, Of.UNALLOCATED, units=2)
    for of in Of:
        with pytest.raises(RefundOpen, match=first):
            await house.refund(order, of)
    await house.refund(order, Of.UNALLOCATED, asset=USDT.code)


async def test_the_database_itself_refuses_a_second_open_refund(house):
    [order] = await house.hold()
    await house.refund(order)
    with pytest.raises(IntegrityError, match="one_open_refund_per_order_and_asset"):
        await house.run("""INSERT INTO refunds
            SELECT 'ref_2', order_id, taken_from, chain_id, asset, units, address, owner, reason, outcome, wallet, token,
            tx_hash, note, evidence, due_at, created_at, updated_at, closed_at FROM refunds""")


async def test_a_hundred_at_once_order_one_refund(house):
    [order] = await house.hold()
    results = await asyncio.gather(*(house.refund(order) for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1
    assert {type(result) for result in results} == {str, RefundNotPossible}


# --- limits ----------------------------------------------------------------------------------------------------------------


async def test_a_hundred_parallel_refunds_do_not_pass_the_days_limit(house):
    orders = await house.hold(100, units=3_000_000)
    results = await asyncio.gather(*(house.refund(order) for order in orders), return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 33
    assert {type(result) for result in results} == {str, OverDailyLimit}
    [gone] = await house.run("SELECT sum(units) AS units FROM refunds")
    assert gone.units == 99_000_000


async def test_the_limit_rolls_over_24_hours_and_forgets_what_failed(house):
    first, second, third, fourth = await house.hold(4, units=60_000_000)
    paid = await house.refund(first)
    with pytest.raises(OverDailyLimit, match=r"of 100\.000000 USDC per 24 hours 40\.000000 USDC are left"):
        await house.refund(second)
    await house.send()
    await house.decide(paid, "succeeded")
    house.now += timedelta(minutes=1)
    await house.settle()
    house.now += timedelta(hours=23, minutes=59)
    with pytest.raises(OverDailyLimit):
        await house.refund(second)
    house.now += timedelta(minutes=1)
    refused = await house.refund(second)
    with pytest.raises(OverDailyLimit):
        await house.refund(third)
    await house.send()
    await house.decide(refused, "refused")
    await house.settle()
    slow = await house.refund(third)
    # Its money can still leave today, so it counts today.
    house.now += timedelta(days=3)
    with pytest.raises(OverDailyLimit):
        await house.refund(fourth)
    await house.send()
    await house.decide(slow, "refused")
    await house.settle()
    await house.refund(fourth)


async def test_limits_are_each_assets_own(house):
    [order] = await make_orders(house.engine)
    for asset in (USDC, USDT):
        await house.credit(order, 100_000_000, asset)
    await house.confirm(order)
    for asset in (USDC, USDT):
        await house.refund(order, Of.UNALLOCATED, asset=asset.code)


# --- what the operator set up ----------------------------------------------------------------------------------------------


async def test_without_a_wallet_or_a_limit_nothing_goes_back(house):
    [order] = await house.hold()
    wallet = house.wallets.by_chain[CHAIN]
    house.wallets = replace(house.wallets, by_chain={CHAIN: replace(wallet, coins={})})
    with pytest.raises(RefundsOff, match="refund_per_day"):
        await house.refund(order)
    house.wallets = NO_WALLETS
    with pytest.raises(RefundsOff, match=r"\[chains\.refunds\]"):
        await house.refund(order)
    assert await nothing_ordered(house)


async def test_a_frozen_asset_does_not_go_back(house):
    [order] = await house.hold()
    async with transaction(house.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.BLOCKED, reason="we are blocked", now=house.now)
    with pytest.raises(AssetFrozen, match="we are blocked"):
        await house.refund(order)


async def test_a_coin_of_another_chain_needs_that_chains_wallet(house):
    [order] = await make_orders(house.engine)
    await house.confirm(order)
    await house.run("INSERT INTO assets VALUES ('USDC@1', 6)")
    await house.credit(order, 5, Asset("USDC@1", 6))
    with pytest.raises(RefundsOff, match=r"chain of USDC@1"):
        await house.refund(order, Of.UNALLOCATED, asset="USDC@1")


# --- who -------------------------------------------------------------------------------------------------------------------


async def test_a_refund_has_a_named_person_and_a_reason_or_the_orders_own_partner(house):
    [order] = await house.hold()
    with pytest.raises(UnknownOperator):
        await house.refund(order, operator="nobody")
    with pytest.raises(ReasonMissing):
        await house.refund(order, reason=" ")
    with pytest.raises(OrderNotFound):
        await house.refund(order, partner="par_other")
    with pytest.raises(OrderNotFound):
        await house.refund(replace(order, order_id="ord_none"))
    assert await nothing_ordered(house)
    refund_id = await house.refund(order)
    [_, action] = await house.run("SELECT * FROM operator_actions ORDER BY id")
    assert (action.operator, action.action, action.subject) == ("amina", "refund.order", order.order_id)
    assert action.detail == {"refund": refund_id, "of": "funds", "amount": "10.000000 USDC", "address": SENDER}


@pytest.mark.parametrize("by", [{}, {"operator": "amina", "partner": "par_1"}])
def test_a_refund_that_nobody_or_two_order_is_a_bug(by):
    with pytest.raises(ValueError, match="name one of both"):
        RefundWish(order_id="ord_1", of=Of.FUNDS, reason="why", **by)


# --- addresses -------------------------------------------------------------------------------------------------------------


async def test_nothing_goes_back_without_a_confirmed_address(house):
    [order] = await house.hold(address=False)
    with pytest.raises(NoConfirmedAddress):
        await house.refund(order)
    assert await nothing_ordered(house)


async def test_the_newest_confirmed_address_counts_before_the_orders_own(house):
    [order] = await house.hold(address=False)
    await house.add_operator()
    await house.run("UPDATE orders SET refund_address = :address", address=OTHER)
    assert (await house.view(order)).refund_address == OTHER
    first = await house.refund(order)
    assert (await house.see(first)).address == OTHER
    await house.confirm(order)
    assert (await house.view(order)).refund_address == SENDER
    await house.send()
    await house.decide(first, "refused")
    await house.settle()
    assert (await house.see(await house.refund(order))).address == SENDER
    await house.credit(order, 5, USDT)
    await house.confirm(order, OTHER)
    assert (await house.view(order)).refund_address == OTHER
    assert (await house.see(await house.refund(order, Of.UNALLOCATED, asset=USDT.code))).address == OTHER


async def test_our_own_addresses_tokens_and_mistyped_ones_are_refused(house):
    [order] = await house.hold(address=False)
    deposit = (await house.view(order)).deposit_address
    for ours in (deposit, deposit.lower(), WALLET, TREASURY, USDC_AT, FACTORY):
        with pytest.raises(BadRefundAddress, match="of this gateway or a token's"):
            await house.confirm(order, ours)
    for bad in ("0x" + "0" * 40, SENDER[:-1], "0X" + SENDER[2:], SENDER.replace("C", "c", 1), SENDER + "\n", "vitalik.eth"):
        with pytest.raises(BadRefundAddress):
            await house.confirm(order, bad)
    assert await house.run("SELECT FROM refund_addresses") == []
    assert await house.run("SELECT FROM operator_actions") == []
    assert await house.confirm(order, SENDER.lower()) == SENDER


async def test_an_address_given_with_the_order_is_checked_again_when_it_counts(house):
    [order] = await house.hold(address=False)
    await house.run("UPDATE orders SET refund_address = :address", address=WALLET)
    with pytest.raises(BadRefundAddress):
        await house.refund(order)


async def test_an_address_is_confirmed_on_evidence_by_who_may(house):
    [order] = await house.hold(address=False)
    for source in (Source.OPERATOR, Source.SIGNATURE):
        with pytest.raises(AddressNotProven):
            await house.confirm(order, source=source, evidence={"said": " "})
    with pytest.raises(UnknownOperator):
        await house.confirm(order, confirmed_by="nobody")
    with pytest.raises(ReasonMissing):
        await house.confirm(order, reason="")
    with pytest.raises(OrderNotFound):
        await house.confirm(order, source=Source.PARTNER, confirmed_by="par_other")
    with pytest.raises(OrderNotFound):
        await house.confirm(replace(order, order_id="ord_none"))
    assert await house.run("SELECT FROM refund_addresses") == []
    await house.confirm(order)
    [kept] = await house.run("SELECT * FROM refund_addresses")
    assert (kept.address, kept.source, kept.confirmed_by) == (SENDER.lower(), "operator", "amina")
    assert kept.evidence == {"said": "the sender called from the number on file"}


async def test_what_was_confirmed_stays_written(house):
    [order] = await house.hold()
    for change in ("UPDATE refund_addresses SET address = address", "DELETE FROM refund_addresses"):
        with pytest.raises(IntegrityError, match="append-only"):
            await house.run(change)
    assert (await house.view(order)).refund_address == SENDER
