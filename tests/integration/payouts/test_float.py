"""What we hold at a rail is promised once, however many claim at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.db.session import make_engine, transaction
from gateway.ledger.post import Entry, Transfer, post
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.orders.funding import book_deposits
from gateway.payouts.allowances import BOUNDLESS, FloatTaken, allowances, confirm, tell_low_float
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from tests.factories import KES, NOW, FakeRail, make_deposit, make_orders
from tests.integration.payouts.claiming import (
    UNITS,
    LimitedRail,
    Time,
    allowed,
    book_top_up,
    claim,
    free_of_orders,
    incidents,
    open_attempts,
    settle,
)

RAILS = Rails({"fake": LimitedRail(concurrency=BOUNDLESS), "other": LimitedRail("other", concurrency=BOUNDLESS)})


@pytest.fixture
async def engines(engine, database_url):
    await free_of_orders(engine)
    other = make_engine(database_url)
    yield engine, other
    await other.dispose()


async def test_two_hundred_claims_at_once_with_float_for_one_send_one(engines):
    await book_top_up(engines[0], units=UNITS + UNITS // 2)
    claims = await asyncio.gather(*(claim(engines[n % 2], RAILS, wanted=1) for n in range(200)))
    assert sum(map(len, claims)) == 1
    assert (await allowed(engines[0], RAILS)).left == {"KES": UNITS // 2}


async def test_claims_and_settlements_at_once_never_promise_more_than_is_there(engines):
    await book_top_up(engines[0], units=10 * UNITS)
    paid = []

    async def work(number):
        for _ in range(8):
            ids = await claim(engines[number % 2], RAILS, wanted=2)
            outcome = "paid" if number % 3 else "failed"
            await settle(engines[number % 2], ids, outcome=outcome)
            paid.extend(ids if outcome == "paid" else [])

    await asyncio.gather(*(work(number) for number in range(12)))
    assert len(paid) == 10
    assert (await allowed(engines[0], RAILS)).left == {"KES": 0}


async def test_a_rail_is_not_tracked_before_its_first_top_up(engines):
    ids = await claim(engines[0], RAILS)
    await settle(engines[0], ids, outcome="paid")
    assert (await allowed(engines[0], RAILS)).left is None
    await book_top_up(engines[0], units=201 * UNITS)
    assert (await allowed(engines[0], RAILS)).left == {"KES": UNITS}
    assert (await allowed(engines[0], RAILS, name="other")).left is None


async def test_a_rail_with_limits_is_not_tracked_either_before_its_first_top_up(engines):
    rails = Rails({"fake": LimitedRail(concurrency=3)})
    await settle(engines[0], await claim(engines[0], rails), outcome="paid")
    allowance = await allowed(engines[0], rails)
    assert (allowance.most, allowance.left) == (3, None)


async def test_what_a_failed_payment_was_promised_is_there_again(engines):
    await book_top_up(engines[0], units=UNITS)
    ids = await claim(engines[0], RAILS)
    assert await claim(engines[0], RAILS) == []
    await settle(engines[0], ids, outcome="failed")
    assert len(await claim(engines[0], RAILS)) == 1


async def test_an_unknown_outcome_stays_promised(engines):
    await book_top_up(engines[0], units=UNITS)
    ids = await claim(engines[0], RAILS)
    async with transaction(engines[0]) as connection:
        await connection.execute(
            text("UPDATE attempts SET outcome = 'unknown', lease_until = NULL WHERE id = ANY(:ids)"), {"ids": ids}
        )
    assert await claim(engines[0], RAILS, now=NOW + timedelta(days=1)) == []


async def test_more_paid_than_was_topped_up_leaves_nothing_and_not_less(engines):
    await settle(engines[0], await claim(engines[0], RAILS, wanted=3), outcome="paid")
    await book_top_up(engines[0], units=UNITS)
    assert (await allowed(engines[0], RAILS)).left == {"KES": 0}


async def test_low_float_is_told_once_until_the_next_top_up(engines):
    await book_top_up(engines[0], units=999)
    for _ in range(3):
        assert await claim(engines[0], RAILS) == []
    assert await incidents(engines[0]) == ["float_low"]
    await book_top_up(engines[0], units=UNITS, reference="two")
    await claim(engines[0], RAILS, wanted=1)
    await allowed(engines[0], RAILS)
    assert await incidents(engines[0]) == ["float_low", "float_low"]


async def test_an_order_that_waits_for_float_is_told_once(engines):
    await book_top_up(engines[0], units=5 * UNITS)
    for _ in range(2):
        async with transaction(engines[0]) as connection:
            await tell_low_float(connection, short=[("fake", "KES"), ("other", "KES")], now=NOW)
    assert await incidents(engines[0]) == ["float_low"]


async def test_another_currencys_top_up_tracks_that_currency_only(engines):
    await settle(engines[0], await claim(engines[0], RAILS, wanted=1), outcome="paid")
    shillings = Asset("UGX", 0)
    async with transaction(engines[0]) as connection:
        await connection.execute(text("INSERT INTO assets VALUES ('UGX', 0)"))
        entry = Entry("top", "top_up", (Transfer("rail:fake", "capital", Money(5, shillings)),))
        await post(connection, entries=[entry], now=NOW)
    left = (await allowed(engines[0], RAILS)).left
    assert left["UGX"] == 5
    assert left["KES"] > 10**70


async def test_balances_of_rails_are_those_of_the_ledger(engines):
    async def book(number):
        money = Money(number + 1, KES)
        one, other = ("rail:fake", "rail:other") if number % 2 else ("rail:other", "rail:fake")
        lines = (Transfer(one, "capital", money), Transfer("cost:fees", other, money), Transfer(one, other, money))
        async with transaction(engines[number % 2]) as connection:
            await post(connection, entries=[Entry(f"e:{number}", "test", lines)], now=NOW)

    await asyncio.gather(*(book(number) for number in range(60)))
    async with transaction(engines[0]) as connection:
        held = {
            f"rail:{row.rail}": -row.held for row in await connection.execute(text("SELECT rail, held FROM rail_balances"))
        }
        books = {name: money.units for name, money in await balances(connection) if name.startswith("rail:")}
    assert held == books
    assert len(books) == 2


@pytest.mark.parametrize(
    "statement", ["UPDATE rail_balances SET held = held + 1", "DELETE FROM rail_balances", "TRUNCATE rail_balances"]
)
async def test_nobody_but_the_postings_changes_a_rails_balance(engines, statement):
    await book_top_up(engines[0], units=UNITS)
    with pytest.raises(DBAPIError):
        async with transaction(engines[0]) as connection:
            await connection.execute(text(statement))


async def test_orders_that_the_float_does_not_cover_wait_in_their_lane_for_the_next_top_up(engine, database_url):
    """The real dispatch, by ten tasks of two processes: one order is paid, the others are as they were."""
    other, rail, clock = make_engine(database_url), FakeRail(), Time()
    rails = Rails({"fake": rail})
    for order in await make_orders(engine, 20):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    await book_top_up(engine, units=124_900 + 124_800)
    await asyncio.gather(*(dispatch(one, rails=rails, clock=clock) for one in (engine, other) * 5))
    await other.dispose()
    assert len(rail.paid) == 1
    async with transaction(engine) as connection:
        states = (await connection.execute(text("SELECT state, count(*) FROM orders GROUP BY state"))).all()
    assert {row.state: row.count for row in states} == {"paid": 1, "funded": 19}
    assert await incidents(engine) == ["float_low"]
    await book_top_up(engine, units=19 * 124_900, reference="two")
    for _ in range(3):
        clock.pass_(minutes=1)
        await dispatch(engine, rails=rails, clock=clock)
    assert len(rail.paid) == 20


async def test_of_two_claims_side_by_side_the_second_is_made_anew_if_the_float_pays_only_one(engines):
    await book_top_up(engines[0], units=UNITS + UNITS // 2)

    async def both():
        async with transaction(engines[1]) as other:
            async with transaction(engines[0]) as one:
                for connection in (one, other):
                    allowance = (await allowances(connection, rails=RAILS, now=NOW, alone=False))["fake"]
                    assert (allowance.unconfirmed, allowance.left) == (True, {"KES": UNITS + UNITS // 2})
                    await open_attempts(connection, RAILS, "fake", 1, now=NOW)
                await confirm(one, names=["fake"])
                late = asyncio.create_task(confirm(other, names=["fake"]))
                await _somebody_waits(engines[0])
            await late

    with pytest.raises(FloatTaken):
        await both()
    assert (await allowed(engines[0], RAILS)).left == {"KES": UNITS // 2}


async def _somebody_waits(engine):
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    async with asyncio.timeout(10), transaction(engine) as connection:
        while not (await connection.execute(waiting)).scalar_one():
            await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
            await asyncio.sleep(0.01)


async def test_orders_of_a_rail_without_limits_wait_for_the_float_however_many_dispatch_at_once(engine, database_url):
    class Boundless(FakeRail):
        def _capabilities(self):
            return replace(super()._capabilities(), concurrency=BOUNDLESS)

    other, rail = make_engine(database_url), Boundless(name="boundless")
    for order in await make_orders(engine, 30):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    await book_top_up(engine, units=12 * 124_900 + 124_800, name="boundless")
    rails = Rails({"boundless": rail})
    await asyncio.gather(*(dispatch(one, rails=rails, clock=Time()) for one in (engine, other) * 8))
    await other.dispose()
    assert len(rail.paid) == 12
