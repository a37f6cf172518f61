"""Killed between any two steps, by any worker, what is due is found in the rows: each leg is made once and booked once."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.failpoints import arm
from gateway.ledger.queries import balances
from gateway.legs import LegPlan
from gateway.offramp import Resend
from gateway.payouts.dispatch import dispatch
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.sagas.step import step
from tests.integration.sagas.rail import SELL, WITHDRAW, LegRail, Time
from tests.integration.sagas.test_engine import funded, states

POINTS = [
    *("dispatch.claim:before_commit", "dispatch.claim:after_commit", "send:before", "send:after_reply"),
    *("dispatch.record:before_commit", "dispatch.record:after_commit"),
    *("legs.begin:before_commit", "legs.begin:after_commit", "legs.claim:before_commit", "legs.claim:after_commit"),
    *("legs.send:before", "legs.send:after_reply", "legs.record:before_commit", "legs.record:after_commit"),
]


class Killed(BaseException):
    pass


def kill_at(point, time):
    left = time

    def hook(reached):
        nonlocal left
        left -= reached == point
        if left == 0:
            left = -1
            raise Killed

    arm(hook)


@pytest.fixture(autouse=True)
def _disarm():
    yield
    arm(None)


async def live(engine, rails, clock):
    """A process's life: loops until it is killed or nothing is due."""
    try:
        for _ in range(6):
            await dispatch(engine, rails=rails, clock=clock)
            await poll(engine, rails=rails, clock=clock)
            await step(engine, rails=rails, clock=clock)
    except Killed:
        return True
    return False


TWICE = [point for point in POINTS if point.startswith(("legs.claim", "legs.send", "legs.record"))]
"""Points that come once for each leg."""


@pytest.mark.parametrize(("point", "time"), [*((each, 1) for each in POINTS), *((each, 2) for each in TWICE)])
async def test_a_kill_loses_nothing_and_doubles_nothing(engine, point, time):
    clock = Time()
    rail = LegRail(plans=(LegPlan(name=SELL, resend=Resend.DEDUPED), LegPlan(name=WITHDRAW, resend=Resend.DEDUPED)))
    rails = Rails({"legs": rail})
    await funded(engine)
    kill_at(point, time)
    for _ in range(6):
        await live(engine, rails, clock)
        clock.pass_(minutes=1)
    assert await states(engine) == ["paid"]
    assert len(rail.done) == 2
    async with transaction(engine) as connection:
        booked = {(name, money.asset.code): money.units for name, money in await balances(connection)}
        [(journal, legs)] = await connection.execute(
            text("SELECT (SELECT count(*) FROM journal WHERE template = 'leg_paid'), (SELECT count(*) FROM legs)")
        )
    assert (journal, legs) == (2, 2)
    assert booked["rail:legs", "USD"] == 1000


@pytest.mark.parametrize("point", ["legs.claim:after_commit", "legs.send:before"])
async def test_a_leg_that_may_have_left_us_and_cannot_be_found_is_not_sent_again(engine, point):
    clock, rail = Time(), LegRail()
    rails = Rails({"legs": rail})
    await funded(engine)
    kill_at(point, 1)
    for _ in range(8):
        await live(engine, rails, clock)
        clock.pass_(minutes=2)
    assert (rail.sent, await states(engine)) == ([], ["uncertain"])
