"""Runs of the schedule: one per period however many workers there are, taken over from the dead, visible afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

pytest.register_assert_rewrite("tests.integration.treasury.till")

from gateway.db.session import transaction  # noqa: E402
from gateway.money import Money  # noqa: E402
from gateway.offramp import LineKind  # noqa: E402
from gateway.treasury.reconcile import reconcile_when_due  # noqa: E402
from gateway.treasury.runs import LEASE, begin, last_reconciliation, period_of  # noqa: E402
from tests.factories import KES, NOW  # noqa: E402
from tests.integration.treasury.till import House  # noqa: E402

DAY = 86_400


@pytest.fixture
async def house(engine):
    made = House(engine)
    await made.open()
    return made


async def due(house, *, chains=None):
    async def none():
        return ()

    return await reconcile_when_due(house.engine, rails=house.rails, chains=chains or none, every_s=DAY, clock=house.clock)


async def test_a_period_is_reconciled_once_by_whichever_worker_comes_first(house):
    assert sum(await asyncio.gather(*(due(house) for _ in range(5)))) == 1
    assert await due(house) == 0
    house.later(days=1)
    assert await due(house) == 1
    rows = await house.rows("SELECT period, outcome FROM reconciliations ORDER BY period")
    today = NOW.replace(hour=0)
    assert [(row.period, row.outcome) for row in rows] == [(today, "equal"), (today + timedelta(days=1), "equal")]


async def test_a_period_whose_worker_died_is_taken_over_when_its_lease_ends(house):
    async def dies():
        raise KeyboardInterrupt

    async def killed():
        with pytest.raises(KeyboardInterrupt):
            await due(house, chains=dies)

    await killed()
    assert await due(house) == 0
    house.now += LEASE
    assert await due(house) == 1
    assert len(await house.rows("SELECT FROM reconciliations")) == 1


async def test_the_last_run_and_what_is_open_are_visible(house):
    async with transaction(house.engine) as connection:
        assert await last_reconciliation(connection) is None
        # A run that hasn't come to its end says nothing.
        assert await begin(connection, period=None, now=house.now)
    await house.pay()
    house.till.write(LineKind.OTHER, Money(5_00, KES), leaves=True)
    report = await house.run()
    async with transaction(house.engine) as connection:
        last = await last_reconciliation(connection)
    assert (last.run_id, last.finished_at, last.outcome, last.open_breaks) == (report.run_id, house.now, "breaks", 1)
    [missing] = last.not_made
    assert missing.startswith("chain:31337: ")


def test_periods_are_the_same_for_all_workers():
    assert period_of(NOW, every_s=DAY) == NOW.replace(hour=0)
    assert period_of(NOW + timedelta(hours=11, minutes=59), every_s=DAY) == NOW.replace(hour=0)
    assert period_of(NOW, every_s=7) <= NOW < period_of(NOW, every_s=7) + timedelta(seconds=7)
