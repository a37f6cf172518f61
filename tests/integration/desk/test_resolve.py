"""Resolutions that need no new price. Whatever is decided, by whomever and however often: no money appears or is lost."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import replace

import pytest

from gateway.chain.forwarders import NO_ADDRESS
from gateway.db.session import transaction
from gateway.desk.errors import NotHeld, NothingThere, TermsDoNotHold, WorthSendingBack
from gateway.desk.history import decisions_about
from gateway.desk.judge import Kind
from gateway.desk.recover import AlreadyOrdered, NotSwept, close_stray, recover
from gateway.desk.resolve import release_hold, take_back, write_off
from gateway.errors import Refusal
from gateway.ledger.freezes import AssetFrozen, FreezeKind, freeze_asset, lift_freezes
from gateway.money import Money
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.orders.advance import Move, advance
from gateway.orders.states import E
from gateway.pricing.requests import BadAmount
from gateway.refunds.errors import OrderNotFound
from tests.factories import NOW, USDC
from tests.integration.desk.office import BY, LATE, RULES, WHY
from tests.integration.desk.test_unmatched import LISTED, TX, UNKNOWN, stray


async def do(office, act, order_id, **what):
    async with transaction(office.engine) as connection:
        return await act(connection, order_id=order_id, **{"operator": BY, "reason": WHY, "now": LATE} | what)


async def hold(office, order, reason="rail_unavailable"):
    async with transaction(office.engine) as connection:
        move = Move(order_id=order.order_id, event=E.HOLD_PLACED, cause=f"h{reason}", data={"reason": reason})
        await advance(connection, moves=[move], now=NOW)


async def test_a_hold_is_released_where_all_is_there_and_came_in_time(office):
    order = await office.order()
    await office.pay(order)
    await hold(office, order)
    await do(office, release_hold, order.order_id)
    assert await office.state(order.order_id) == "funded"
    assert (await office.books())["order:0:funds USDC@31337"] == "10.000000"
    with pytest.raises(NotHeld):
        await do(office, release_hold, order.order_id)
    [decided] = await decided_about(office, order)
    assert (decided.operator, decided.action, decided.reason) == (BY, "deposits.release", WHY)


async def decided_about(office, order):
    async with transaction(office.engine) as connection:
        return await decisions_about(connection, subject=order.order_id)


@pytest.mark.parametrize("units", [10_000_000, 9_000_000])
async def test_late_or_too_little_money_is_not_released_at_the_old_price(office, units):
    order = await office.late() if units == 10_000_000 else await office.order()
    if units < 10_000_000:
        await office.pay(order, units=units)
    with pytest.raises(TermsDoNotHold):
        await do(office, release_hold, order.order_id)
    assert await office.state(order.order_id) == "held"
    assert await decided_about(office, order) == []


async def test_late_money_stays_late_however_often_the_order_is_held(office):
    order = await office.late()
    await office.run("UPDATE orders SET state = 'funded' WHERE id = :id", id=order.order_id)
    await hold(office, order, "rail_unavailable")
    with pytest.raises(TermsDoNotHold):
        await do(office, release_hold, order.order_id)


async def test_an_agreed_price_is_in_time(office):
    order = await office.late()
    await office.agree(order, await office.propose(order))
    await hold(office, order)
    await do(office, release_hold, order.order_id)
    assert await office.state(order.order_id) == "funded"


async def test_no_hold_is_released_into_a_freeze(office):
    order = await office.order()
    await office.pay(order)
    await hold(office, order)
    async with transaction(office.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="paused", now=NOW)
    with pytest.raises(AssetFrozen):
        await do(office, release_hold, order.order_id)


@pytest.mark.parametrize(("at", "goes_on"), [(NOW, True), (LATE, False)])
async def test_after_the_thaw_only_what_came_in_time_goes_on_at_its_price(office, at, goes_on):
    order = await office.order()
    async with transaction(office.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="paused", now=NOW)
    await office.pay(order, at=at)
    [held] = await office.list()
    assert held.kind is Kind.FROZEN
    async with transaction(office.engine) as connection:
        await lift_freezes(connection, asset=USDC.code, operator=BY, now=NOW)
    with nullcontext() if goes_on else pytest.raises(TermsDoNotHold):
        await do(office, release_hold, order.order_id)
    assert await office.state(order.order_id) == ("funded" if goes_on else "held")


async def test_what_is_not_worth_its_way_back_is_set_aside_and_can_come_back(office):
    order = await office.order()
    await office.pay(order)
    await office.pay(order, units=300_000, block=9)
    for cost, refusal in (("0.3", WorthSendingBack), ("0", WorthSendingBack), ("1e3", BadAmount), ("-1", BadAmount)):
        with pytest.raises(refusal):
            await do(office, write_off, order.order_id, asset=USDC.code, cost=cost)
    assert await do(office, write_off, order.order_id, asset=USDC.code, cost="0.85") == Money(300_000, USDC)
    assert (await office.books())["unclaimed:USDC@31337 USDC@31337"] == "0.300000"
    assert await office.list() == []
    with pytest.raises(NothingThere):
        await do(office, write_off, order.order_id, asset=USDC.code, cost="0.85")
    assert await do(office, take_back, order.order_id, asset=USDC.code) == Money(300_000, USDC)
    with pytest.raises(NothingThere):
        await do(office, take_back, order.order_id, asset=USDC.code)
    assert (await office.books())["order:0:unallocated USDC@31337"] == "0.300000"
    [one] = await office.list()
    assert one.amount == Money(300_000, USDC)
    assert [one.action for one in await decided_about(office, order)] == ["deposits.take_back", "deposits.write_off"]


async def test_nobody_takes_back_what_was_written_off_of_another(office):
    first, second = await office.order(), await office.order()
    for order in (first, second):
        await office.pay(order)
        await office.pay(order, units=300_000, block=9)
    await do(office, write_off, first.order_id, asset=USDC.code, cost="1")
    with pytest.raises(NothingThere):
        await do(office, take_back, second.order_id, asset=USDC.code)


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (release_hold, {}),
        (write_off, {"asset": USDC.code, "cost": "99"}),
        (take_back, {"asset": USDC.code}),
        (recover, {"chain_id": 31337, "token": LISTED, "rules": RULES}),
        (close_stray, {"chain_id": 31337, "tx_hash": TX, "log_index": 3}),
    ],
)
async def test_each_decision_has_a_name_and_a_reason(office, act, what):
    order = await office.order()
    await office.pay(order)
    await office.pay(order, units=300_000, block=9)
    if act is release_hold:
        await hold(office, order)
    if act is take_back:
        await do(office, write_off, order.order_id, asset=USDC.code, cost="1")
    await stray(office, order, token=LISTED)
    await stray(office, order, token=UNKNOWN)
    before, decided = await office.books(), await office.one("SELECT count(*) FROM operator_actions")
    with pytest.raises(UnknownOperator):
        await do(office, act, order.order_id, operator="nobody", **what)
    with pytest.raises(ReasonMissing):
        await do(office, act, order.order_id, reason="  ", **what)
    if act is not close_stray:
        with pytest.raises(OrderNotFound):
            await do(office, act, "ord_none", **what)
    assert await office.books() == before
    assert await office.one("SELECT count(*) FROM operator_actions") == decided
    await do(office, act, order.order_id, **what)
    assert await office.one("SELECT count(*) FROM operator_actions") == decided + 1


async def test_any_coin_is_recovered_once_while_it_is_there(office):
    order = await office.order()
    token = UNKNOWN
    what = {"chain_id": 31337, "token": token, "rules": RULES}
    with pytest.raises(NothingThere):
        await do(office, recover, order.order_id, **what)
    await stray(office, order, token=token)
    with pytest.raises(NotSwept, match="No key sweeps"):
        await do(office, recover, order.order_id, **what | {"chain_id": 1})
    with pytest.raises(NothingThere):
        await do(office, recover, order.order_id, **what | {"chain_id": 1, "rules": replace(RULES, swept={1})})
    with pytest.raises(NothingThere):
        await do(office, recover, order.order_id, **what | {"token": NO_ADDRESS})
    sweep = await do(office, recover, order.order_id, **what)
    [item] = await office.run("SELECT sweep_id, token, state, asset FROM sweep_items")
    assert tuple(item) == (sweep, token, "open", None)
    assert await office.one("SELECT operator FROM sweeps") == BY
    with pytest.raises(AlreadyOrdered):
        await do(office, recover, order.order_id, **what)
    await office.run(
        "UPDATE sweep_items SET state = 'flushed', sent = 1, arrived = 1, tx_hash = '0x1', log_index = 0, block_number = 99"
    )
    with pytest.raises(NothingThere):
        await do(office, recover, order.order_id, **what)


async def test_an_unsupported_token_leaves_the_list_by_a_persons_word(office):
    order, other = await office.order(), await office.order()
    await stray(office, order, token=UNKNOWN)
    what = {"chain_id": 31337, "tx_hash": TX, "log_index": 3}
    with pytest.raises(NothingThere):
        await do(office, close_stray, other.order_id, **what)
    await do(office, close_stray, order.order_id, **what)
    assert await office.list() == []
    with pytest.raises(NothingThere):
        await do(office, close_stray, order.order_id, **what)


async def test_whoever_decides_first_decides_and_no_money_is_made_or_lost(office):
    order = await office.order()
    await office.pay(order)
    await office.pay(order, units=5_000_000, block=9)
    requote = await office.propose(order)

    async def one(number):
        with suppress(Refusal):
            if number % 3 == 0:
                await office.agree(order, requote)
            elif number % 3 == 1:
                await do(office, write_off, order.order_id, asset=USDC.code, cost="99")
            else:
                await do(office, take_back, order.order_id, asset=USDC.code)

    await asyncio.gather(*(one(number) for number in range(60)))
    books = {name: Money.parse(amount.lstrip("-"), USDC) for name, amount in (await office.books()).items()}
    chain = books.pop("chain:31337 USDC@31337")
    assert sum(money.units for money in books.values()) == chain.units == 15_000_000
    assert books["order:0:funds USDC@31337"] == Money(10_000_000, USDC)
    beside = {name: money.units for name, money in books.items() if not name.startswith("order:0:funds")}
    assert list(beside.values()) == [5_000_000]
