"""Moves of float: what people decide, what becomes of it, and what the books say at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.db.session import snapshot, transaction
from gateway.errors import Refusal
from gateway.failpoints import arm
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.offramp import Fault, OfframpError, Outcome, Report
from gateway.operators.accounts import add_operator
from gateway.orders.funding import book_deposits
from gateway.orders.house import HOUSE_LANE
from gateway.payouts.allowances import allowances
from gateway.payouts.breakers import close_breaker, open_breaker
from gateway.payouts.dispatch import dispatch
from gateway.payouts.errors import ProposerDisabled, SamePerson
from gateway.payouts.evidence import ResolutionRules
from gateway.payouts.poll import poll
from gateway.payouts.record import News, record
from gateway.payouts.stuck import stuck
from gateway.routing.learn import Memory, learn
from gateway.treasury import running
from gateway.treasury.approvals import (
    BadArrival,
    MoveDecided,
    MoveHasNoRail,
    MoveMoneyGone,
    MoveWaitsForAnother,
    approve_move,
    book_arrival,
    refuse_move,
)
from gateway.treasury.books import check_books
from gateway.treasury.floatrules import Marks
from gateway.treasury.movements import Movement, unknown_movements
from gateway.treasury.moves import Stage, find_view, list_moves
from gateway.treasury.plans import NoSuchMove, PlanStale, keep_plan
from gateway.treasury.reconcile import reconcile
from gateway.treasury.running import run_moves
from tests.factories import KES, USDC, know_assets, make_deposit, make_orders
from tests.integration.treasury.store import COIN, HOUR, Store, TellingRail, deposit, fill, kes

USD = Asset("USD", 2)
ALONE = ResolutionRules(above=Money(1_000_000_00, USD), dollars=frozenset({USDC.code, KES.code}))
"""One person may approve all of it."""
MOVING = Asset("KES@move", 2)
LOCAL = fill(gives=KES, peg=None, fee_bps=0, lead=24 * HOUR)
"""Our bank account, which holds shillings, fills M-Pesa."""


class Dead(BaseException):
    """The process."""


@pytest.fixture(autouse=True)
def _disarm():
    yield
    arm(None)


@dataclass
class House(Store):
    """A store with people in it."""

    rules_of_two: ResolutionRules = field(default_factory=lambda: ALONE)

    async def approve(self, move_id, *, by="amina"):
        async with transaction(self.engine) as connection:
            return await approve_move(
                connection,
                move_id=move_id,
                operator=by,
                reason="M-Pesa needs it",
                rules=self.rules_of_two,
                book=self.book,
                now=self.now,
            )

    async def refuse(self, move_id, *, by="amina"):
        async with transaction(self.engine) as connection:
            await refuse_move(connection, move_id=move_id, operator=by, reason="not today", now=self.now)

    async def arrived(self, move_id, reference="line 7", *, by="amina"):
        async with transaction(self.engine) as connection:
            await book_arrival(connection, move_id=move_id, reference=reference, operator=by, reason="seen it", now=self.now)

    async def work(self, *, rounds=1, **later):
        """The loops that have a part in it, so much later."""
        for _ in range(rounds):
            self.now += timedelta(**later)
            await run_moves(self.engine, rails=self.rails, clock=lambda: self.now)
            await poll(self.engine, rails=self.rails, clock=lambda: self.now)
            await dispatch(self.engine, rails=self.rails, clock=lambda: self.now)

    async def stage(self, move_id):
        async with transaction(self.engine) as connection:
            return (await find_view(connection, move_id=move_id)).stage

    async def books(self):
        async with transaction(self.engine) as connection:
            return {(account, money.asset.code): money.units for account, money in await balances(connection)}

    async def newest(self):
        plan = await self.plan()
        async with transaction(self.engine) as connection:
            await keep_plan(connection, plan=plan)
        return plan.moves

    async def told_of(self):
        return [kind for kind, _, _ in await self.incidents() if kind != "float_low"]


@pytest.fixture
async def house(engine):
    """M-Pesa has 40,000 KES where it should have 200,000; our bank account has 900,000, by its word and by the books."""
    await know_assets(engine)
    made = House(engine)
    await made.rate()
    async with transaction(engine) as connection:
        for name in ("amina", "brian", "carol"):
            await add_operator(connection, name=name, password_hash="-", now=made.now)
    made.rules = replace(made.rules, fills=(LOCAL,))
    made.mpesa.holds, made.exchange.holds = [kes(40_000)], [kes(900_000)]
    await made.book_in("mpesa", kes(40_000))
    await made.book_in("exchange", kes(900_000))
    await made.look()
    return made


async def test_an_approved_move_is_paid_once_and_is_float_of_the_other_rail_when_that_shows_it(house):
    [move] = await house.newest()
    before = await house.books()
    view = await house.approve(move.id)
    assert (view.stage, view.approved_by) == (Stage.APPROVED, "amina")
    await house.work()
    assert await house.stage(move.id) is Stage.IN_TRANSIT
    assert list(house.exchange.paid.values()) == [kes(160_000)]
    [instruction] = house.exchange.calls
    there = await house.books()
    assert there["rail:exchange", "KES"] == before["rail:exchange", "KES"] + 160_000_00
    assert there["transit:mpesa", "KES@move"] == -160_000_00
    assert there["rail:mpesa", "KES"] == before["rail:mpesa", "KES"]
    house.exchange.holds = [kes(740_000)]
    await house.look(minutes=15)
    await house.work()
    assert await house.stage(move.id) is Stage.IN_TRANSIT, "the rail holds no more than before"
    house.mpesa.holds = [kes(200_000)]
    await house.look(minutes=15)
    await house.work()
    assert await house.stage(move.id) is Stage.ARRIVED
    after = {account: units for account, units in (await house.books()).items() if units}
    assert after == {**before, ("rail:exchange", "KES"): -740_000_00, ("rail:mpesa", "KES"): -200_000_00}
    await house.work(rounds=3, minutes=20)
    assert house.exchange.calls == [instruction]
    report = await reconcile(house.engine, rails=house.rails, chains=(), clock=lambda: house.now)
    assert report.breaks == ()


async def test_the_same_move_is_not_planned_again_while_it_is_on_its_way(house):
    house.rules = replace(house.rules, marks={("mpesa", "KES"): Marks(low=kes(190_000), target=kes(200_000))})
    [move] = await house.newest()
    assert (await house.plan()).moves != ()
    await house.approve(move.id)
    assert (await house.plan()).moves == ()
    await house.work()
    assert (await house.plan()).moves == ()
    house.mpesa.holds = [kes(10_000)]
    await house.look(minutes=15)
    [more] = (await house.plan()).moves
    assert more.money == kes(30_000)
    assert "160000.00 KES on their way by approved moves" in more.why


async def test_what_a_move_will_take_is_no_longer_there_for_payouts_until_it_is_over(house):
    [move] = await house.newest()

    async def left():
        async with transaction(house.engine) as connection:
            found = await allowances(connection, rails=house.rails, now=house.now)
            return found["exchange"].left["KES"]

    assert await left() == 900_000_00
    await house.approve(move.id)
    assert await left() == 740_000_00
    [_, exchange] = (await house.outlook()).standings
    assert (exchange.level.reserved, exchange.level.available) == (160_000_00, 740_000_00)
    await house.refuse(move.id)
    assert await left() == 900_000_00
    assert await house.stage(move.id) is Stage.CANCELLED
    assert ("transit:mpesa", "KES@move") not in await house.books()
    await house.work(minutes=20)
    assert house.exchange.calls == []


async def test_a_move_is_approved_once_however_often_and_by_however_many_at_once(house):
    [move] = await house.newest()
    done = await asyncio.gather(
        *(house.approve(move.id, by=by) for by in ("amina", "brian", "carol") * 3), return_exceptions=True
    )
    assert [type(one) for one in done if isinstance(one, BaseException)] == [MoveDecided] * 8
    with pytest.raises(MoveDecided, match=r"is approved, not begun since .*, decided by "):
        await house.approve(move.id)
    await asyncio.gather(*(run_moves(house.engine, rails=house.rails, clock=lambda: house.now) for _ in range(5)))
    assert len(house.exchange.calls) == 1
    [(number,)] = await house.run("SELECT count(*) FROM orders")
    assert number == 1
    assert await house.run("SELECT operator, action FROM operator_actions WHERE action LIKE 'float.%'") != []


async def test_above_the_amount_a_second_person_has_to_agree(house):
    house.rules_of_two = ResolutionRules()
    [move] = await house.newest()
    view = await house.approve(move.id)
    assert (view.stage, view.persons, view.proposed_by) == (Stage.PROPOSED, 2, "amina")
    await house.work(minutes=1)
    assert house.exchange.calls == []
    with pytest.raises(SamePerson):
        await house.approve(move.id)
    await house.run("UPDATE operators SET disabled_at = now() WHERE name = 'amina'")
    with pytest.raises(ProposerDisabled):
        await house.approve(move.id, by="brian")
    await house.run("UPDATE operators SET disabled_at = NULL WHERE name = 'amina'")
    assert (await house.approve(move.id, by="brian")).stage is Stage.APPROVED
    said = await house.run("SELECT operator, action, subject FROM operator_actions ORDER BY id")
    assert [tuple(one) for one in said] == [("amina", "float.propose", move.id), ("brian", "float.approve", move.id)]
    with pytest.raises(DBAPIError, match="violates check constraint"):
        await house.run("UPDATE float_runs SET approved_by = proposed_by")


async def test_a_stale_an_unknown_and_a_decided_move_are_refused_with_a_sentence(house):
    with pytest.raises(NoSuchMove):
        await house.approve("mov_none")
    [move] = await house.newest()
    later = replace(house, now=house.now + HOUR)
    with pytest.raises(PlanStale, match="good until"):
        await later.approve(move.id)
    house.now += timedelta(minutes=1)
    [newer] = await house.newest()
    with pytest.raises(PlanStale, match="a newer plan"):
        await house.approve(move.id)
    await house.refuse(newer.id)
    with pytest.raises(MoveDecided, match=r"refused since .* by amina \(amina: not today\)"):
        await house.approve(newer.id)
    with pytest.raises(MoveDecided):
        await house.refuse(newer.id)


async def test_a_move_whose_money_is_gone_or_whose_payer_is_no_adapter_any_more_is_refused(house):
    [move] = await house.newest()
    house.exchange.holds = [kes(159_999)]
    await house.look(minutes=15)
    with pytest.raises(MoveMoneyGone, match=r"takes 160000.00 KES from rail:exchange, and 159999.00 KES are left"):
        await house.approve(move.id)
    house.exchange.holds = [kes(900_000)]
    await house.look(minutes=15)
    book = replace(house.book, rails=("mpesa",))
    with pytest.raises(MoveHasNoRail):
        async with transaction(house.engine) as connection:
            await approve_move(
                connection, move_id=move.id, operator="amina", reason="r", rules=ALONE, book=book, now=house.now
            )
    assert (await house.approve(move.id)).stage is Stage.APPROVED


async def test_two_moves_of_one_source_are_not_approved_for_the_same_money(house):
    half = replace(LOCAL, most=kes(100_000))
    house.rules = replace(
        house.rules, fills=(half,), marks={**house.rules.marks, ("exchange", "KES"): Marks(reserve=kes(0))}
    )
    first, second = await house.newest()
    house.exchange.holds = [kes(120_000)]
    await house.look(minutes=15)
    done = await asyncio.gather(house.approve(first.id), house.approve(second.id, by="brian"), return_exceptions=True)
    assert [type(one) for one in done if isinstance(one, BaseException)] == [MoveMoneyGone]


async def test_a_move_that_provably_failed_gives_back_what_it_reserved_and_a_person_is_told(house):
    [move] = await house.newest()
    before = await house.books()
    await house.approve(move.id)
    house.exchange.answers = [Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason="no such account")]
    await house.work()
    await house.work()
    async with transaction(house.engine) as connection:
        view = await find_view(connection, move_id=move.id)
    assert (view.stage, view.reason) == (Stage.FAILED, "exchange says failed: no such account")
    assert {account: units for account, units in (await house.books()).items() if units} == before
    assert await house.told_of() == ["float_move_failed"]
    await house.work(rounds=3, minutes=30)
    assert len(house.exchange.calls) == 1, "nobody tries again by himself"
    report = await reconcile(house.engine, rails=house.rails, chains=(), clock=lambda: house.now)
    assert report.breaks == ()
    assert (await house.plan()).moves != ()


async def test_dispatch_never_sends_an_order_of_the_house(house):
    [move] = await house.newest()
    view = await house.approve(move.id)
    await house.run("UPDATE orders SET due_at = :now", now=house.now)
    house.mpesa.holds = [kes(9_000_000)]
    for _ in range(3):
        await dispatch(house.engine, rails=house.rails, clock=lambda: house.now)
    assert (house.mpesa.calls, house.exchange.calls) == ([], [])
    [(lane, partner)] = await house.run("SELECT lane, partner_id FROM orders WHERE id = :id", id=view.order_id)
    assert (lane, partner) == (HOUSE_LANE, "house")
    # Even if a person gives it another way, which would give any other order another lane.
    await house.run("INSERT INTO recipient_ways VALUES (:id, 1, 'mobile_money', '+254712345678')", id=view.order_id)
    await house.run("UPDATE orders SET lane = 'KE/KES/mobile_money/standard'")
    await dispatch(house.engine, rails=house.rails, clock=lambda: house.now)
    assert (house.mpesa.calls, house.exchange.calls) == ([], [])


async def test_an_unknown_outcome_is_asked_about_and_never_sent_again(house):
    house.exchange = TellingRail("exchange", holds=[kes(900_000)])
    [move] = await house.newest()
    await house.approve(move.id)
    house.exchange.answers = [OfframpError("lost")]
    house.exchange.statuses = [Report(outcome=Outcome.UNKNOWN)] * 3
    await house.run("UPDATE float_runs SET reason = reason")
    await run_moves(house.engine, rails=house.rails, clock=lambda: house.now)
    assert await house.stage(move.id) is Stage.UNKNOWN
    assert (await house.plan()).moves == ()
    with pytest.raises(MoveDecided, match="outcome unknown"):
        await house.refuse(move.id)
    calls = len(house.exchange.calls)
    await run_moves(house.engine, rails=house.rails, clock=lambda: house.now + HOUR)
    assert len(house.exchange.calls) == calls


@pytest.mark.parametrize(
    "point",
    ["moves.step:before_commit", "moves.step:after_commit", "moves.record:before_commit", "moves.record:after_commit"],
)
async def test_whenever_the_process_dies_the_move_is_made_once(house, point):
    [move] = await house.newest()
    await house.approve(move.id)
    left = 1

    def die(name):
        nonlocal left
        left -= name == point
        if left == 0:
            left = -1
            raise Dead

    arm(die)
    with pytest.raises(Dead):
        await house.work()
    await house.work(rounds=6, minutes=1)
    assert await house.stage(move.id) is Stage.IN_TRANSIT
    assert len(house.exchange.paid) == 1
    [(attempts,)] = await house.run("SELECT count(*) FROM attempts")
    assert attempts == 1


async def test_money_that_the_bank_sends_back_is_float_of_its_first_rail_again_even_after_it_was_called_arrived(house):
    [move] = await house.newest()
    before = await house.books()
    await house.approve(move.id)
    await house.work()
    await house.arrived(move.id)
    assert await house.stage(move.id) is Stage.ARRIVED
    async with transaction(house.engine) as connection:
        [attempt] = (await connection.execute(text("SELECT id FROM attempts"))).scalars()
        back = Report(outcome=Outcome.RETURNED, provider_ref="r", fault=Fault.RECIPIENT, reason="account closed")
        await record(connection, news=[News(attempt_id=attempt, report=back)], now=house.now)
    await house.work()
    assert await house.stage(move.id) is Stage.FAILED
    assert {account: units for account, units in (await house.books()).items() if units} == before
    assert await house.told_of() == ["float_move_failed"]


async def test_a_statement_s_line_shows_the_arrival_and_is_explained_by_it(house):
    [move] = await house.newest()
    await house.approve(move.id)
    await house.work()
    await house.run(
        """INSERT INTO statement_lines (rail, line_id, kind, asset, units, leaves, at, imported_at)
        VALUES ('mpesa', 'L1', 'top_up', 'KES', 15999900, false, :at, :at), ('mpesa', 'L2', 'top_up', 'KES', 16000000, false,
            :at, :at)""",
        at=house.now + HOUR,
    )
    await house.work(hours=2)
    assert await house.stage(move.id) is Stage.ARRIVED
    [(reason,)] = await house.run("SELECT reason FROM float_runs")
    assert reason == "line L2 of mpesa's statement"
    assert ("transit:mpesa", "KES@move") not in await house.books()


async def test_coins_that_a_person_sends_come_first_and_the_move_after_them_waits(house):
    house.rules = replace(house.rules, fills=(fill(lead=24 * HOUR),), deposits=(deposit(),))
    house.exchange.holds = [Money(0, COIN)]
    await house.look(minutes=15)
    await house.coins(Money(1_300_000_000, USDC))
    first, second = await house.newest()
    await house.approve(first.id)
    [later] = (await house.plan()).moves
    assert later.by is not None, "the same coins aren't fetched twice"
    await house.approve(second.id)
    await house.work(hours=6)
    assert house.exchange.calls == []
    with pytest.raises(BadArrival, match="give the transaction"):
        await house.arrived(first.id, "yesterday")
    await house.arrived(first.id, "0x" + "ab" * 32)
    books = await house.books()
    assert books["treasury:31337", USDC.code] == -(1_300_000_000 - first.give.units)
    assert books["rail:exchange", "USDC"] == -first.money.units
    await house.work()
    assert await house.stage(second.id) is Stage.APPROVED, "the exchange says that it has nothing yet"
    house.exchange.holds = [first.money]
    await house.look(minutes=15)
    await house.work()
    assert await house.stage(second.id) is Stage.IN_TRANSIT
    again = await house.newest()
    assert all(one.by is not None for one in again)


async def test_coins_that_a_person_is_to_send_are_not_planned_for_anything_else(house):
    house.rules = replace(house.rules, fills=(fill(lead=24 * HOUR),), deposits=(deposit(),))
    house.exchange.holds = [Money(0, COIN)]
    await house.look(minutes=15)
    await house.coins(Money(1_300_000_000, USDC))
    for move in await house.newest():
        await house.approve(move.id)
    house.rules = replace(house.rules, marks={("mpesa", "KES"): Marks(low=kes(1_000_000), target=kes(1_000_000))})
    sent = [move.give.units for move in (await house.plan()).moves if move.by is None]
    assert sum(sent) <= 1_300_000_000 - move.give.units - deposit().keep.units


async def test_a_move_that_cannot_be_done_keeps_none_of_the_others(house, monkeypatch):
    house.rules = replace(house.rules, fills=(replace(LOCAL, most=kes(100_000)),))
    first, second = await house.newest()
    for move in (first, second):
        await house.approve(move.id)
    asked = []

    async def broken(connection, **wanted):
        asked.append(wanted)
        if len(asked) == 1:
            raise RuntimeError("a bug of ours")
        return await allowances(connection, **wanted)

    monkeypatch.setattr(running, "allowances", broken)
    await house.work()
    assert [await house.stage(move.id) for move in (first, second)] == [Stage.APPROVED, Stage.IN_TRANSIT]
    await house.work()
    assert await house.stage(first.id) is Stage.IN_TRANSIT


async def test_a_move_waits_while_its_rail_is_stopped(house):
    [move] = await house.newest()
    await house.approve(move.id)
    async with transaction(house.engine) as connection:
        await open_breaker(connection, rail="exchange", operator="amina", reason="their word", now=house.now)
    await house.work(minutes=5)
    assert (await house.stage(move.id), house.exchange.calls) == (Stage.APPROVED, [])
    async with transaction(house.engine) as connection:
        await close_breaker(connection, rail="exchange", operator="amina", reason="it works", now=house.now)
    await house.work(minutes=5)
    assert await house.stage(move.id) is Stage.IN_TRANSIT


async def test_a_move_whose_first_one_does_not_come_is_cancelled_with_the_reason(house):
    house.rules = replace(house.rules, fills=(fill(lead=24 * HOUR),), deposits=(deposit(),))
    house.exchange.holds = [Money(0, COIN)]
    await house.look(minutes=15)
    await house.coins(Money(1_300_000_000, USDC))
    first, second = await house.newest()
    await house.approve(second.id)
    await house.refuse(first.id)
    await house.work()
    async with transaction(house.engine) as connection:
        view = await find_view(connection, move_id=second.id)
    assert (view.stage, view.reason) == (Stage.CANCELLED, f"{first.id}, after which it was to come, didn't")
    assert await house.told_of() == ["float_move_cancelled"]
    house.now += timedelta(minutes=1)
    first, second = await house.newest()
    await house.refuse(first.id)
    with pytest.raises(MoveWaitsForAnother):
        await house.approve(second.id)


async def test_a_move_whose_first_one_nobody_approved_is_cancelled_when_that_plan_is_stale(house):
    house.rules = replace(house.rules, fills=(fill(lead=24 * HOUR),), deposits=(deposit(),))
    house.exchange.holds = [Money(0, COIN)]
    await house.look(minutes=15)
    await house.coins(Money(1_300_000_000, USDC))
    _, second = await house.newest()
    await house.approve(second.id)
    await house.work(minutes=50)
    assert await house.stage(second.id) is Stage.APPROVED
    await house.work(minutes=10)
    assert await house.stage(second.id) is Stage.CANCELLED


async def test_what_waits_too_long_is_listed_as_stuck(house):
    house.rules_of_two = ResolutionRules()
    [move] = await house.newest()

    async def listed():
        async with transaction(house.engine) as connection:
            found = await stuck(connection, capabilities=house.rails.capabilities, now=house.now)
        return [(one.what, one.state) for one in found if one.what in ("move", "order")]

    await house.approve(move.id)
    assert await listed() == [("move", "proposed")]
    await house.approve(move.id, by="brian")
    assert await listed() == []
    house.now += timedelta(hours=5)
    assert await listed() == [("move", "not begun")]
    await house.work()
    assert await listed() == []
    house.now += timedelta(days=3)
    assert ("move", "not arrived") in await listed()


async def test_nobody_s_demand_experience_or_statement_knows_of_a_move(house):
    [move] = await house.newest()
    await house.approve(move.id)
    await house.work()
    await house.look(hours=3)
    assert await house.run("SELECT * FROM float_demand") == []
    await learn(house.engine, clock=lambda: house.now + 3 * HOUR, memory=Memory())
    assert await house.run("SELECT * FROM experience") == []
    assert await house.run("SELECT * FROM exposures") == []


async def test_moves_are_listed_with_those_of_the_newest_plan(house):
    [move] = await house.newest()
    await house.refuse(move.id)
    house.now += timedelta(minutes=1)
    [newer] = await house.newest()
    async with transaction(house.engine) as connection:
        views = await list_moves(connection)
    assert {view.move.id: view.stage for view in views} == {newer.id: Stage.PLANNED, move.id: Stage.REFUSED}
    with pytest.raises(DBAPIError, match="append-only"):
        await house.run("DELETE FROM float_runs")


async def test_customers_orders_go_on_beside_a_move_and_get_what_is_left(house):
    [move] = await house.newest()
    await house.approve(move.id)
    [order] = await make_orders(house.engine, 1)
    await make_deposit(house.engine, order)
    await book_deposits(house.engine, least={}, now=house.now)
    await house.work(rounds=2, seconds=1)
    assert await house.run("SELECT state FROM orders WHERE id = :id", id=order.order_id) == [("paid",)]
    assert await house.stage(move.id) is Stage.IN_TRANSIT


def test_every_refusal_has_a_code():
    codes = {one.code for one in (MoveDecided, MoveMoneyGone, MoveWaitsForAnother, MoveHasNoRail, BadArrival)}
    assert len(codes) == 5
    assert Refusal.code not in codes


async def test_what_the_rail_said_before_the_move_was_paid_shows_no_arrival(house):
    [move] = await house.newest()
    await house.approve(move.id)
    house.mpesa.holds = [kes(200_000)]
    await house.look()
    await house.work(seconds=1)
    await house.work(seconds=1)
    assert await house.stage(move.id) is Stage.IN_TRANSIT
    await house.look(minutes=15)
    await house.work()
    assert await house.stage(move.id) is Stage.ARRIVED


async def test_of_a_rail_that_keeps_a_statement_only_a_line_or_a_person_shows_an_arrival(house):
    [move] = await house.newest()
    await house.approve(move.id)
    await house.work()
    await house.run(
        """INSERT INTO statement_periods (rail, since, until, source, lines, added, imported_at)
        VALUES ('mpesa', :since, :until, 'file', 0, 0, :until)""",
        since=house.now - HOUR,
        until=house.now,
    )
    house.mpesa.holds = [kes(200_000)]
    await house.look(minutes=15)
    await house.work()
    assert await house.stage(move.id) is Stage.IN_TRANSIT
    await house.arrived(move.id, "line 12")
    assert await house.stage(move.id) is Stage.ARRIVED
    with pytest.raises(MoveDecided, match="arrived since"):
        await house.arrived(move.id, "line 12")


async def test_what_shows_one_arrival_shows_no_other(house):
    house.rules = replace(house.rules, fills=(replace(LOCAL, most=kes(100_000)),))
    first, second = await house.newest()
    for move in (first, second):
        await house.approve(move.id)
    await house.work()
    await house.arrived(first.id, "line 7")
    with pytest.raises(BadArrival, match="line 7 is booked already"):
        await house.arrived(second.id, "line 7")
    with pytest.raises(BadArrival, match="characters on a keyboard"):
        await house.arrived(second.id, "line\n8")
    assert await house.stage(second.id) is Stage.IN_TRANSIT


async def test_the_transaction_that_sent_a_person_s_coins_is_explained(house):
    house.rules = replace(house.rules, fills=(fill(lead=24 * HOUR),), deposits=(deposit(),))
    house.exchange.holds = [Money(0, COIN)]
    await house.look(minutes=15)
    await house.coins(Money(1_300_000_000, USDC))
    first, _ = await house.newest()
    await house.approve(first.id)
    sent, other = (
        Movement(block=1, index=0, tx_hash="0x" + byte * 32, token="0x1", sender="0x2", recipient="0x3", units=1)
        for byte in ("ab", "cd")
    )
    await house.arrived(first.id, sent.tx_hash)
    async with transaction(house.engine) as connection:
        unknown, _ = await unknown_movements(connection, chain_id=31337, moves=[sent, other])
    assert unknown == [other]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_becomes_of_moves_no_money_is_lost_and_the_books_explain_all_of_it(house, seed):
    dice = random.Random(seed)
    open_moves = []
    house.rules = replace(house.rules, marks={("mpesa", "KES"): Marks(low=kes(180_000), target=kes(200_000))})
    for _ in range(15):
        house.now += timedelta(minutes=20)
        await house.look()
        open_moves += [move.id for move in await house.newest()]
        for move_id in list(open_moves):
            deed = dice.choice(["approve", "approve", "refuse", "arrived", "wait"])
            with contextlib.suppress(Refusal):
                if deed == "approve":
                    await house.approve(move_id)
                elif deed == "refuse":
                    await house.refuse(move_id)
                elif deed == "arrived":
                    await house.arrived(move_id, f"line of {move_id}")
        house.exchange.answers = dice.choice(
            [[], [], [Report(outcome=Outcome.FAILED, fault=Fault.RAIL, reason="no")], [OfframpError("lost")]]
        )
        await house.work(rounds=2, seconds=30)
        if dice.random() < 0.3:
            back = Report(outcome=Outcome.RETURNED, provider_ref="r", fault=Fault.RECIPIENT, reason="account closed")
            paid = [one for (one,) in await house.run("SELECT id FROM attempts WHERE outcome = 'paid' ORDER BY id")]
            async with transaction(house.engine) as connection:
                await record(connection, news=[News(attempt_id=one, report=back) for one in paid[:1]], now=house.now)
            await house.work()
        await check(house)


async def check(house):
    """The books: nothing is lost, and what is in transit is what open moves bring."""
    sums, books = Counter(), await house.books()
    for (_, asset), units in books.items():
        sums[asset] += units
    assert not any(sums.values())
    [(coming,)] = await house.run("SELECT COALESCE(sum(units), 0) FROM float_incoming")
    assert books.get(("transit:mpesa", "KES@move"), 0) == -coming
    on_both = -books["rail:exchange", "KES"] - books["rail:mpesa", "KES"]
    [(between,)] = await house.run(
        """SELECT COALESCE(sum(m.units), 0) FROM float_runs AS r JOIN float_moves AS m ON m.id = r.move_id
        JOIN orders AS o ON o.id = r.order_id WHERE r.ended_at IS NULL AND o.state = 'paid'"""
    )
    assert on_both + between == 940_000_00
    async with snapshot(house.engine) as connection:
        assert (await check_books(connection)).breaks == []
