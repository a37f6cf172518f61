"""How an order's way was chosen, on its page in the console: the same that the API tells, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.offramp import Fault
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.routing import candidates, choose
from gateway.routing.policy import Policy, Rule
from gateway.routing.scene import Scene, Scenes
from gateway.web.console.choices import REASONS, WHYS
from tests.factories import failed, make_orders
from tests.integration.payouts.test_dispatch import Rail, funded, rows

RULES = (Rule(never=frozenset({"third"})), Rule(prefer=frozenset({"second"})))


@pytest.fixture
def rails(desk):
    made = Rails({name: Rail(name) for name in ("first", "second", "third")})
    scene = Scene(capabilities=made.capabilities, policy=Policy(name="night", rules=RULES, explore_percent=0))
    object.__setattr__(desk.services, "rails", made)
    object.__setattr__(desk.services, "scenes", Scenes(scene=scene))
    return made


async def go(desk, rails):
    await dispatch(desk.engine, rails=rails, clock=lambda: desk.now, scenes=desk.services.scenes)


async def test_a_decision_is_told_with_its_candidates_numbers_and_refusals(desk, amina, rails):
    [order] = await funded(desk.engine, at=desk.now)
    await go(desk, rails)
    [[attempt]] = await rows(desk.engine, "SELECT id FROM attempts")
    page = await amina.page(f"/console/payouts/{order}")
    for words in (
        "How the way was chosen",
        "by second",
        "night",
        "a rule prefers it",
        "In hand 1249.00 KES, rail's fee 0.00 KES",
        "90.0 % succeed",
        "a guess",
        "the operator's rules keep it from this payment",
    ):
        assert words in page.text
    assert page.one("a", href=f"#{attempt}")


async def test_what_waits_is_told_how_it_would_go_now_and_why_it_does_not(desk, amina, rails):
    rails["second"].answers = [failed(Fault.RAIL)]
    [order] = await funded(desk.engine, at=desk.now)
    await go(desk, rails)
    async with transaction(desk.engine) as connection:
        stop = "INSERT INTO rail_states (rail, state, stopped_by, reason) VALUES ('first', 'stopped', 'amina', 'x')"
        await connection.execute(text(stop))
    desk.now += timedelta(minutes=1)
    page = await amina.page(f"/console/payouts/{order}")
    assert "Now: waits: stopped by amina: x" in page.text
    assert "it doesn't work for us" in page.text
    assert page.text.count("by second") == 1


async def test_an_order_that_the_rules_leave_no_rail_says_so(desk, amina, rails):
    scene = desk.services.scenes.scene
    policy = replace(scene.policy, rules=(Rule(never=frozenset(rails)),))
    object.__setattr__(desk.services, "scenes", Scenes(scene=replace(scene, policy=policy)))
    [order] = await funded(desk.engine, at=desk.now)
    await go(desk, rails)
    page = await amina.page(f"/console/payouts/{order}")
    assert "held: the operator's rules leave no rail that pays it" in page.text
    assert "the rules in [[routing.rules]] keep every rail from it" in (await amina.page("/console/payouts")).text


async def test_an_order_without_a_decision_has_no_such_part(desk, amina):
    [order] = await make_orders(desk.engine)
    assert "How the way was chosen" not in (await amina.page(f"/console/payouts/{order.order_id}")).text


def test_every_reason_has_its_words():
    told = {candidates.AMOUNT, candidates.INSTITUTION, candidates.POLICY}
    told |= {value for name, value in vars(choose).items() if name.isupper() and isinstance(value, str)}
    assert told == set(REASONS)
    assert set(WHYS) == {"score", "preferred", "share", "explored", "planned"}
