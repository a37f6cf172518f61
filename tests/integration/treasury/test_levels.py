from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.db.session import transaction
from gateway.treasury.floatrules import NO_RULES, Marks
from gateway.treasury.levels import read_levels
from tests.factories import KES, know_assets
from tests.integration.treasury.store import HOUR, Store, kes


@pytest.fixture
async def store(engine):
    await know_assets(engine)
    return Store(engine)


async def level_of(store, rail="mpesa"):
    async with transaction(store.engine) as connection:
        levels = await read_levels(connection, rails=["mpesa", "exchange"], now=store.now)
    return next(one for one in levels if one.rail == rail)


async def test_a_float_is_known_by_the_rail_and_by_the_books_and_the_poorer_word_counts(store):
    await store.book_in("mpesa", kes(120_000))
    await store.paid(days=1, whole=30_000, outcome="pending")
    await store.look()
    level = await level_of(store)
    assert (level.told, level.told_at, level.held, level.promised) == (100_000_00, store.now, 120_000_00, 30_000_00)
    assert level.available == 70_000_00
    assert (level.difference, level.unexplained) == (-20_000_00, 0), "what is under way may have left the rail already"
    store.mpesa.holds = [kes(85_000)]
    await store.look(minutes=15)
    level = await level_of(store)
    assert (level.difference, level.unexplained) == (-35_000_00, -5_000_00)


async def test_more_at_the_rail_than_in_the_books_is_unexplained_and_not_reckoned_with(store):
    await store.book_in("mpesa", kes(60_000))
    await store.look()
    level = await level_of(store)
    assert (level.unexplained, level.available) == (40_000_00, 60_000_00)


async def test_the_last_answer_stays_with_its_time_and_says_nothing_after_a_day(store):
    await store.look()
    first = store.now
    store.mpesa.holds = None
    await store.look(hours=2)
    level = await level_of(store)
    assert (level.told, level.told_at, level.available) == (100_000_00, first, 100_000_00)
    store.now += timedelta(days=1)
    assert (await level_of(store)).available is None


async def test_a_crossing_opens_one_incident_and_recovery_closes_it(store):
    await store.look()
    store.mpesa.holds = [kes(49_999)]
    await store.look(minutes=15)
    assert await store.incidents() == [("float_low", False, None)]
    store.mpesa.holds = [kes(19_999)]
    await store.look(minutes=15)
    await store.look(minutes=15)
    assert await store.incidents() == [("float_low", False, None), ("float_critical", False, None)]
    store.mpesa.holds = [kes(50_001)]
    await store.look(minutes=15)
    assert [one[1] for one in await store.incidents()] == [False, True], "a little above a mark isn't recovered from it"
    store.mpesa.holds = [kes(52_500)]
    await store.look(minutes=15)
    assert await store.incidents() == [("float_low", True, "float watch"), ("float_critical", True, "float watch")]
    store.mpesa.holds = [kes(100)]
    await store.look(minutes=15)
    assert [one[:2] for one in await store.incidents()][2:] == [("float_low", False), ("float_critical", False)]


async def test_an_alarm_says_what_is_there_and_what_is_likely(store):
    await store.paid(days=30, whole=20_000)
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    [[detail]] = await store.run("SELECT detail FROM incidents")
    assert (detail["rail"], detail["available"], detail["low"]) == ("mpesa", "40000.00 KES", "50000.00 KES")
    assert detail["dry_within_72_h"].endswith(" %")
    assert "lastmile float plan" in detail["next"]


async def test_workers_that_look_at_once_open_one_incident(store):
    store.mpesa.holds = [kes(1)]
    workers = [replace(store, now=store.now + timedelta(seconds=n)) for n in range(4)]
    await asyncio.gather(*(worker.look() for worker in workers))
    assert [one[0] for one in await store.incidents()] == ["float_low", "float_critical"]


async def test_a_float_that_nobody_tells_of_any_more_keeps_its_alarm(store):
    store.mpesa.holds = [kes(30_000)]
    await store.look()
    store.mpesa.holds = None
    await store.look(days=2)
    assert await store.incidents() == [("float_low", False, None)]


async def test_marks_in_hours_follow_the_demand(store):
    store.rules = replace(store.rules, marks={("mpesa", "KES"): Marks(low=timedelta(hours=48))})
    await store.look()
    assert await store.incidents() == [], "nothing was ever paid: hours mean nothing"
    await store.paid(days=40, whole=60_000)
    await store.run("DELETE FROM float_demand")
    await store.look(minutes=15)
    [[low]] = await store.run("SELECT low FROM floats WHERE rail = 'mpesa'")
    assert 90_000_00 < low < 160_000_00
    store.mpesa.holds = [kes(80_000)]
    await store.look(minutes=15)
    assert await store.incidents() == [("float_low", False, None)]


async def test_without_rules_levels_are_kept_and_nobody_is_told(store):
    store.rules = NO_RULES
    store.mpesa.holds = [kes(0)]
    await store.look()
    assert await store.incidents() == []
    assert await store.run("SELECT id FROM float_plans") == []
    assert [tuple(row) for row in await store.run("SELECT rail, available FROM float_levels ORDER BY rail DESC")] == [
        ("mpesa", 0),
        ("exchange", 9_000_000_000),
    ]


async def test_levels_are_kept_for_pictures_and_forgotten(store):
    store.rules = replace(store.rules, keep=timedelta(days=1))
    for _ in range(3):
        await store.look(hours=20)
    kept = await store.run("SELECT at FROM float_levels WHERE rail = 'mpesa' ORDER BY at")
    assert [row.at for row in kept] == [store.now - 20 * HOUR, store.now]


async def test_what_was_paid_is_summed_once_and_corrected_while_it_may_change(store):
    await store.paid(days=10, whole=1_000, hour=14)
    await store.paid(days=10, whole=500, hour=14, outcome="failed")
    await store.look()
    sums = await store.run("SELECT hour, units, payouts FROM float_demand ORDER BY hour")
    assert len(sums) == 10
    assert {(int(row.units), row.payouts) for row in sums} == {(1_000_00, 1)}
    await store.run("UPDATE attempts SET outcome = 'returned', fault = 'recipient' WHERE outcome = 'paid'")
    await store.look(minutes=15)
    left = await store.run("SELECT hour FROM float_demand ORDER BY hour")
    assert len(left) == 8, "those of the last two days were summed again, older ones stay"


async def test_the_forecast_sees_local_days_and_says_how_many(store):
    await store.paid(days=40, whole=10_000, hour=22)  # half past one in Nairobi, the next day
    await store.paid(days=40, whole=5_000, rail="exchange")
    await store.look()
    outlook = await store.outlook()
    mpesa = outlook.forecasts["mpesa", "KES"]
    assert mpesa.days == 39
    night, day = (mpesa.over(store.now + n * HOUR, store.now + (n + 1) * HOUR).mean for n in (10, 20))
    assert night > 10 * day
    whole = outlook.currencies[KES]
    assert abs(whole.over(store.now, store.now + 24 * HOUR).mean - 15_000_00) < 3_000_00
