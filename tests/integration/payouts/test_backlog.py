"""A backlog is assigned as a whole, and claims follow as far as their locks allow."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import reading, transaction
from gateway.payouts.backlog import AGAIN_AFTER, HOLDS_FOR, BacklogPlanner, Problem, Waiting, solve, solve_apart
from gateway.payouts.dispatch import dispatch
from gateway.payouts.explain import explain
from gateway.payouts.rails import Rails
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Key, Schedule, Tariffs
from gateway.routing.choose import Pay
from gateway.routing.decisions import Shelf
from gateway.routing.scene import Scene
from tests.factories import NOW, know_assets
from tests.integration.payouts.claiming import Time, book_top_up
from tests.integration.payouts.test_decisions import delivering
from tests.integration.payouts.test_dispatch import Rail, funded

FEE = 5_000
LARGE, SMALL = 120_000, 10_000


@pytest.fixture
async def clock(engine):
    await know_assets(engine)
    return Time()


class Still:
    """A scene that stays: rails named b… take a fee, the others nothing."""

    def __init__(self, rails):
        fee = Schedule((Band(ENDLESS, (Cost(FEE),)),))
        charges = {Key(name, None, "KES", None, None): fee for name in rails if name.startswith("b")}
        self.scene = Scene(capabilities=rails.capabilities, tariffs=Tariffs(charges))

    async def at(self, _engine, *, now):
        assert now
        return self.scene


def market(number=""):
    rails = Rails({name: Rail(name) for name in (f"a{number}", f"b{number}")})
    return rails, Still(rails)


async def payday(engine):
    """Those with the large amounts came first."""
    return [*await funded(engine, 12, **delivering(LARGE)), *await funded(engine, 12, **delivering(SMALL))]


async def solve_here(problem):
    return solve(problem)


def planner(engine, rails, scenes, clock, *, least=20, solver=solve_here):
    return BacklogPlanner(engine=engine, rails=rails, scenes=scenes, clock=clock, least=least, solver=solver)


async def worked_off(engine, rails, scenes, clock):
    while await dispatch(engine, rails=rails, clock=clock, scenes=scenes):
        pass


async def fees(engine, name):
    async with reading(engine) as connection:
        found = await connection.execute(text("SELECT count(*) FROM attempts WHERE adapter = :name"), {"name": name})
        return found.scalar() * FEE


async def hints(engine):
    async with reading(engine) as connection:
        return dict((await connection.execute(text("SELECT order_id, rail FROM backlog_hints"))).all())


async def sent_by(engine):
    async with reading(engine) as connection:
        return dict((await connection.execute(text("SELECT order_id, adapter FROM attempts"))).all())


async def test_a_payday_with_scarce_cheap_float_costs_less_assigned_together_than_one_by_one(engine, clock):
    for number, plans in (("1", False), ("2", True)):
        rails, scenes = market(number)
        await book_top_up(engine, units=2 * LARGE, name=f"a{number}")
        await payday(engine)
        if plans:
            assert await planner(engine, rails, scenes, clock, solver=solve_apart).step() > 0
        await worked_off(engine, rails, scenes, clock)
    assert await fees(engine, "b1") == 22 * FEE
    assert await fees(engine, "b2") == 11 * FEE


async def test_what_was_planned_is_told_as_planned(engine, clock):
    rails, scenes = market()
    await book_top_up(engine, units=2 * LARGE, name="a")
    await payday(engine)
    await planner(engine, rails, scenes, clock).step()
    left = await hints(engine)
    await worked_off(engine, rails, scenes, clock)
    async with reading(engine) as connection:
        for order, rail in left.items():
            [one] = await explain(connection, order_id=order, rails=rails, shelf=Shelf())
            assert one.ranking.choice == Pay(rail, 0)
            assert next(each.why for each in one.ranking.candidates if each.rail == rail) == "planned"
        for order in (await sent_by(engine)).keys() - left.keys():
            [one] = await explain(connection, order_id=order, rails=rails, shelf=Shelf())
            assert one.ranking.choice == Pay((await sent_by(engine))[order], 0)


async def test_a_hint_is_no_reason_to_ask_a_rail_that_was_stopped(engine, clock):
    rails, scenes = market()
    await book_top_up(engine, units=2 * LARGE, name="a")
    await payday(engine)
    await planner(engine, rails, scenes, clock).step()
    assert set((await hints(engine)).values()) == {"b"}
    async with transaction(engine) as connection:
        await connection.execute(text("INSERT INTO operators VALUES ('amina', 'x', now(), NULL) ON CONFLICT DO NOTHING"))
        await connection.execute(
            text("INSERT INTO rail_states (rail, state, reason, stopped_by) VALUES ('b', 'stopped', 'asked to', 'amina')")
        )
    await worked_off(engine, rails, scenes, clock)
    assert set((await sent_by(engine)).values()) == {"a"}


async def test_a_hint_is_no_reason_to_promise_float_that_is_gone(engine, clock):
    rails, scenes = market()
    await book_top_up(engine, units=LARGE, name="a")
    await book_top_up(engine, units=30 * LARGE, name="b")
    orders = await payday(engine)
    async with transaction(engine) as connection:
        values = {"orders": orders, "until": NOW + timedelta(minutes=1)}
        await connection.execute(
            text("INSERT INTO backlog_hints SELECT unnest(CAST(:orders AS text[])), 'a', :until"), values
        )
    await worked_off(engine, rails, scenes, clock)
    found = list((await sent_by(engine)).values())
    assert (found.count("a"), found.count("b")) == (1, 23)


async def test_an_old_hint_counts_for_nothing(engine, clock):
    rails, scenes = market()
    orders = await payday(engine)
    async with transaction(engine) as connection:
        values = {"orders": orders, "until": NOW}
        await connection.execute(
            text("INSERT INTO backlog_hints SELECT unnest(CAST(:orders AS text[])), 'b', :until"), values
        )
    await worked_off(engine, rails, scenes, clock)
    assert set((await sent_by(engine)).values()) == {"a"}


async def test_a_few_orders_are_no_backlog(engine, clock):
    rails, scenes = market()
    await book_top_up(engine, units=2 * LARGE, name="a")
    await payday(engine)
    assert await planner(engine, rails, scenes, clock, least=25).step() == 0
    assert await hints(engine) == {}


async def test_a_plan_is_made_anew_while_there_is_a_backlog_but_not_at_every_look(engine, clock):
    rails, scenes = market()
    await book_top_up(engine, units=2 * LARGE, name="a")
    await payday(engine)
    plans = planner(engine, rails, scenes, clock)
    first = await plans.step()
    assert first == len(await hints(engine)) > 0
    assert await plans.step() == 0
    clock.pass_(seconds=AGAIN_AFTER.total_seconds())
    assert await plans.step() == first
    assert AGAIN_AFTER < HOLDS_FOR


def problem(scenes, number, *, floats, slots):
    orders = [
        Waiting(f"ord_{n:04}", 3, "KE", "mobile_money", None, None, "KES", 2, SMALL, 10_000_000) for n in range(number)
    ]
    return Problem(now=NOW, scene=scenes.scene, orders=orders, floats=floats, slots=slots)


def test_rate_limits_are_counted_over_the_time_that_hints_count():
    _, scenes = market()
    found = solve(problem(scenes, 10, floats={"a": None, "b": None}, slots={"a": 4, "b": 1 << 62}))
    assert list(found.values()) == ["b"] * 6


def test_a_rail_without_float_for_a_currency_gets_nothing_of_it():
    _, scenes = market()
    found = solve(problem(scenes, 3, floats={"a": {"UGX": 10**9}, "b": None}, slots={"a": 1 << 62, "b": 1 << 62}))
    assert list(found.values()) == ["b"] * 3


async def test_the_process_that_assigns_ends_with_who_asked_it():
    _, scenes = market()
    asked = problem(scenes, 2_000, floats={"a": {"KES": 10**6}, "b": None}, slots={"a": 1 << 62, "b": 1 << 62})
    work = asyncio.create_task(solve_apart(asked))
    await asyncio.sleep(0.3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
