"""Legs are made one after the other, each once, and the attempt ends as they do."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.queries import balances
from gateway.legs import LegPlan, LegReport, leg_id
from gateway.offramp import Fault, NotSent, Outcome, OutsideLimits, Resend
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.sagas.step import step
from tests.factories import NOW, make_deposit, make_orders
from tests.integration.sagas.rail import PENDING, SELL, UNKNOWN, WITHDRAW, LegRail, Time


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def rail():
    return LegRail()


@pytest.fixture
def rails(rail):
    return Rails({"legs": rail})


async def funded(engine, number=1):
    orders = await make_orders(engine, number)
    for order in orders:
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    return orders


async def dispatched(engine, rails, clock, number=1):
    orders = await funded(engine, number)
    while await dispatch(engine, rails=rails, clock=clock):
        pass
    return orders


async def rows(engine, sql, **values):
    async with transaction(engine) as connection:
        result = await connection.execute(text(sql), values)
        return [tuple(row) for row in result] if result.returns_rows else []


async def legs(engine):
    return await rows(engine, "SELECT name, outcome FROM legs ORDER BY attempt_id, number")


async def attempts(engine):
    return [outcome for (outcome,) in await rows(engine, "SELECT outcome FROM attempts ORDER BY id")]


async def states(engine):
    return [state for (state,) in await rows(engine, "SELECT state FROM orders ORDER BY id")]


async def incidents(engine):
    return sorted(kind for (kind,) in await rows(engine, "SELECT kind FROM incidents"))


async def held(engine):
    async with transaction(engine) as connection:
        return {(name, money.asset.code): money.units for name, money in await balances(connection)}


async def drive(engine, rails, clock, rounds=8, **span):
    for _ in range(rounds):
        await step(engine, rails=rails, clock=clock)
        await poll(engine, rails=rails, clock=clock)
        clock.pass_(**(span or {"seconds": 30}))


async def test_an_order_is_paid_by_one_leg_after_the_other_and_each_is_booked(engine, rail, rails, clock):
    await dispatched(engine, rails, clock)
    assert (await attempts(engine), rail.sent) == (["pending"], [])
    await step(engine, rails=rails, clock=clock)
    assert await legs(engine) == [(SELL, "paid"), (WITHDRAW, "paid")]
    assert (await attempts(engine), await states(engine)) == (["paid"], ["paid"])
    [(attempt_id, ref, receipt)] = await rows(engine, "SELECT id, provider_ref, receipt FROM attempts")
    assert rail.sent == [leg_id(attempt_id, 1), leg_id(attempt_id, 2)]
    assert (ref, receipt) == (f"ref-{leg_id(attempt_id, 2)}", "CEP1")
    books = await held(engine)
    # 10 dollars went, and what they brought is at the rail but for what was withdrawn and all fees.
    assert books["rail:legs", "USD"] == 1000
    assert books["rail:legs", "KES"] == -(125_000 - 124_900 - 30)
    assert books["cost:rail_fees", "KES"] == -(50 + 30)


async def test_a_leg_knows_what_the_ones_before_it_brought(engine, rail, rails, clock):
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    sell, withdraw = rail.seen
    assert (dict(sell.done), sell.provider_ref) == ({}, None)
    assert withdraw.done[SELL].facts == {"order": sell.leg_id}
    assert withdraw.done[SELL].got is not None
    assert withdraw.payment.to.account == "+254712345678"


async def test_a_leg_that_is_pending_keeps_the_next_one_waiting(engine, rail, rails, clock):
    rail.answers = {SELL: [PENDING]}
    rail.tells = {SELL: [PENDING]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert await legs(engine) == [(SELL, "pending")]
    clock.pass_(seconds=10)
    await step(engine, rails=rails, clock=clock)
    assert await legs(engine) == [(SELL, "pending")]
    clock.pass_(seconds=10)
    await step(engine, rails=rails, clock=clock)
    assert await states(engine) == ["paid"]
    assert len(rail.sent) == 2


@pytest.mark.parametrize("name", [SELL, WITHDRAW])
async def test_a_lost_answer_is_asked_about_and_never_sent_again(engine, rail, rails, clock, name):
    rail.answers = {name: [TimeoutError("cut")]}
    rail.tells = {name: [UNKNOWN, UNKNOWN]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert (await attempts(engine), await states(engine)) == (["unknown"], ["uncertain"])
    rail.done.update(dict.fromkeys(rail.sent, True))
    await drive(engine, rails, clock)
    assert await states(engine) == ["paid"]
    assert len(rail.sent) == 2


async def test_a_leg_whose_doubles_are_dropped_is_sent_again_under_its_id(engine, rail, rails, clock):
    rail.plans = (LegPlan(name=SELL, resend=Resend.DEDUPED), LegPlan(name=WITHDRAW))
    rail.answers = {SELL: [TimeoutError("cut"), UNKNOWN]}
    await dispatched(engine, rails, clock)
    await drive(engine, rails, clock)
    assert await states(engine) == ["paid"]
    first, *again, last = rail.sent
    assert set(again) == {first} != {last}


async def test_a_blind_leg_of_which_nothing_is_known_is_a_persons_matter(engine, rail, rails, clock):
    rail.plans = (LegPlan(name=SELL, resend=Resend.BLIND), LegPlan(name=WITHDRAW))
    rail.answers = {SELL: [TimeoutError("cut")]}
    await dispatched(engine, rails, clock)
    await drive(engine, rails, clock, rounds=3)
    assert len(rail.sent) == 1
    assert "leg_blind_unknown" in await incidents(engine)


async def test_a_first_leg_that_fails_fails_the_attempt(engine, rail, rails, clock):
    rail.answers = {SELL: [LegReport(outcome=Outcome.FAILED, fault=Fault.FLOAT, reason="too few dollars")]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert (await attempts(engine), await states(engine)) == (["failed"], ["funded"])
    assert await rows(engine, "SELECT fault, reason FROM attempts") == [("float", "sell: too few dollars")]
    assert ("rail:legs", "USD") not in await held(engine)


async def test_a_later_leg_that_fails_fails_the_attempt_and_what_was_sold_stays_ours(engine, rail, rails, clock):
    rail.answers = {WITHDRAW: [LegReport(outcome=Outcome.FAILED, fault=Fault.RECIPIENT, reason="no such account")]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert await rows(engine, "SELECT outcome, fault FROM attempts") == [("failed", "recipient")]
    books = await held(engine)
    assert books["rail:legs", "USD"] == 1000
    assert books["rail:legs", "KES"] == -125_000


async def test_a_first_leg_that_was_not_sent_fails_at_once_and_a_later_one_is_tried_again(engine, rail, rails, clock):
    rail.answers = {WITHDRAW: [NotSent("no connection"), NotSent("no connection")]}
    await dispatched(engine, rails, clock)
    await drive(engine, rails, clock)
    assert await states(engine) == ["paid"]
    assert [each[-1] for each in rail.sent] == ["1", "2", "2", "2"]
    rail.answers = {SELL: [NotSent("no connection")]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert (await attempts(engine))[-1] == "failed"


async def test_a_later_leg_that_can_never_be_sent_is_given_up_when_a_payment_would_be_late(engine, rail, rails, clock):
    rail.answers = {WITHDRAW: [NotSent("no connection")] * 50}
    await dispatched(engine, rails, clock)
    await drive(engine, rails, clock, rounds=12, minutes=1)
    assert (await attempts(engine))[0] == "failed"


async def test_a_refusal_of_our_account_is_not_tried_again(engine, rail, rails, clock):
    rail.answers = {WITHDRAW: [NotSent("locked", fault=Fault.RAIL)]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert await rows(engine, "SELECT outcome, fault FROM attempts") == [("failed", "rail")]


async def test_what_is_outside_the_limits_fails_before_anything(engine, rail, rails, clock):
    rail.answers = {SELL: [OutsideLimits("too much")]}
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert (await attempts(engine), rail.done) == (["failed"], {})


async def test_a_doorbell_makes_the_leg_asked_about_at_once(engine, rail, rails, clock):
    rail.answers = {WITHDRAW: [PENDING]}
    rail.tells = {WITHDRAW: [PENDING] * 6}
    await dispatched(engine, rails, clock)
    await drive(engine, rails, clock, rounds=7, minutes=10)
    asked = len(rail.asked)
    await step(engine, rails=rails, clock=clock)
    assert len(rail.asked) == asked or await states(engine) == ["paid"]
    await rows(engine, "UPDATE attempts SET due_at = :now", now=clock())
    await step(engine, rails=rails, clock=clock)
    assert await states(engine) == ["paid"]


async def test_a_payment_that_comes_back_is_watched_for_and_returned(engine, rail, rails, clock):
    rail.facts = {"returns_within": rail.capabilities.resend_within}
    back = LegReport(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="account closed")
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert await states(engine) == ["paid"]
    rail.tells = {WITHDRAW: [back]}
    clock.pass_(hours=2)
    await step(engine, rails=rails, clock=clock)
    assert (await attempts(engine))[0] == "returned"
    assert (await legs(engine))[:2] == [(SELL, "paid"), (WITHDRAW, "returned")]


@pytest.mark.parametrize(
    "answer",
    [
        "paid",
        None,
        LegReport(outcome=Outcome.PAID, provider_ref="r"),
        LegReport(outcome=Outcome.UNKNOWN, facts={"n": 1}),  # type: ignore[dict-item]
    ],
)
async def test_an_answer_that_is_none_says_nothing_of_the_money(engine, rail, rails, clock, answer):
    async def bad(leg):
        rail.sent.append(leg.leg_id)
        return answer

    rail.plans = (LegPlan(name=WITHDRAW),)
    rail.pay_leg = bad
    await dispatched(engine, rails, clock)
    await step(engine, rails=rails, clock=clock)
    assert await attempts(engine) == ["unknown"]


async def test_many_payments_are_driven_at_once_and_each_leg_is_sent_once(engine, rail, rails, clock):
    await dispatched(engine, rails, clock, number=12)
    await drive(engine, rails, clock, rounds=3)
    assert set(await states(engine)) == {"paid"}
    assert len(rail.sent) == len(set(rail.sent)) == 24
