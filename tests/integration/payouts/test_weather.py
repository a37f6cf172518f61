"""Rail weather through an outage, as the loops write it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway import failpoints
from gateway.db.session import transaction
from gateway.operators.accounts import add_operator
from gateway.payouts.breakers import close_breaker, note, open_breaker
from gateway.payouts.health import Seen
from gateway.payouts.rails import Rails
from gateway.payouts.weather import hear, watch_weather
from gateway.routing.delivery import Outlooks
from gateway.routing.learn import LAG, Memory, learn
from gateway.routing.scene import Scene
from gateway.routing.weather import Place, State, Why, load_weather
from tests.factories import KES, NOW, FakeRail, know_assets, make_orders
from tests.integration.payouts.claiming import Time, book_top_up
from tests.integration.routing.test_learning import attempt, change, close

KENYA = Place("fake", "KE", "KES", "mobile_money")
MEMORY = Memory()
RAILS = Rails({"fake": FakeRail()})


async def look(engine, clock):
    """What the loops do, then what everybody reads."""
    await learn(engine, clock=clock, memory=MEMORY)
    await watch_weather(engine, rails=RAILS, clock=clock)
    async with transaction(engine) as connection:
        weather = await load_weather(connection)
    return weather.readings[KENYA]


@pytest.fixture
async def clock(engine):
    """A rail that has paid 200 payments within 20 seconds each, yesterday."""
    [order] = await make_orders(engine)
    for n in range(200):
        await attempt(engine, order.order_id, sent=NOW - timedelta(days=1, seconds=n), took=20)
    return Time(NOW)


async def test_an_outage_shows_and_passes(engine, clock):
    assert (await look(engine, clock))[:2] == (State.OPERATIONAL, Why.WORKS)
    sent = [
        await attempt(engine, order.order_id, sent=clock.now, took=None, outcome="unknown")
        for order in await make_orders(engine, 8)
    ]
    clock.pass_(minutes=2)
    began = clock.now
    reading = await look(engine, clock)
    assert reading[:2] == (State.DELAYED, Why.SILENT)
    assert NOW <= reading.since <= NOW + timedelta(seconds=20)
    clock.pass_(minutes=4)
    assert (await look(engine, clock))[:2] == (State.CLOSED, Why.SILENT)
    for one in sent:
        await close(engine, one, at=clock.now)
    clock.pass_(minutes=1)
    reading = await look(engine, clock)
    assert (reading.state, reading.why, reading.since) == (State.DELAYED, Why.SLOW, clock.now)
    assert began < reading.since
    [order] = await make_orders(engine)
    for n in range(20):
        await attempt(engine, order.order_id, sent=clock.now + timedelta(seconds=n), took=20)
    clock.pass_(minutes=3)
    assert (await look(engine, clock))[:2] == (State.OPERATIONAL, Why.WORKS)


async def test_a_delay_that_nobody_adds_to_passes_too(engine, clock):
    [order] = await make_orders(engine)
    for _ in range(10):
        await attempt(engine, order.order_id, sent=clock.now, took=900)
    clock.pass_(minutes=16)
    assert (await look(engine, clock))[:2] == (State.DELAYED, Why.SLOW)
    clock.pass_(hours=2)
    assert (await look(engine, clock))[:2] == (State.OPERATIONAL, Why.WORKS)


async def test_it_lasts_since_it_began(engine, clock):
    first = await look(engine, clock)
    clock.pass_(hours=1)
    assert (await look(engine, clock)).since == first.since == NOW


async def test_a_stopped_rail_is_closed_until_it_is_started(engine, clock):
    async with transaction(engine) as connection:
        await add_operator(connection, name="amina", password_hash="x", now=NOW)
        await open_breaker(connection, rail="fake", operator="amina", reason="account 12345 is blocked", now=NOW)
    assert await look(engine, clock) == (State.CLOSED, Why.STOPPED, NOW, None)
    async with transaction(engine) as connection:
        await close_breaker(connection, rail="fake", operator="amina", reason="it is open again", now=NOW)
    assert (await look(engine, clock)).state is State.OPERATIONAL


async def test_a_rail_that_fails_is_closed_until_it_is_tried_again(engine, clock):
    async with transaction(engine) as connection:
        await note(connection, seen=[Seen("fake", ok=False, reason="503")] * 5, now=NOW)
    reading = await look(engine, clock)
    assert (reading.state, reading.why, reading.since) == (State.CLOSED, Why.FAILING, NOW)
    assert NOW < reading.changes_at <= NOW + timedelta(seconds=33)
    clock.pass_(minutes=1)
    assert (await look(engine, clock))[:2] == (State.DELAYED, Why.TRIED_AGAIN)


async def test_a_rail_without_money_is_closed(engine, clock):
    await book_top_up(engine, units=999)
    assert (await look(engine, clock))[:2] == (State.CLOSED, Why.FLOAT_LOW)
    await book_top_up(engine, units=1, reference="two")
    assert (await look(engine, clock)).state is State.OPERATIONAL


async def test_a_rail_that_tells_a_balance_is_not_silent(engine, clock):
    for order in await make_orders(engine, 8):
        await attempt(engine, order.order_id, sent=clock.now, took=None, outcome="unknown")
    clock.pass_(minutes=6)
    async with transaction(engine) as connection:
        await hear(connection, rail="fake", now=clock.now)
        await hear(connection, rail="fake", now=NOW)
    assert (await look(engine, clock)).why is Why.SLOW


async def test_a_rail_that_answers_that_it_is_at_it_is_not_silent(engine, clock):
    for order in await make_orders(engine, 8):
        await attempt(engine, order.order_id, sent=clock.now, took=None, outcome="pending")
    clock.pass_(minutes=6)
    await change(engine, "UPDATE attempts SET updated_at = :now WHERE closed_at IS NULL", now=clock.now)
    assert (await look(engine, clock)).why is Why.SLOW


async def test_what_is_no_longer_configured_is_gone(engine, clock):
    both = Rails({"fake": FakeRail(), "other": FakeRail(name="other")})
    await watch_weather(engine, rails=both, clock=clock)
    await watch_weather(engine, rails=RAILS, clock=clock)
    async with transaction(engine) as connection:
        assert set((await load_weather(connection)).readings) == {KENYA}


async def test_watchers_and_learners_don_t_disturb_each_other(engine, clock):
    for _ in range(5):
        await asyncio.gather(
            *(watch_weather(engine, rails=RAILS, clock=clock) for _ in range(3)),
            *(learn(engine, clock=clock, memory=MEMORY) for _ in range(3)),
        )
    assert (await look(engine, clock)).state is State.OPERATIONAL


async def test_a_watcher_that_is_killed_leaves_the_weather_as_it_was(engine, clock):
    await look(engine, clock)

    def die(point):
        if point == "weather.watch:before_commit":
            raise InterruptedError

    clock.pass_(hours=1)
    failpoints.arm(die)
    try:
        with pytest.raises(InterruptedError):
            await watch_weather(engine, rails=RAILS, clock=clock)
    finally:
        failpoints.arm(None)
    async with transaction(engine) as connection:
        assert (await load_weather(connection)).as_of == NOW
    await look(engine, clock)
    async with transaction(engine) as connection:
        assert (await load_weather(connection)).as_of == clock.now


async def test_quotes_say_what_was_learned(engine, clock):
    outlooks = Outlooks(scene=Scene(capabilities=RAILS.capabilities))
    await look(engine, clock)
    await outlooks.refresh(engine, now=clock.now)
    assert outlooks.scene.experience.look("fake", None, NOW.hour, "KES", 124_900).p95_s == 22
    assert outlooks.weather.at(*KENYA).state is State.OPERATIONAL


async def test_nothing_names_an_account_or_an_amount(engine, clock):
    await test_a_stopped_rail_is_closed_until_it_is_started(engine, clock)
    async with transaction(engine) as connection:
        found = (await connection.execute(text("SELECT w::text FROM rail_weather AS w"))).scalars()
    assert not any("12345" in one or "amina" in one for one in found)


async def test_the_tables_are_there_before_anything_happened(engine):
    await know_assets(engine)
    assert (await look(engine, Time(NOW + LAG)))[:2] == (State.OPERATIONAL, Why.WORKS)
    assert KES.code == "KES"
