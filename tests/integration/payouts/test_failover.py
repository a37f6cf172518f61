"""A recipient's ways, one after the other, through the real dispatch: only after a proven failure, and honestly told."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.offramp import Fault, Instruction, Method, Outcome, Report
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.advance import Move, advance
from gateway.orders.recipients import GivenWay, Recipient, Way
from gateway.orders.states import E
from gateway.payouts.dispatch import dispatch
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.redirect import Channel, Redirect, redirect
from gateway.payouts.views import OrderView
from gateway.pricing.models import Quote
from tests.factories import FACTORIES, KES, NOW, UNKNOWN, USDC, FakeRail, failed, quote_row
from tests.integration.api.desk import OFFER
from tests.integration.payouts.refused import fund

FIRST, SECOND, THIRD = "+254712345678", "+254722000111", "+254733111222"


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


class Phones(FakeRail):
    """A rail that remembers whom it was told to pay, and refuses numbers that aren't registered."""

    def __init__(self, name: str = "fake", *, refuses: tuple[str, ...] = (), fault: Fault = Fault.RECIPIENT) -> None:
        super().__init__(name=name)
        self.refuses, self.fault = refuses, fault
        self.told: list[str] = []

    async def pay(self, instruction: Instruction) -> Report:
        self.told.append(instruction.to.account)
        if instruction.to.account in self.refuses:
            return failed(self.fault)
        return await super().pay(instruction)


async def ordered(engine: AsyncEngine, *others: str, **quote: object) -> Accepted:
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, KES])
        row = quote_row() | quote
        await connection.execute(insert(Quote).values(row))
        acceptance = Acceptance(
            quote_id=str(row["id"]),
            partner_id=None,
            recipient=Recipient(name="Wanjiku Kamau", account=FIRST),
            ways=tuple(Way(method=Method.MOBILE_MONEY, account=account) for account in others),
        )
        order = await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=NOW)
    return await fund(engine, order)


async def see(engine: AsyncEngine, order: Accepted, clock: Time) -> OrderView:
    async with transaction(engine) as connection:
        view = await order_view(connection, now=clock(), order_id=order.order_id)
    assert view is not None
    return view


async def run(engine: AsyncEngine, rails: Rails, clock: Time, drops: dict[str, timedelta] | None = None) -> None:
    while await dispatch(engine, rails=rails, clock=clock, drops=drops):
        pass


@pytest.fixture
def clock() -> Time:
    return Time()


async def test_the_next_number_is_paid_when_the_first_is_refused(engine: AsyncEngine, clock: Time) -> None:
    rail = Phones(refuses=(FIRST,))
    order = await ordered(engine, SECOND, THIRD)
    await run(engine, Rails({"fake": rail}), clock)
    assert rail.told == [FIRST, SECOND]
    view = await see(engine, order, clock)
    assert (view.state, view.recipient_account_masked) == ("paid", "••••••••••111")
    assert [(one.way, one.outcome, one.counts) for one in view.attempts] == [(0, "failed", False), (1, "paid", True)]


async def test_nobody_is_asked_while_the_outcome_is_unknown(engine: AsyncEngine, clock: Time) -> None:
    rail, other = Phones(), Phones("other")
    rail.answers.append(UNKNOWN)
    rails = Rails({"fake": rail, "other": other})
    order = await ordered(engine, SECOND)
    await run(engine, rails, clock)
    clock.pass_(hours=1)
    await run(engine, rails, clock)
    assert (rail.told, other.told) == ([FIRST], [])
    assert (await see(engine, order, clock)).progress.status == "investigating"


async def test_when_all_are_refused_it_is_a_question_and_the_answer_is_paid(engine: AsyncEngine, clock: Time) -> None:
    rail = Phones(refuses=(FIRST, SECOND))
    rails = Rails({"fake": rail})
    order = await ordered(engine, SECOND)
    await run(engine, rails, clock)
    assert rail.told == [FIRST, SECOND]
    asked = await see(engine, order, clock)
    assert (asked.progress.status, asked.progress.reason, asked.answerable) == ("needs_info", "recipient_refused", True)
    wish = Redirect(order_id=order.order_id, way=GivenWay("mobile_money", THIRD), channel=Channel.TRACKER)
    async with transaction(engine) as connection:
        await redirect(connection, wish=wish, offer=OFFER, now=clock())
    await run(engine, rails, clock)
    assert rail.told == [FIRST, SECOND, THIRD]
    assert (await see(engine, order, clock)).state == "paid"


