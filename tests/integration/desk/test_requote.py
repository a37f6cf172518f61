"""A new price for money that the order's own doesn't fit: offered by a person, agreed to by the sender, once and in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.db.session import transaction
from gateway.desk.errors import (
    ConsentUnproven,
    NothingThere,
    NotTaken,
    OrderChanged,
    RequoteExpired,
    RequoteNotFound,
    RequoteReplaced,
)
from gateway.desk.requote import Channel, Consent, open_requote
from gateway.ledger.freezes import AssetFrozen, FreezeKind, freeze_asset
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Money
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.orders.accept import Acceptance, QuoteUsed, accept_quote
from gateway.orders.recipients import Recipient
from gateway.payouts.dispatch import dispatch
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from gateway.pricing.breakdown import BelowMinimum
from gateway.pricing.offer import Economy, Speed
from gateway.refunds.errors import OrderNotFound
from tests.factories import FACTORIES, NOW, USDC, USDT, FakeRail
from tests.integration.desk.office import LATE, OTHER_CHAIN, TTL, offer

PERSON = Recipient(name="Wanjiku Kamau", account="+254712345678")


async def view(office, order_id):
    async with transaction(office.engine) as connection:
        return await order_view(connection, now=office.now, order_id=order_id)


async def standing(office, order):
    async with transaction(office.engine) as connection:
        return await open_requote(connection, order_id=order.order_id, offer=office.offer, now=office.now)


async def test_late_money_is_paid_out_at_the_new_price_and_at_no_other(office):
    order = await office.late()
    requote = await office.propose(order, offer=offer(fee=Money(5_000, office.offer.corridors[*KEY].currency)))
    assert (await office.agree(order, requote)) == (order.order_id, False)
    seen = await view(office, order.order_id)
    assert (seen.state, seen.quote_id, seen.send, seen.receive) == (
        "funded",
        requote.quote.id,
        USDC_10,
        requote.quote.receive,
    )
    rail = FakeRail()
    assert await dispatch(office.engine, rails=Rails({"fake": rail}), clock=lambda: office.now) == 1
    assert list(rail.paid.values()) == [requote.quote.receive] != [Money(124_900, requote.quote.receive.asset)]
    assert (await office.books())["revenue:service_fee KES"] == "50.00"


KEY = ("KE", "KES", "mobile_money")
USDC_10 = Money(10_000_000, USDC)


async def test_what_was_to_wait_for_a_drop_waits_for_one_again_while_there_are_any(office):
    currency = office.offer.corridors[*KEY].currency
    drops = offer(economy=Economy(every=timedelta(hours=1), fee=Money(500, currency)))
    order = await office.late(speed="economy", drop_every_s=3600)
    assert (await office.propose(order, offer=drops)).quote.speed is Speed.ECONOMY
    assert (await office.propose(order)).quote.speed is Speed.STANDARD
    plain = await office.late()
    assert (await office.propose(plain, offer=drops)).quote.speed is Speed.STANDARD


async def test_an_underpaid_order_goes_on_with_what_arrived_all_of_it(office):
    order = await office.order()
    await office.pay(order, units=6_000_000)
    await office.pay(order, units=1_500_000, at=LATE, block=8)
    requote = await office.propose(order)
    assert (requote.quote.send, requote.makes_order) == (Money(7_500_000, USDC), False)
    await office.agree(order, requote)
    assert await office.books() == {"chain:31337 USDC@31337": "-7.500000", "order:0:funds USDC@31337": "7.500000"}
    seen = await view(office, order.order_id)
    assert (seen.state, seen.received, seen.send) == ("funded", Money(7_500_000, USDC), Money(7_500_000, USDC))


async def test_a_hundred_agreements_at_once_are_one(office):
    order = await office.late()
    await office.pay(order, units=2_000_000, block=9)
    requote = await office.propose(order)
    agreed = await asyncio.gather(*(office.agree(order, requote) for _ in range(100)))
    assert {one.order_id for one in agreed} == {order.order_id}
    assert [one.replayed for one in agreed].count(False) == 1
    assert await office.one("SELECT count(*) FROM order_events WHERE event = 'hold_lifted'") == 1
    assert (await office.books())["order:0:funds USDC@31337"] == "12.000000"


async def test_a_hundred_agreements_at_once_make_one_new_order(office):
    order = await office.order()
    await office.pay(order)
    await office.pay(order, units=5_000_000, block=9)
    requote = await office.propose(order)
    agreed = await asyncio.gather(*(office.agree(order, requote) for _ in range(100)))
    assert len({one.order_id for one in agreed} - {order.order_id}) == 1
    assert await office.one("SELECT count(*) FROM orders") == 2
    assert await office.books() == {
        "chain:31337 USDC@31337": "-15.000000",
        "order:0:funds USDC@31337": "10.000000",
        "order:1:funds USDC@31337": "5.000000",
    }


@pytest.mark.parametrize("until", ["funded", "expired", "paid"])
async def test_money_beside_any_other_order_becomes_a_new_order_for_the_same_person(office, until):
    order = await office.order(partner="ptn_1")
    kept = {"address": "0x5FbDB2315678afecb367f032d93F642f64180aa3", "details": '{"a": "b"}'}
    await office.run("UPDATE orders SET reference = 'r1', refund_address = :address, details = :details", **kept)
    if until == "expired":
        await office.run("UPDATE orders SET state = 'expired'")
        await office.pay(order, units=5_000_000, asset=USDT)
    else:
        await office.pay(order)
        await office.pay(order, units=5_000_000, asset=USDT, block=9)
        await office.run("UPDATE orders SET state = :state", state=until)
    requote = await office.propose(order, asset=USDT.code)
    assert requote.makes_order
    new, _ = await office.agree(order, requote, Consent(channel=Channel.PARTNER, name="ptn_1"))
    assert new != order.order_id
    assert (await office.state(order.order_id), await office.state(new)) == (until, "funded")
    columns = "o.partner_id, o.reference, o.refund_address, o.details, r.name, r.account"
    both = await office.run(f"SELECT {columns} FROM orders AS o JOIN recipients AS r ON r.order_id = o.id")
    assert both[0] == both[1]
    assert await office.one("SELECT new_order_id FROM requotes") == new
    credit = await office.one("SELECT data ->> 'from_order' FROM order_events WHERE order_id = :id", id=new)
    assert credit == order.order_id
    seen = await view(office, new)
    assert (seen.received, seen.send, seen.quote_id) == (Money(5_000_000, USDT), Money(5_000_000, USDT), requote.quote.id)


async def test_the_newest_offer_counts(office):
    order = await office.late()
    older, newer = await office.propose(order), await office.propose(order)
    assert (await standing(office, order)).id == newer.id
    with pytest.raises(RequoteReplaced):
        await office.agree(order, older)
    await office.agree(order, newer)
    with pytest.raises(RequoteReplaced):
        await office.agree(order, older)
    assert (await office.agree(order, newer)).replayed
    assert await standing(office, order) is None


async def test_an_offer_ends_with_its_time(office):
    order = await office.late()
    requote = await office.propose(order)
    office.now = LATE + TTL
    assert await standing(office, order) is None
    with pytest.raises(RequoteExpired):
        await office.agree(order, requote)
    assert await office.state(order.order_id) == "held"
    longer = await office.propose(order, holds_for=timedelta(hours=3))
    office.now += timedelta(hours=3) - timedelta(microseconds=1)
    await office.agree(order, longer)


async def test_nobody_agrees_for_an_order_that_has_gone_on(office):
    order = await office.order()
    await office.pay(order, units=6_000_000)
    requote = await office.propose(order)
    await office.pay(order, units=4_000_000, block=8)
    assert await office.state(order.order_id) == "funded"
    assert await standing(office, order) is None
    with pytest.raises(OrderChanged):
        await office.agree(order, requote)
    assert (await view(office, order.order_id)).receive == Money(124_900, requote.quote.receive.asset)


async def test_a_hold_that_was_lifted_and_placed_again_is_another(office):
    order = await office.late()
    requote = await office.propose(order)
    await office.run("UPDATE orders SET version = version + 2")
    with pytest.raises(OrderChanged):
        await office.agree(order, requote)


async def test_more_money_beside_does_not_spoil_an_offer_but_less_does(office):
    order = await office.late()
    await office.pay(order, units=3_000_000, block=8)
    requote = await office.propose(order)
    await office.pay(order, units=9_000, block=9)
    assert (await standing(office, order)).id == requote.id
    async with transaction(office.engine) as connection:
        gone = Transfer(f"order:{order.order_id}:unallocated", "wallet:31337", Money(10_000, USDC))
        await post(connection, entries=[Entry("gone", "test", (gone,), order.order_id)], now=NOW)
    with pytest.raises(OrderChanged):
        await office.agree(order, requote)


async def test_a_part_that_came_in_time_after_the_offer_is_not_left_behind(office):
    order = await office.order()
    await office.pay(order, units=6_000_000)
    requote = await office.propose(order)
    await office.pay(order, units=1_000_000, block=8)
    with pytest.raises(OrderChanged):
        await office.agree(order, requote)
    assert (await office.propose(order)).quote.send == Money(7_000_000, USDC)


async def test_neither_price_makes_a_second_order(office):
    order = await office.order()
    await office.pay(order, units=6_000_000)
    old = (await view(office, order.order_id)).quote_id
    office.now = NOW
    requote = await office.propose(order)
    await office.agree(order, requote)
    for quote_id in (old, requote.quote.id):
        acceptance = Acceptance(quote_id=quote_id, partner_id=None, recipient=PERSON)
        with pytest.raises(QuoteUsed):
            async with transaction(office.engine) as connection:
                await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=NOW)


async def test_a_price_that_somebody_else_used_up_is_gone(office):
    order = await office.late()
    requote = await office.propose(order)
    acceptance = Acceptance(quote_id=requote.quote.id, partner_id=None, recipient=PERSON)
    async with transaction(office.engine) as connection:
        await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=office.now)
    with pytest.raises(QuoteUsed):
        await office.agree(order, requote)


async def test_an_offer_needs_money_a_price_a_person_and_a_reason(office):
    order = await office.order()
    with pytest.raises(NothingThere):
        await office.propose(order)
    late = await office.late()
    for change, refusal in (
        ({"operator": "nobody"}, UnknownOperator),
        ({"reason": " "}, ReasonMissing),
        ({"asset": USDT.code}, NothingThere),
    ):
        with pytest.raises(refusal):
            await office.propose(late, **change)
    async with transaction(office.engine) as connection:
        await register_assets(connection, assets=[OTHER_CHAIN])
    await office.pay(late, asset=OTHER_CHAIN, block=9)
    with pytest.raises(NotTaken):
        await office.propose(late, asset=OTHER_CHAIN.code)
    tiny = await office.late(units=20_000)
    with pytest.raises(BelowMinimum):
        await office.propose(tiny)
    assert await office.one("SELECT count(*) FROM requotes") == 0


async def test_an_operators_word_for_the_sender_needs_evidence(office):
    order = await office.late()
    requote = await office.propose(order)
    with pytest.raises(ConsentUnproven):
        await office.agree(order, requote, Consent(channel=Channel.OPERATOR, name="wanjiku", evidence=" "))
    with pytest.raises(UnknownOperator):
        await office.agree(order, requote, Consent(channel=Channel.OPERATOR, name="nobody", evidence="call"))
    await office.agree(order, requote, Consent(channel=Channel.OPERATOR, name="wanjiku", evidence="call of 14:05"))
    [kept] = await office.run("SELECT consent_by, consent_evidence FROM requotes")
    assert tuple(kept) == ("operator:wanjiku", "call of 14:05")
    assert await office.one("SELECT reason FROM operator_actions WHERE action = 'deposits.accept'") == "call of 14:05"


async def test_an_offer_is_its_own_orders_and_its_own_partners(office):
    order, other = await office.late(), await office.late()
    await office.run("INSERT INTO partners VALUES ('ptn_1', 'a', :now), ('ptn_2', 'b', :now)", now=NOW)
    await office.run("UPDATE orders SET partner_id = 'ptn_1' WHERE id = :id", id=order.order_id)
    requote = await office.propose(order)
    for who, consent in (
        (other, Consent(channel=Channel.TRACKER)),
        (order, Consent(channel=Channel.PARTNER, name="ptn_2")),
    ):
        with pytest.raises(RequoteNotFound):
            await office.agree(who, requote, consent)
    order_id = other.order_id
    with pytest.raises(OrderNotFound):
        await office.agree(type(other)(order_id=order_id + "x", tracking_token=""), requote)
    assert await office.state(order.order_id) == "held"


async def test_a_frozen_coin_gets_no_price_and_no_consent(office):
    order = await office.late()
    requote = await office.propose(order)
    async with transaction(office.engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=FreezeKind.PAUSED, reason="paused", now=NOW)
    with pytest.raises(AssetFrozen):
        await office.agree(order, requote)
    with pytest.raises(AssetFrozen):
        await office.propose(order)


async def test_an_offer_is_news_for_the_partner(office):
    order = await office.late()
    requote = await office.propose(order)
    kinds = await office.run(
        "SELECT kind, payload FROM outbox WHERE order_id = :id ORDER BY id DESC LIMIT 1", id=order.order_id
    )
    assert [tuple(row) for row in kinds] == [("order.requote_offered", {"requote": requote.id})]


async def test_the_database_keeps_an_offer_to_one_quote(office):
    order = await office.late()
    await office.propose(order)
    with pytest.raises(IntegrityError):
        await office.run(
            "INSERT INTO requotes (id, order_id, quote_id, offered_by, offered_at) "
            "SELECT 'x', order_id, quote_id, offered_by, offered_at FROM requotes"
        )
