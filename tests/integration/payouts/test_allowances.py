"""Limits of a rail hold for all processes together."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from gateway.db.session import make_engine, transaction
from gateway.payouts.allowances import BOUNDLESS, allowances
from gateway.payouts.gcra import CLOCKS_APART, Pace
from gateway.payouts.rails import Rails
from tests.factories import NOW
from tests.integration.payouts.claiming import LimitedRail, allowed, claim, free_of_orders, settle


@pytest.fixture
async def engines(engine, database_url):
    """Two processes' worth of connections, without foreign keys to orders."""
    await free_of_orders(engine)
    other = make_engine(database_url)
    yield engine, other
    await other.dispose()


async def together(engines, rails, *, times, **how):
    """Claims at once, half of them from another process. Returns all ids."""
    claims = await asyncio.gather(*(claim(engines[n % 2], rails, **how) for n in range(times)))
    return [one for ids in claims for one in ids]


async def test_claims_at_once_make_no_more_calls_than_the_rail_takes(engines):
    rails = Rails({"fake": LimitedRail(concurrency=7)})
    ids = await together(engines, rails, times=20, wanted=3)
    assert len(ids) == 7
    allowance = await allowed(engines[0], rails)
    assert (allowance.most, allowance.reason) == (0, "7 calls are under way")
    assert NOW < allowance.again_at <= NOW + timedelta(seconds=1)
    await settle(engines[0], ids[:2])
    assert len(await together(engines, rails, times=5)) == 2


async def test_a_dead_workers_calls_count_until_its_lease_has_run_out(engines):
    rails = Rails({"fake": LimitedRail(concurrency=3)})
    assert len(await claim(engines[0], rails)) == 3
    assert await claim(engines[0], rails, now=NOW + timedelta(seconds=9)) == []
    assert len(await claim(engines[0], rails, now=NOW + timedelta(seconds=11))) == 3


async def test_a_lease_from_before_the_clock_was_set_back_counts_no_more(engines):
    rails = Rails({"fake": LimitedRail(concurrency=3)})
    await claim(engines[0], rails)
    assert len(await claim(engines[0], rails, now=NOW - timedelta(days=1))) == 3


async def test_only_what_is_being_sent_counts(engines):
    rails = Rails({"fake": LimitedRail(concurrency=3)})
    ids = await claim(engines[0], rails)
    async with transaction(engines[0]) as connection:
        await connection.execute(text("UPDATE attempts SET outcome = 'pending' WHERE id = ANY(:ids)"), {"ids": ids})
    assert (await allowed(engines[0], rails)).most == 3


async def test_the_payments_of_a_batch_are_one_call(engines):
    rails = Rails({"fake": LimitedRail(concurrency=3)})
    ids = await claim(engines[0], rails)
    async with transaction(engines[0]) as connection:
        await connection.execute(text("UPDATE attempts SET batch_id = 'bat' WHERE id = ANY(:ids)"), {"ids": ids})
    assert (await allowed(engines[0], rails)).most == 2


async def test_no_second_sees_more_payments_than_the_rail_takes_whoever_claims_them(engines):
    rails = Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=20)})
    claimed = []
    for tick in range(0, 3_000, 50):
        now = NOW + timedelta(milliseconds=tick)
        claimed += [tick] * len(await together(engines, rails, times=2, now=now))
    assert max(sum(first <= other < first + 1_000 for other in claimed) for first in claimed) <= 20
    assert len(claimed) >= 54


async def test_who_has_to_wait_for_the_pace_is_told_until_when(engines):
    rails = Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=4)})
    await claim(engines[0], rails)
    allowance = await allowed(engines[0], rails)
    assert (allowance.most, allowance.reason) == (0, "it takes 4 payments a second")
    assert (await allowed(engines[0], rails, now=allowance.again_at)).most == 1


async def test_a_clock_set_back_stops_no_rail_and_lets_no_burst_through(engines):
    rails = Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=100)})
    before = NOW - timedelta(days=1)
    burst = len(await claim(engines[0], rails))
    assert burst == Pace.of(100).burst
    assert await together(engines, rails, times=4, now=before) == []
    assert len(await together(engines, rails, times=4, now=before + timedelta(seconds=1))) == burst


async def test_a_clock_a_little_behind_anothers_waits_for_it(engines):
    rails = Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=100)})
    await claim(engines[0], rails)
    behind = NOW - CLOCKS_APART / 2
    assert await together(engines, rails, times=2, now=behind) == []
    assert await claim(engines[0], rails) == []


async def test_a_clock_set_forward_lets_one_burst_through(engines):
    rails = Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=100)})
    await claim(engines[0], rails)
    ids = await together(engines, rails, times=4, now=NOW + timedelta(days=1))
    assert len(ids) == Pace.of(100).burst


async def test_a_new_limit_in_the_adapter_counts_at_once(engines):
    await claim(engines[0], Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=100)}))
    later = NOW + timedelta(minutes=1)
    slow = Rails({"fake": LimitedRail(concurrency=1_000, calls_per_s=1)})
    assert len(await together(engines, slow, times=3, now=later)) == 1
    assert await claim(engines[0], slow, now=later + timedelta(milliseconds=900)) == []
    assert len(await claim(engines[0], slow, now=later + timedelta(seconds=1))) == 1


async def test_a_rail_without_limits_costs_one_question_and_no_lock(engines):
    rails = Rails({"fake": LimitedRail(concurrency=BOUNDLESS)})
    await settle(engines[0], await claim(engines[0], rails), outcome="paid")
    statements = []
    event.listen(engines[0].sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    async with transaction(engines[0]) as connection, transaction(engines[1]) as other:
        for one in (connection, other):
            allowance = (await allowances(one, rails=rails, now=NOW))["fake"]
            assert allowance.most > 1_000_000
            assert (allowance.left, allowance.reason, allowance.paced) == (None, None, False)
        assert statements == [], "but one, which the driver itself is given"
        rows = (await connection.execute(text("SELECT count(*) FROM rail_states"))).scalar()
    assert rows == 0


async def test_one_rails_limit_holds_up_no_other(engines):
    rails = Rails({"fake": LimitedRail(concurrency=1), "other": LimitedRail("other", concurrency=BOUNDLESS)})
    await claim(engines[0], rails)
    assert await claim(engines[0], rails) == []
    assert len(await claim(engines[0], rails, name="other")) == 200
