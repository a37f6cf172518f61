"""How recipients are reached: the institution goes with the instruction, the code for cash to those who may see it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.money import Money
from gateway.offramp import Instruction, Outcome, Pickup, Report
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.poll import poll
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from tests.factories import KES, NOW, PENDING, UNKNOWN, FakeRail, make_deposit, make_orders, paid

DELIVER = Money(124_900, KES)
CODE = "8472 1905 3362"


@dataclass
class Seen(FakeRail):
    """Keeps whom it was told to pay."""

    sent: list[Instruction] = field(default_factory=list)

    async def pay(self, instruction: Instruction) -> Report:
        self.sent.append(instruction)
        return await super().pay(instruction)


async def _funded(engine: AsyncEngine, institution: str | None = None):
    [order] = await make_orders(engine, 1)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE recipients SET institution = :code"), {"code": institution})
    await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    return order


async def _view(engine: AsyncEngine, order):
    async with transaction(engine) as connection:
        return await order_view(connection, now=NOW, order_id=order.order_id)


async def test_the_institution_goes_with_the_instruction(engine: AsyncEngine) -> None:
    rail = Seen(answers=[PENDING])
    await _funded(engine, "mtn")
    await dispatch(engine, rails=Rails({"fake": rail}), clock=lambda: NOW)
    assert [instruction.to.institution for instruction in rail.sent] == ["mtn"]


async def test_the_code_for_cash_is_shown_while_the_money_waits_and_no_longer(engine: AsyncEngine) -> None:
    pickup = Pickup(code=CODE, expires_at=NOW + timedelta(days=3), where="At any shop of ours.")
    ready = Report(outcome=Outcome.AVAILABLE, provider_ref="C-1", pickup=pickup)
    order = await _funded(engine)
    await dispatch(engine, rails=Rails({"fake": FakeRail(answers=[ready])}), clock=lambda: NOW)
    view = await _view(engine, order)
    assert view is not None
    assert view.progress.status == "ready_for_pickup"
    assert view.pickup is not None
    assert (view.pickup.code, view.pickup.expires_at, view.pickup.place) == (CODE, NOW + timedelta(days=3), pickup.where)
    assert CODE not in repr((view, ready, pickup))
    async with transaction(engine) as connection:
        [attempt_id] = (await connection.execute(text("SELECT id FROM attempts"))).scalars()
        await record(
            connection, news=[News(attempt_id=attempt_id, report=paid(attempt_id, DELIVER))], now=NOW, capabilities={}
        )
    view = await _view(engine, order)
    assert view is not None
    assert (view.state, view.pickup) == ("paid", None)


async def test_a_renewed_code_replaces_the_old_one(engine: AsyncEngine) -> None:
    order = await _funded(engine)
    first = Report(outcome=Outcome.AVAILABLE, provider_ref="C-1", pickup=Pickup(code="1"))
    await dispatch(engine, rails=Rails({"fake": FakeRail(answers=[first])}), clock=lambda: NOW)
    async with transaction(engine) as connection:
        [attempt_id] = (await connection.execute(text("SELECT id FROM attempts"))).scalars()
        again = replace(first, pickup=Pickup(code="2"))
        await record(connection, news=[News(attempt_id=attempt_id, report=again)], now=NOW, capabilities={})
    view = await _view(engine, order)
    assert view is not None
    assert view.pickup is not None
    assert view.pickup.code == "2"


async def test_the_same_instruction_sent_again_names_the_same_institution(engine: AsyncEngine) -> None:
    rail = Seen(answers=[UNKNOWN, PENDING], statuses=[UNKNOWN] * 3)
    await _funded(engine, "mtn")
    rails, now = Rails({"fake": rail}), NOW
    await dispatch(engine, rails=rails, clock=lambda: NOW)
    while len(rail.sent) == 1:
        now += timedelta(minutes=10)
        assert now < NOW + timedelta(hours=12)
        await poll(engine, rails=rails, clock=lambda at=now: at)
    assert [instruction.to.institution for instruction in rail.sent] == ["mtn", "mtn"]
    assert rail.sent[0] == rail.sent[1]
