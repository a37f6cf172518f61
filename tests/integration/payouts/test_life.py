"""An order's way through dispatch, polling and callbacks, on the real database with an adapter whose answers are set."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.offramp import Asked, Fault, NotSent, Outcome, Report, Resend
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.poll import poll
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from tests.factories import KES, NOW, PENDING, UNKNOWN, FakeRail, failed, make_deposit, make_orders, paid


class Time:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def pass_(self, **span):
        self.now += timedelta(**span)


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def rail():
    return FakeRail()


@pytest.fixture
def rails(rail):
    return Rails({"fake": rail})


async def funded(engine, number=1):
    orders = await make_orders(engine, number)
    for order in orders:
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    return orders


async def status(engine, order):
    async with transaction(engine) as connection:
        view = await order_view(connection, now=NOW, order_id=order.order_id)
    return str(view.progress.status), view.state


async def scalar(engine, sql):
    async with transaction(engine) as connection:
        return (await connection.execute(text(sql))).scalar()


async def test_paid_at_once_is_delivered_and_adds_up(engine, rails, clock):
    [order] = await funded(engine)
    assert await dispatch(engine, rails=rails, clock=clock) == 1
    assert await dispatch(engine, rails=rails, clock=clock) == 0
    assert await status(engine, order) == ("delivered", "paid")
    async with transaction(engine) as connection:
        books = {account: money.decimal() for account, money in await balances(connection) if money.asset == KES}
    assert books == {
        "exchange": "-1292.00",
        "rail:fake": "1249.00",
        "revenue:fx_margin": "12.92",
        "revenue:service_fee": "30.00",
        "rounding": "0.08",
    }
    assert await scalar(engine, "SELECT count(*) FROM balances WHERE units <> 0") == 0
    assert (
        await scalar(engine, "SELECT count(*) FROM outbox") == await scalar(engine, "SELECT count(*) FROM order_events") + 1
    )


async def test_an_attempt_is_committed_before_it_is_sent(engine, rails, rail, clock):
    await funded(engine)

    async def pay(instruction):
        seen = await scalar(engine, f"SELECT outcome FROM attempts WHERE id = '{instruction.attempt_id}'")
        assert seen == "sending"
        return PENDING

    rail.pay = pay
    await dispatch(engine, rails=rails, clock=clock)
    assert await scalar(engine, "SELECT outcome FROM attempts") == "pending"


async def test_pending_is_asked_about_until_it_is_paid(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers, rail.statuses = [PENDING], [PENDING]
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("in_transit", "paying")
    assert await poll(engine, rails=rails, clock=clock) == 0
    clock.pass_(seconds=3)
    assert await poll(engine, rails=rails, clock=clock) == 1
    clock.pass_(seconds=10)
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await status(engine, order) == ("delivered", "paid")
    assert len([call for call in rail.calls if call.startswith("pay")]) == 1


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), RuntimeError("a bug"), KeyError("status")])
async def test_a_lost_answer_is_investigated_and_paid_once(engine, rails, rail, clock, error):
    [order] = await funded(engine)
    rail.answers = [error]
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("investigating", "uncertain")
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("delivered", "paid")


async def test_unknown_never_lets_a_second_attempt_start(engine, rail, clock):
    other = FakeRail(name="other")
    rails = Rails({"fake": rail, "other": other})
    [order] = await funded(engine)
    rail.answers, rail.statuses = [UNKNOWN], [UNKNOWN] * 50
    rail.resend = Resend.BLIND
    await dispatch(engine, rails=rails, clock=clock)
    for _ in range(10):
        clock.pass_(minutes=10)
        await poll(engine, rails=rails, clock=clock)
        assert await dispatch(engine, rails=rails, clock=clock) == 0
    assert await status(engine, order) == ("investigating", "uncertain")
    assert other.calls == []
    assert len([call for call in rail.calls if call.startswith("pay")]) == 1
    assert await scalar(engine, "SELECT kind FROM incidents") == "payout_blind_unknown"


async def test_a_question_that_fails_changes_nothing(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers, rail.statuses = [PENDING], [ConnectionError()]
    await dispatch(engine, rails=rails, clock=clock)
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("in_transit", "paying")


async def test_one_worker_asks_at_a_time(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [PENDING]
    await dispatch(engine, rails=rails, clock=clock)
    clock.pass_(seconds=3)
    others = []

    async def status_(_attempt):
        others.append(await poll(engine, rails=rails, clock=clock))
        return PENDING

    rail.status = status_
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert others == [0]
    assert await status(engine, order) == ("in_transit", "paying")


async def test_a_worker_whose_lease_is_too_short_does_not_send(engine, rails, rail, clock, monkeypatch):
    [order] = await funded(engine)
    monkeypatch.setattr("gateway.payouts.pace.MARGIN", -timedelta(seconds=1))
    await dispatch(engine, rails=rails, clock=clock)
    assert rail.calls == []
    assert await status(engine, order) == ("funded", "funded")
    monkeypatch.undo()
    clock.pass_(minutes=1)
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("delivered", "paid")


async def test_a_worker_that_died_before_sending_is_made_up_for(engine, rails, rail, clock, monkeypatch):
    [order] = await funded(engine)

    async def die(*_, **__):
        raise asyncio.CancelledError
        yield

    with monkeypatch.context() as patch:
        patch.setattr("gateway.payouts.dispatch.send_all", die)
        with pytest.raises(asyncio.CancelledError):
            await dispatch(engine, rails=rails, clock=clock)
    assert rail.calls == []
    assert await poll(engine, rails=rails, clock=clock) == 0  # the lease still runs
    clock.pass_(seconds=11)
    assert await poll(engine, rails=rails, clock=clock) == 1
    assert await status(engine, order) == ("delivered", "paid")
    assert len(rail.paid) == 1


async def test_a_rail_that_does_not_dedupe_is_never_sent_to_again(engine, rails, rail, clock):
    rail.resend = Resend.FINDABLE
    [order] = await funded(engine)
    rail.answers, rail.statuses = [UNKNOWN], [UNKNOWN, UNKNOWN, UNKNOWN]
    await dispatch(engine, rails=rails, clock=clock)
    for _ in range(4):
        clock.pass_(minutes=10)
        await poll(engine, rails=rails, clock=clock)
    assert len([call for call in rail.calls if call.startswith("pay")]) == 1
    assert await status(engine, order) == ("delivered", "paid")


async def test_the_same_id_is_sent_again_only_while_the_rail_remembers_it(engine, rails, rail, clock):
    await funded(engine)
    rail.answers, rail.statuses = [UNKNOWN, UNKNOWN], [UNKNOWN] * 50
    await dispatch(engine, rails=rails, clock=clock)
    for _ in range(2):
        clock.pass_(minutes=10)
        await poll(engine, rails=rails, clock=clock)
    assert [call.split()[0] for call in rail.calls] == ["pay", "status", "pay"]
    assert len({call.split()[1] for call in rail.calls}) == 1
    clock.pass_(hours=25)
    for _ in range(4):
        clock.pass_(minutes=10)
        await poll(engine, rails=rails, clock=clock)
    assert len([call for call in rail.calls if call.startswith("pay")]) == 2


async def test_not_sent_again_proves_nothing_about_the_first_sending(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers, rail.statuses = [UNKNOWN, NotSent("connection refused")], [UNKNOWN]
    await dispatch(engine, rails=rails, clock=clock)
    for _ in range(2):
        clock.pass_(minutes=10)
        await poll(engine, rails=rails, clock=clock)
    assert (await status(engine, order))[1] == "uncertain"


async def test_not_sent_is_tried_again_later_under_a_new_id(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [NotSent("connection refused")]
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("funded", "funded")
    assert await dispatch(engine, rails=rails, clock=clock) == 0
    clock.pass_(seconds=6)
    assert await dispatch(engine, rails=rails, clock=clock) == 1
    assert await status(engine, order) == ("delivered", "paid")
    assert len({call.split()[1] for call in rail.calls}) == 2


async def test_a_refused_recipient_holds_the_order_and_its_money(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [failed()]
    await dispatch(engine, rails=rails, clock=clock)
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("needs_info", "held")
    assert await scalar(engine, "SELECT units FROM balances WHERE account LIKE '%funds'") == 10_000_000
    assert len(rail.calls) == 1


async def test_a_proven_failure_changes_the_carrier(engine, rail, clock):
    other = FakeRail(name="other")
    [order] = await funded(engine)
    rail.answers = [failed(Fault.RAIL)]
    rails = Rails({"fake": rail, "other": other})
    await dispatch(engine, rails=rails, clock=clock)
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("delivered", "paid")
    assert len(other.calls) == 1


async def test_a_rail_that_stays_away_alarms_a_person_and_is_tried_for_a_day(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [NotSent("down")] * 200
    for _ in range(6):
        await dispatch(engine, rails=rails, clock=clock)
        clock.pass_(minutes=11)
    async with transaction(engine) as connection:
        view = await order_view(connection, now=NOW, order_id=order.order_id)
    assert (view.state, view.progress.reason) == ("funded", "rail_delayed")
    assert await scalar(engine, "SELECT count(*) FROM incidents WHERE kind = 'payout_delayed'") == 0
    for _ in range(150):
        await dispatch(engine, rails=rails, clock=clock)
        clock.pass_(minutes=11)
    assert await scalar(engine, "SELECT count(*) FROM incidents WHERE kind = 'payout_delayed'") == 1
    assert await status(engine, order) == ("on_hold", "held")
    assert len(rail.calls) == 150


async def test_another_amount_than_ordered_is_no_payment(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [paid("x", Money(60_000, KES))]
    rail.statuses = [paid("x", Money(60_000, KES))] * 3
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("investigating", "uncertain")
    assert await scalar(engine, "SELECT kind FROM incidents") == "paid_other_amount"


async def news(engine, report, clock):
    async with transaction(engine) as connection:
        attempt = (await connection.execute(text("SELECT id FROM attempts ORDER BY id LIMIT 1"))).scalar_one()
        return await record(connection, news=[News(attempt_id=attempt, report=report)], now=clock())


async def test_paid_then_returned_takes_the_money_back_and_does_not_pay_again(engine, rails, rail, clock):
    [order] = await funded(engine)
    await dispatch(engine, rails=rails, clock=clock)
    back = Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="account closed")
    assert await news(engine, back, clock) == 1
    assert await news(engine, back, clock) == 0
    await dispatch(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("returned", "held")
    async with transaction(engine) as connection:
        books = {account.split(":")[-1]: money.decimal() for account, money in await balances(connection)}
    assert books == {"31337": "-10.000000", "funds": "10.000000"}
    assert len(rail.calls) == 1


async def test_success_after_failure_opens_an_incident_and_counts(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [failed()]
    await dispatch(engine, rails=rails, clock=clock)
    await news(engine, paid("x", Money(124_900, KES)), clock)
    await news(engine, paid("x", Money(124_900, KES)), clock)
    assert await scalar(engine, "SELECT string_agg(kind, ',') FROM incidents") == "paid_after_failed"
    assert await status(engine, order) == ("delivered", "paid")
    clock.pass_(hours=1)
    assert await dispatch(engine, rails=rails, clock=clock) == 0
    assert len(rail.calls) == 1


async def test_news_under_an_old_lease_is_left_out(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers = [PENDING]
    await dispatch(engine, rails=rails, clock=clock)
    async with transaction(engine) as connection:
        attempt = (await connection.execute(text("SELECT id, lease_token FROM attempts"))).one()
        old = News(attempt_id=attempt.id, report=failed(), lease=attempt.lease_token - 1)
        assert await record(connection, news=[old], now=clock()) == 0
    assert await status(engine, order) == ("in_transit", "paying")


async def test_a_question_answered_by_callback_waits_for_it(engine, rails, rail, clock):
    [order] = await funded(engine)
    rail.answers, rail.statuses = [PENDING], [Asked(question="AG_2")]
    await dispatch(engine, rails=rails, clock=clock)
    clock.pass_(seconds=3)
    await poll(engine, rails=rails, clock=clock)
    assert await status(engine, order) == ("in_transit", "paying")
    assert await poll(engine, rails=rails, clock=clock) == 0


async def test_two_workers_at_once_pay_each_order_once(engine, rails, rail, clock):
    orders = await funded(engine, 60)
    await asyncio.gather(*(dispatch(engine, rails=rails, clock=clock) for _ in range(4)))
    while await dispatch(engine, rails=rails, clock=clock):
        pass
    assert {await status(engine, order) for order in orders} == {("delivered", "paid")}
    assert len(rail.calls) == 60
