"""One breaker per rail, for all processes together."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from gateway.db.session import make_engine, transaction
from gateway.errors import Refusal
from gateway.offramp import NotSent
from gateway.operators.accounts import add_operator
from gateway.orders.funding import book_deposits
from gateway.payouts.allowances import BOUNDLESS
from gateway.payouts.breakers import (
    Breaker,
    BreakerIsClosed,
    BreakerIsOpen,
    Seen,
    breaker_states,
    close_breaker,
    note,
    open_breaker,
)
from gateway.payouts.dispatch import dispatch
from gateway.payouts.health import IN_ROW_MOST, LONGEST_PAUSE, WINDOW
from gateway.payouts.rails import Rails
from tests.factories import NOW, FakeRail, make_deposit, make_orders
from tests.integration.payouts.claiming import LimitedRail, Time, allowed, claim, free_of_orders, incidents, settle

RAILS = Rails({"fake": LimitedRail(concurrency=BOUNDLESS), "other": LimitedRail("other", concurrency=BOUNDLESS)})
OK, BAD = Seen("fake", ok=True, reason=""), Seen("fake", ok=False, reason="no answer within 5 s")


@pytest.fixture
async def engines(engine, database_url):
    await free_of_orders(engine)
    other = make_engine(database_url)
    yield engine, other
    await other.dispose()


async def see(engine, *seen, now=NOW):
    async with transaction(engine) as connection:
        await note(connection, seen=seen, now=now)


async def state(engine, rail="fake"):
    async with transaction(engine) as connection:
        return {one.rail: one for one in await breaker_states(connection)}.get(rail)


async def broken(engine, *, now=NOW):
    await see(engine, *[BAD] * IN_ROW_MOST, now=now)
    found = await state(engine)
    assert found.state is Breaker.OPEN
    return found.open_until


async def test_failures_in_a_row_stop_the_rail_for_a_while_and_say_why(engines):
    until = await broken(engines[0])
    allowance = await allowed(engines[1], RAILS)
    assert (allowance.most, allowance.again_at) == (0, until)
    assert "no answer within 5 s" in allowance.reason
    assert (await allowed(engines[1], RAILS, name="other")).most > 1_000
    assert await incidents(engines[0]) == ["breaker_open"]


async def test_two_workers_that_each_see_a_part_of_the_failures_open_it_together(engines):
    for number in range(IN_ROW_MOST):
        assert (await allowed(engines[0], RAILS)).most > 0
        await see(engines[number % 2], BAD)
    assert (await allowed(engines[0], RAILS)).most == 0


async def test_answers_at_once_are_all_counted(engines):
    await see(engines[0], BAD)
    await asyncio.gather(*(see(engines[n % 2], one) for n, one in enumerate([BAD, OK, OK, OK] * 3)))
    assert (await state(engines[0])).state is Breaker.CLOSED
    async with transaction(engines[0]) as connection:
        row = (await connection.execute(text("SELECT good, bad FROM rail_states"))).one()
    assert tuple(row) == (9, 4)


async def test_a_success_that_another_worker_saw_breaks_the_row(engines):
    await see(engines[0], *[BAD] * (IN_ROW_MOST - 1))
    await see(engines[1], OK)
    await see(engines[0], BAD)
    assert (await state(engines[0])).state is Breaker.CLOSED


async def test_a_rail_that_works_is_neither_written_nor_locked(engines):
    statements = []
    event.listen(engines[0].sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    async with transaction(engines[0]) as connection:
        await note(connection, seen=[OK] * 100, now=NOW)
    assert statements == []
    assert await state(engines[0]) is None


async def test_a_minute_after_the_last_failure_nothing_is_written_any_more(engines):
    await see(engines[0], BAD, OK)
    await see(engines[0], OK, now=NOW + WINDOW + timedelta(seconds=1))
    statements = []
    event.listen(engines[0].sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    await see(engines[0], OK, now=NOW + 2 * WINDOW)
    assert statements == []


async def test_after_the_pause_exactly_one_of_many_claims_gets_the_probe(engines):
    until = await broken(engines[0])
    assert await claim(engines[0], RAILS, now=until - timedelta(seconds=1)) == []
    claims = await asyncio.gather(*(claim(engines[n % 2], RAILS, now=until) for n in range(20)))
    assert sum(map(len, claims)) == 1
    assert (await state(engines[0])).state is Breaker.HALF_OPEN


async def test_no_batch_goes_as_a_probe(engines):
    until = await broken(engines[0])
    allowance = await allowed(engines[0], RAILS, now=until)
    assert (allowance.most, allowance.in_bulk) == (1, False)


async def test_a_good_probe_lets_everything_through_again(engines):
    until = await broken(engines[0])
    ids = await claim(engines[0], RAILS, now=until)
    await settle(engines[0], ids, outcome="paid", now=until)
    await see(engines[1], OK, now=until)
    assert (await state(engines[0])).state is Breaker.CLOSED
    assert len(await claim(engines[0], RAILS, now=until)) == 200


async def test_a_bad_probe_stops_it_for_longer_without_another_incident(engines):
    first = await broken(engines[0])
    later = first + timedelta(hours=2)
    ids = await claim(engines[0], RAILS, now=later)
    await settle(engines[0], ids, now=later)
    await see(engines[0], BAD, now=later)
    found = await state(engines[0])
    assert found.state is Breaker.OPEN
    assert found.open_until - later > 1.5 * (first - NOW)
    assert await incidents(engines[0]) == ["breaker_open"]


async def test_a_probe_whose_worker_died_is_replaced_after_its_lease(engines):
    until = await broken(engines[0])
    assert len(await claim(engines[0], RAILS, now=until)) == 1
    assert await claim(engines[1], RAILS, now=until + timedelta(seconds=9)) == []
    assert len(await claim(engines[1], RAILS, now=until + timedelta(seconds=11))) == 1


async def test_answers_to_calls_from_before_do_not_close_it(engines):
    await broken(engines[0])
    await see(engines[0], *[OK] * 50)
    assert (await state(engines[0])).state is Breaker.OPEN


async def test_a_clock_set_back_keeps_it_shut_no_longer_than_the_longest_pause(engines):
    await broken(engines[0])
    back = NOW - timedelta(days=3)
    assert len(await claim(engines[0], RAILS, now=back + LONGEST_PAUSE)) == 1


async def test_a_rail_that_fails_now_and_then_opens_one_incident_an_hour(engines):
    now = NOW
    for _ in range(4):
        until = await broken(engines[0], now=now)
        await allowed(engines[0], RAILS, now=until)
        await see(engines[0], OK, now=until)
        now = until + timedelta(seconds=1)
    assert await incidents(engines[0]) == ["breaker_open"]
    await broken(engines[0], now=NOW + timedelta(hours=1))
    assert await incidents(engines[0]) == ["breaker_open"] * 2


async def operator(engine):
    async with transaction(engine) as connection:
        await add_operator(connection, name="amina", password_hash="x", now=NOW)


async def by_hand(engine, verb, *, now=NOW, **given):
    async with transaction(engine) as connection:
        await verb(connection, rail="fake", now=now, **{"operator": "amina", "reason": "maintenance until 6", **given})


async def test_a_rail_stopped_by_hand_stays_stopped_until_a_person_starts_it(engines):
    await operator(engines[0])
    await by_hand(engines[0], open_breaker)
    later = NOW + timedelta(days=3)
    await see(engines[0], *[OK] * 50, now=later)
    await see(engines[0], *[BAD] * 50, now=later)
    allowance = await allowed(engines[0], RAILS, now=later)
    assert (allowance.most, allowance.again_at) == (0, None)
    assert allowance.reason == "stopped by amina: maintenance until 6"
    found = await state(engines[0])
    assert (found.state, found.stopped_by, found.reason) == (Breaker.STOPPED, "amina", "maintenance until 6")
    await by_hand(engines[0], close_breaker, reason="they are back", now=later)
    assert (await allowed(engines[0], RAILS, now=later)).most > 1_000
    async with transaction(engines[0]) as connection:
        done = (await connection.execute(text("SELECT action, subject FROM operator_actions ORDER BY id"))).all()
    assert [tuple(row) for row in done[-2:]] == [("rail.stop", "rail:fake"), ("rail.start", "rail:fake")]


async def test_a_person_may_close_what_failures_opened(engines):
    await operator(engines[0])
    await broken(engines[0])
    await by_hand(engines[0], close_breaker)
    assert len(await claim(engines[0], RAILS)) == 200


async def test_what_is_so_already_is_refused(engines):
    await operator(engines[0])
    with pytest.raises(BreakerIsClosed, match="nothing stops"):
        await by_hand(engines[0], close_breaker)
    await by_hand(engines[0], open_breaker)
    with pytest.raises(BreakerIsOpen, match="amina"):
        await by_hand(engines[0], open_breaker)
    with pytest.raises(Refusal):
        await by_hand(engines[0], close_breaker, operator="nobody")
    assert (await state(engines[0])).state is Breaker.STOPPED


async def test_a_rail_that_fails_gets_no_more_orders_until_its_probe_was_good(engine):
    """The real dispatch: of thirty orders the dead rail gets those that were under way, then one at a time."""
    rail, clock = FakeRail(), Time()
    rails = Rails({"fake": rail})
    for order in await make_orders(engine, 30):
        await make_deposit(engine, order)
    while await book_deposits(engine, least={}, now=NOW):
        pass
    rail.answers = [NotSent("connection refused")] * 21
    for _ in range(5):
        await dispatch(engine, rails=rails, clock=clock)
    assert len(rail.calls) == 20, "as many as it takes at once; by then five have failed"
    clock.now = (await state(engine)).open_until
    await dispatch(engine, rails=rails, clock=clock)
    assert len(rail.calls) == 21, "the probe, which fails"
    await dispatch(engine, rails=rails, clock=clock)
    assert len(rail.calls) == 21
    clock.now = (await state(engine)).open_until
    await dispatch(engine, rails=rails, clock=clock)
    assert (await state(engine)).state is Breaker.CLOSED
    for _ in range(40):
        clock.pass_(minutes=1)
        await dispatch(engine, rails=rails, clock=clock)
    assert len(rail.paid) == 30
