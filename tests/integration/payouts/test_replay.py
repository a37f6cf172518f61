"""History through another policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.offramp import Fault
from gateway.payouts import replay as room
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.payouts.replay import Comparison, median, replay
from gateway.routing.policy import Rule
from tests.factories import KES, NOW, failed, know_assets
from tests.integration.payouts.claiming import Time, book_top_up
from tests.integration.payouts.test_backlog import FEE, Still
from tests.integration.payouts.test_dispatch import Rail, funded


@pytest.fixture
async def clock(engine):
    await know_assets(engine)
    return Time()


@pytest.fixture
def rails():
    return Rails({"a": Rail("a"), "b": Rail("b")})


async def history(engine, rails, clock, *, claims=3, each=2):
    scenes = Still(rails)
    for _ in range(claims):
        await funded(engine, each, at=clock())
        await dispatch(engine, rails=rails, clock=clock, scenes=scenes)
        clock.pass_(hours=1)


async def compared(engine, rails, change=lambda policy: policy, *, since=NOW, until=NOW + timedelta(days=1)):
    found = Comparison(policy="other")
    seen = [step async for step in replay(engine, rails=rails, policy=change, since=since, until=until, into=found)]
    return found, seen


def without(rail):
    return lambda policy: replace(policy, rules=(Rule(never=frozenset({rail})),))


async def test_the_policy_that_held_would_have_chosen_the_same(engine, rails, clock):
    await history(engine, rails, clock)
    found, _ = await compared(engine, rails)
    assert (found.decisions, found.changed, found.waits, found.freed) == (6, 0, 0, 0)
    assert found.recorded == found.other
    assert found.recorded.rails == {"a": 6}
    assert found.recorded.rail_fees == {KES: 0}


async def test_float_that_the_other_policy_promises_is_promised_once_too(engine, rails, clock):
    await book_top_up(engine, units=2 * 124_900, name="a")
    await history(engine, rails, clock, claims=1, each=4)
    found, _ = await compared(engine, rails)
    assert found.recorded.rails == found.other.rails == {"a": 2, "b": 2}


async def test_only_what_lies_between_the_two_times_is_compared(engine, rails, clock):
    await history(engine, rails, clock)
    found, _ = await compared(engine, rails, since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2))
    assert found.decisions == 2


async def test_history_is_read_piece_by_piece(engine, rails, clock, monkeypatch):
    monkeypatch.setattr(room, "CLAIMS_AT_ONCE", 2)
    await history(engine, rails, clock, claims=5)
    found, seen = await compared(engine, rails)
    assert found.decisions == 10
    assert [step.decisions for step in seen] == [4, 8, 10]


async def test_what_really_happened_is_told_beside_it(engine, rails, clock):
    rails["a"].answers.append(failed(Fault.TRANSIENT))
    await history(engine, rails, clock, claims=1)
    found, _ = await compared(engine, rails)
    assert (found.failed, found.took_s.total()) == (1, 1)


async def test_another_policy_s_cost_stands_beside_what_was_chosen(engine, rails, clock):
    await history(engine, rails, clock)
    found, _ = await compared(engine, rails, without("a"))
    assert (found.changed, found.guessed) == (6, 6)
    assert found.moves == {("a", "b"): 6}
    assert (found.recorded.rail_fees, found.other.rail_fees) == ({KES: 0}, {KES: 6 * FEE})


def test_the_median_of_counts_is_the_middle_one():
    counted = Comparison(policy="x").took_s
    assert median(counted) == 0
    counted.update({3: 2, 10: 1, 1: 2})
    assert median(counted) == 3
