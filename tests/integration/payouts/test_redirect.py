"""Another way to a recipient who was refused: only then, only the account, and once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import psycopg.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.resume import FINAL_VANISHED
from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.ledger.freezes import AssetFrozen, FreezeKind, freeze_asset
from gateway.offramp import Outcome
from gateway.operators.accounts import add_operator
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.accept import Accepted
from gateway.orders.recipients import BadRecipient, GivenWay, MethodNotOffered, SameWayTwice
from gateway.orders.states import E, S
from gateway.orders.vanished import DepositVanished
from gateway.payouts.queries import order_view
from gateway.payouts.redirect import (
    TRACKER_MOST,
    Channel,
    NotNow,
    OrderNotFound,
    RecipientFixed,
    Redirect,
    Redirected,
    TooManyRedirects,
    redirect,
)
from gateway.payouts.views import OrderView
from tests.factories import NOW, USDC, make_orders
from tests.integration.api.desk import OFFER
from tests.integration.payouts.refused import attempt, fund, refuse, refused, step

FIRST, SECOND, THIRD = "+254712345678", "0722 000 111", "+254733111222"


def wish(order: Accepted, account: str = SECOND, **changes: object) -> Redirect:
    asked = Redirect(order_id=order.order_id, way=GivenWay("mobile_money", account), channel=Channel.TRACKER)
    return replace(asked, **changes)  # type: ignore[arg-type]


async def ask(engine: AsyncEngine, asked: Redirect) -> Redirected:
    async with transaction(engine) as connection:
        return await redirect(connection, wish=asked, offer=OFFER, now=NOW)


async def see(engine: AsyncEngine, order: Accepted) -> OrderView:
    async with transaction(engine) as connection:
        view = await order_view(connection, now=NOW, order_id=order.order_id)
    assert view is not None
    return view


async def rows(engine: AsyncEngine, sql: str) -> list[tuple[object, ...]]:
    async with transaction(engine) as connection:
        return [tuple(row) for row in await connection.execute(text(sql))]


@pytest.mark.parametrize("reason", ["recipient_refused", "returned"])
async def test_another_number_is_added_and_the_order_goes_on(engine: AsyncEngine, reason: str) -> None:
    order = await refused(engine, reason=reason)
    assert (await see(engine, order)).answerable
    done = await ask(engine, wish(order))
    assert done == Redirected(
        order_id=order.order_id, rank=1, method="mobile_money", account_masked="••••••••••111", replayed=False
    )
    view = await see(engine, order)
    assert (view.state, view.progress.reason, view.answerable) == (S.FUNDED, "redirected", False)
    assert view.recipient_account_masked == "••••••••••111"
    assert [(way.rank, way.given_later) for way in view.ways] == [(0, False), (1, True)]
    assert await rows(engine, "SELECT account FROM recipients") == [(FIRST,)]
    assert await rows(engine, "SELECT rank, method, account FROM recipient_ways") == [(1, "mobile_money", "+254722000111")]
    assert await rows(engine, "SELECT refused_rank, refused_masked, account_masked, by FROM order_redirects") == [
        (0, "••••••••••678", "••••••••••111", "tracker")
    ]
    assert await rows(engine, "SELECT due_at <= updated_at FROM orders") == [(True,)]


async def test_the_step_names_its_cause_and_the_sender_is_told(engine: AsyncEngine) -> None:
    order = await refused(engine)
    await ask(engine, wish(order))
    last = "SELECT event, cause, data FROM order_events ORDER BY version DESC LIMIT 1"
    assert await rows(engine, last) == [("hold_lifted", "redirect:1", {"way": 1, "by": "tracker"})]
    told = "SELECT payload FROM outbox WHERE kind = 'order.redirected'"
    assert await rows(engine, told) == [({"rank": 1},)]


async def test_no_number_leaves_the_tables_of_recipients(engine: AsyncEngine) -> None:
    order = await refused(engine)
    await ask(engine, wish(order))
    tables = await rows(engine, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        if table not in ("recipients", "recipient_ways"):
            kept = str(await rows(engine, f"SELECT t.*::text FROM {table} AS t"))
            assert "254722000111" not in kept
            assert "254712345678" not in kept


async def test_asked_again_it_is_the_same_answer_and_nothing_more(engine: AsyncEngine) -> None:
    order = await refused(engine)
    first = await ask(engine, wish(order))
    for again in (SECOND, "+254722000111"):
        assert await ask(engine, wish(order, again)) == replace(first, replayed=True)
    assert await rows(engine, "SELECT count(*) FROM order_redirects") == [(1,)]


async def test_of_two_at_once_one_wins_and_the_other_is_told(engine: AsyncEngine) -> None:
    order = await refused(engine)
    wishes = [wish(order, f"07220001{number:02}") for number in range(20)]
    answers = await asyncio.gather(*(ask(engine, one) for one in wishes), return_exceptions=True)
    assert [answer.rank for answer in answers if isinstance(answer, Redirected)] == [1]
    assert [type(answer) for answer in answers].count(RecipientFixed) == 19
    assert await rows(engine, "SELECT count(*) FROM recipient_ways") == [(1,)]


async def test_the_same_answer_many_times_at_once_is_taken_once(engine: AsyncEngine) -> None:
    order = await refused(engine)
    answers = await asyncio.gather(*(ask(engine, wish(order)) for _ in range(20)))
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 19
    assert {answer.rank for answer in answers} == {1}


STEPS = {
    S.AWAITING_DEPOSIT: (),
    S.FUNDED: (),
    S.PAYING: (E.DISPATCHED,),
    S.UNCERTAIN: (E.DISPATCHED, E.OUTCOME_UNKNOWN),
    S.PAID: (E.DISPATCHED, E.OUTCOME_PAID),
}


@pytest.mark.parametrize("state", STEPS)
async def test_a_recipient_is_fixed_while_the_money_is_elsewhere(engine: AsyncEngine, state: S) -> None:
    [order] = await make_orders(engine)
    if state is not S.AWAITING_DEPOSIT:
        await fund(engine, order)
    async with transaction(engine) as connection:
        for event in STEPS[state]:
            await step(connection, order.order_id, event, adapter="fake")
    with pytest.raises(RecipientFixed) as refusal:
        await ask(engine, wish(order))
    assert "Another account can be given only after the recipient's was refused." in str(refusal.value)
    assert (await see(engine, order)).state == state
    assert await rows(engine, "SELECT count(*) FROM recipient_ways") == [(0,)]


@pytest.mark.parametrize(
    "reason", ["late", "underpaid", "frozen", "by_hand", "rail_unavailable", "no_rail", "refund_failed"]
)
async def test_another_hold_is_no_question_to_the_recipient(engine: AsyncEngine, reason: str) -> None:
    order = await refused(engine, reason=reason)
    assert not (await see(engine, order)).answerable
    with pytest.raises(RecipientFixed):
        await ask(engine, wish(order))


async def test_a_hold_that_was_lifted_counts_no_longer(engine: AsyncEngine) -> None:
    order = await refused(engine)
    async with transaction(engine) as connection:
        await step(connection, order.order_id, E.HOLD_LIFTED)
        await step(connection, order.order_id, E.HOLD_PLACED, reason="frozen")
    with pytest.raises(RecipientFixed):
        await ask(engine, wish(order))


@pytest.mark.parametrize("account", [FIRST, "0712 345 678", "254712345678"])
async def test_the_account_that_was_refused_is_refused_however_it_is_written(engine: AsyncEngine, account: str) -> None:
    order = await refused(engine)
    with pytest.raises(SameWayTwice):
        await ask(engine, wish(order, account))
    assert (await see(engine, order)).state == S.HELD


async def test_each_refused_account_stays_refused(engine: AsyncEngine) -> None:
    order = await refused(engine)
    await ask(engine, wish(order))
    await refuse(engine, order.order_id, way=1)
    for account in (FIRST, SECOND):
        with pytest.raises(SameWayTwice):
            await ask(engine, wish(order, account))
    done = await ask(engine, wish(order, THIRD))
    assert done.rank == 2
    assert await rows(engine, "SELECT refused_masked FROM order_redirects WHERE rank = 2") == [("••••••••••111",)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"account": "+14155552671"}, BadRecipient),
        ({"account": "Wanjiku"}, BadRecipient),
        ({"account": ""}, BadRecipient),
        ({"method": "bank"}, MethodNotOffered),
        ({"method": "pigeon"}, MethodNotOffered),
    ],
)
async def test_the_promise_stays_the_same(engine: AsyncEngine, changes: dict[str, str], error: type[Refusal]) -> None:
    order = await refused(engine)
    with pytest.raises(error):
        await ask(engine, wish(order, way=GivenWay("mobile_money", SECOND)._replace(**changes)))
    assert (await see(engine, order)).state == S.HELD


async def test_an_amount_that_is_no_longer_offered_is_not_promised_anew(engine: AsyncEngine) -> None:
    order = await refused(engine, receive_units=124_950, rounding_units=0, margin_units=1250)
    with pytest.raises(MethodNotOffered):
        await ask(engine, wish(order))


async def test_the_link_may_try_five_times_and_a_partner_still_after(engine: AsyncEngine) -> None:
    order = await refused(engine)
    for number in range(TRACKER_MOST):
        await ask(engine, wish(order, f"072200010{number}"))
        await refuse(engine, order.order_id, way=number + 1)
    with pytest.raises(TooManyRedirects):
        await ask(engine, wish(order, THIRD))
    async with transaction(engine) as connection:
        await add_operator(connection, name="amina", password_hash="-", now=NOW)
    told = wish(order, THIRD, channel=Channel.OPERATOR, name="amina", reason="they called from the old number")
    assert (await ask(engine, told)).rank == TRACKER_MOST + 1


async def test_an_operator_says_who_they_are_and_why(engine: AsyncEngine) -> None:
    order = await refused(engine)
    told = wish(order, channel=Channel.OPERATOR, name="amina", reason="they called")
    with pytest.raises(Refusal):
        await ask(engine, told)
    async with transaction(engine) as connection:
        await add_operator(connection, name="amina", password_hash="-", now=NOW)
    with pytest.raises(Refusal):
        await ask(engine, replace(told, reason=" "))
    assert (await see(engine, order)).state == S.HELD
    await ask(engine, told)
    assert await rows(engine, "SELECT operator, action, subject, reason, detail ->> 'account' FROM operator_actions") == [
        ("amina", "payouts.redirect", order.order_id, "they called", "••••••••••111")
    ]
    assert await rows(engine, "SELECT by FROM order_redirects") == [("operator:amina",)]


async def test_a_partner_redirects_its_own_orders_only(engine: AsyncEngine) -> None:
    order = await refused(engine)
    for name in ("par_1", ""):
        with pytest.raises(OrderNotFound):
            await ask(engine, wish(order, channel=Channel.PARTNER, name=name))
    with pytest.raises(OrderNotFound):
        await ask(engine, replace(wish(order), order_id="ord_none"))


async def test_money_that_may_not_be_there_is_not_sent_elsewhere(engine: AsyncEngine) -> None:
    order = await refused(engine)
    async with transaction(engine) as connection:
        alarm = Alarm("deposit:gone", FINAL_VANISHED, order.order_id, {})
        await open_incidents(connection, alarms=[alarm], now=NOW)
    with pytest.raises(NotNow):
        await ask(engine, wish(order))
    with pytest.raises(DepositVanished):
        await ask(engine, wish(order, channel=Channel.OPERATOR, name="amina", reason="they called"))


async def test_a_frozen_coin_is_not_paid_out_elsewhere(engine: AsyncEngine) -> None:
    order = await refused(engine)
    async with transaction(engine) as connection:
        await freeze_asset(connection, asset=USDC.code, kind=next(iter(FreezeKind)), reason="a reason", now=NOW)
    with pytest.raises(NotNow):
        await ask(engine, wish(order))
    with pytest.raises(AssetFrozen):
        await ask(engine, wish(order, channel=Channel.OPERATOR, name="amina", reason="they called"))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE recipients SET account = '+254733111222'",
        "UPDATE recipient_ways SET account = '+254733111222'",
        "UPDATE order_redirects SET by = 'nobody'",
        "DELETE FROM order_redirects",
    ],
)
async def test_the_database_lets_nobody_edit_a_way_or_its_history(engine: AsyncEngine, sql: str) -> None:
    order = await refused(engine)
    await ask(engine, wish(order))
    with pytest.raises(DatabaseError) as refusal:
        await rows(engine, sql)
    assert isinstance(refusal.value.orig, psycopg.errors.RestrictViolation)


async def test_a_redirect_that_was_refused_again_asks_again(engine: AsyncEngine) -> None:
    order = await refused(engine)
    await ask(engine, wish(order))
    await refuse(engine, order.order_id, way=1)
    view = await see(engine, order)
    assert (view.progress.reason, view.answerable) == ("recipient_refused", True)
    assert view.recipient_account_masked == "••••••••••111"
    assert [(one.way, one.outcome) for one in view.attempts] == [(0, "failed"), (1, "failed")]


async def test_an_attempt_by_the_next_way_is_told_as_such(engine: AsyncEngine) -> None:
    order = await refused(engine)
    await ask(engine, wish(order))
    async with transaction(engine) as connection:
        await attempt(connection, order.order_id, "sending", way=1)
        await step(connection, order.order_id, E.DISPATCHED, adapter="fake")
    view = await see(engine, order)
    assert (view.progress.status, view.progress.reason) == ("in_transit", "another_way")
    assert "An earlier try did not work" in view.progress.sentence


async def test_money_that_came_back_and_waits_is_not_said_to_be_on_its_way(engine: AsyncEngine) -> None:
    [order] = await make_orders(engine)
    await fund(engine, order)
    async with transaction(engine) as connection:
        await attempt(connection, order.order_id, Outcome.RETURNED)
    view = await see(engine, order)
    assert (view.state, view.progress.status, view.progress.holder) == (S.FUNDED, "returned", "gateway")


async def test_an_economy_order_says_when_it_goes(engine: AsyncEngine) -> None:
    [order] = await make_orders(engine, speed="economy", drop_every_s=3600, now=NOW - timedelta(minutes=10))
    view = await see(engine, order)
    assert (view.speed, view.drop_at) == ("economy", NOW)
    await fund(engine, order)
    async with transaction(engine) as connection:
        before = await order_view(connection, now=NOW - timedelta(minutes=5), order_id=order.order_id)
        late = await order_view(connection, now=NOW + timedelta(minutes=5), order_id=order.order_id)
    assert before is not None
    assert late is not None
    assert "at 12:00 UTC on 22 November 2026" in before.progress.sentence
    assert (before.progress.reason, before.drop_at) == ("waits_for_drop", NOW)
    # Its drop was at noon: it is being sent, and doesn't wait for the next one.
    assert (late.progress.reason, late.drop_at) == ("funded", NOW)