async def test_a_wrong_number_is_not_tried_by_another_rail(engine: AsyncEngine, clock: Time) -> None:
    rail, other = Phones(refuses=(FIRST,)), Phones("other")
    order = await ordered(engine)
    await run(engine, Rails({"fake": rail, "other": other}), clock)
    assert (rail.told, other.told) == ([FIRST], [])
    assert (await see(engine, order, clock)).answerable


async def test_a_broken_rail_leaves_the_number_to_another(engine: AsyncEngine, clock: Time) -> None:
    rail, other = Phones(refuses=(FIRST,), fault=Fault.RAIL), Phones("other")
    order = await ordered(engine, SECOND)
    await run(engine, Rails({"fake": rail, "other": other}), clock)
    assert (rail.told, other.told) == ([FIRST], [FIRST])
    assert (await see(engine, order, clock)).progress.status == "delivered"


@pytest.mark.parametrize(("others", "told"), [((), [FIRST]), ((SECOND,), [FIRST, SECOND])])
async def test_money_that_comes_back_goes_to_the_next_number_or_is_a_question(
    engine: AsyncEngine, clock: Time, others: tuple[str, ...], told: list[str]
) -> None:
    rail = Phones()
    rails = Rails({"fake": rail})
    order = await ordered(engine, *others)
    await run(engine, rails, clock)
    assert (await see(engine, order, clock)).state == "paid"
    clock.pass_(days=2)
    came_back = Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="account closed")
    async with transaction(engine) as connection:
        attempt_id = (await connection.execute(text("SELECT id FROM attempts"))).scalar_one()
        await record(connection, news=[News(attempt_id=attempt_id, report=came_back)], now=clock())
    waiting = await see(engine, order, clock)
    assert (waiting.state, waiting.progress.status) == ("funded", "returned")
    await run(engine, rails, clock)
    assert rail.told == told
    view = await see(engine, order, clock)
    assert view.answerable == (not others)
    assert view.progress.status == ("delivered" if others else "returned")


async def test_economy_goes_with_its_drop_and_says_so(engine: AsyncEngine, clock: Time) -> None:
    rail = Phones()
    rails, drops = Rails({"fake": rail}), {"KE/KES/mobile_money/economy": timedelta(hours=1)}
    order = await ordered(engine, speed="economy", drop_every_s=3600)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE orders SET due_at = :due"), {"due": NOW + timedelta(minutes=1)})
    clock.pass_(minutes=2)
    for _ in range(3):
        await run(engine, rails, clock, drops)
        view = await see(engine, order, clock)
        assert (rail.told, view.progress.reason, view.drop_at) == ([], "waits_for_drop", NOW + timedelta(hours=1))
        clock.pass_(minutes=19)
    clock.now = NOW + timedelta(hours=1)
    await run(engine, rails, clock, drops)
    assert rail.told == [FIRST]
    view = await see(engine, order, clock)
    assert (view.state, view.drop_at) == ("paid", None)


async def test_a_rail_gets_another_chance_once_a_person_lets_the_order_go_on(engine: AsyncEngine, clock: Time) -> None:
    rail = Phones(refuses=(FIRST,), fault=Fault.RAIL)
    rails = Rails({"fake": rail})
    order = await ordered(engine)
    await run(engine, rails, clock)
    assert (await see(engine, order, clock)).progress.reason == "rail_unavailable"
    rail.refuses = ()
    clock.pass_(hours=1)
    async with transaction(engine) as connection:
        moves = [Move(order_id=order.order_id, event=E.HOLD_LIFTED, cause="released", due_at=clock())]
        await advance(connection, moves=moves, now=clock())
    await run(engine, rails, clock)
    assert (await see(engine, order, clock)).state == "paid"
