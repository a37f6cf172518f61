"""Every decision is kept, and told later it is what was really chosen, whatever happened since."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import reading, transaction
from gateway.failpoints import arm
from gateway.offramp import Fault, Method
from gateway.payouts.dispatch import dispatch
from gateway.payouts.explain import explain, foresee
from gateway.payouts.rails import Rails
from gateway.routing.choose import FLOAT_LOW, NO_RAIL, Hold, Pay, Wait
from gateway.routing.decisions import Keeper, Shelf, prune
from gateway.routing.experience import Experience, Outlook, band_of
from gateway.routing.policy import Policy
from gateway.routing.scene import Scene
from tests.factories import NOW, failed, know_assets
from tests.integration.payouts.claiming import Time, book_top_up
from tests.integration.payouts.test_dispatch import BulkRail, Rail, funded
from tests.integration.payouts.test_failover import ordered


@pytest.fixture
async def clock(engine):
    await know_assets(engine)
    return Time()


def delivering(units):
    """A quote of the same price by which less is delivered."""
    return {"receive_units": units, "rounding_units": 8 + 124_900 - units}


async def told(engine, order_id, rails):
    async with reading(engine) as connection:
        return await explain(connection, order_id=order_id, rails=rails, shelf=Shelf())


async def every_decision(engine):
    async with reading(engine) as connection:
        sent = await connection.execute(text("SELECT order_id, id, adapter, way FROM attempts ORDER BY id"))
        held = await connection.execute(
            text("SELECT order_id, data ->> 'reason' AS reason FROM order_events WHERE event = 'hold_placed'")
        )
        return sent.all(), held.all()


async def moved_until_nothing_moves(engine, rails, clock, **options):
    for _ in range(60):
        if not await dispatch(engine, rails=rails, clock=clock, **options):
            return


class Moody(Rail):
    """Fails by its own dice."""

    def __init__(self, name, *, dice, **changes):
        super().__init__(name, **changes)
        self.dice = dice

    async def pay(self, instruction):
        if self.dice.random() < 0.4:
            return failed(self.dice.choice([Fault.RECIPIENT, Fault.TRANSIENT, Fault.RAIL, Fault.FLOAT]))
        return await super().pay(instruction)


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_told_of_a_decision_is_what_was_chosen(engine, clock, seed):
    dice = random.Random(seed)
    rails = Rails(
        {
            "a": Moody("a", dice=dice, concurrency=dice.choice([2, 10_000])),
            "b": Moody("b", dice=dice, calls_per_s=dice.choice([1, 3, None])),
            "c": BulkRail("c", concurrency=1),
            "d": Moody("d", dice=dice, method=Method.BANK),
        }
    )
    if dice.random() < 0.7:
        await book_top_up(engine, units=dice.randrange(10**5, 10**7), name="a")
    orders = []
    for _ in range(4):
        orders += await funded(engine, dice.randrange(1, 5), **delivering(dice.randrange(10, 1_200) * 100))
        orders.append((await ordered(engine, "+254722000111", **delivering(dice.randrange(10, 1_200) * 100))).order_id)
        orders += await funded(engine, 2, speed="economy")
        orders += await funded(engine, 1, method="card")
        await moved_until_nothing_moves(engine, rails, clock)
        clock.pass_(seconds=dice.choice([1, 40, 700]))
    await moved_until_nothing_moves(engine, rails, clock)
    sent, held = await every_decision(engine)
    found = {order_id: await told(engine, order_id, rails) for order_id in {row.order_id for row in (*sent, *held)}}
    choices = {(one.ask.order_id, one.ask.attempt_id): one.ranking.choice for each in found.values() for one in each}
    assert sent
    for row in sent:
        assert choices[row.order_id, row.id] == Pay(row.adapter, row.way)
    for row in held:
        assert choices[row.order_id, None] == Hold(row.reason)
    assert len(choices) == len(sent) + len(held)


async def test_a_set_of_equal_orders_is_one_small_row(engine, clock):
    await funded(engine, 50)
    await dispatch(engine, rails=Rails({"fake": Rail("fake")}), clock=clock)
    async with reading(engine) as connection:
        found = await connection.execute(text("SELECT pg_column_size(d.*) AS size FROM route_decisions AS d"))
        [size] = found.scalars().all()
    assert size < 300


async def test_the_scene_is_kept_once_however_many_claims_see_it(engine, clock):
    rails = Rails({"fake": Rail("fake")})
    keeper = Keeper()
    for _ in range(3):
        await funded(engine, 2)
        await dispatch(engine, rails=rails, clock=clock, keeper=keeper)
        clock.pass_(seconds=1)
    async with reading(engine) as connection:
        counted = "SELECT (SELECT count(*) FROM route_scenes), (SELECT count(*) FROM route_decisions)"
        assert (await connection.execute(text(counted))).one() == (1, 3)


async def test_a_hold_is_explained_too(engine, clock):
    [order] = await funded(engine, method="card")
    rails = Rails({"fake": Rail("fake")})
    await dispatch(engine, rails=rails, clock=clock)
    [one] = await told(engine, order, rails)
    assert one.ranking.choice == Hold(NO_RAIL)
    assert one.ask.attempt_id is None
    assert one.at == NOW


async def test_what_waits_is_told_how_the_choice_would_fall_now(engine, clock):
    await book_top_up(engine, units=10)
    [order] = await funded(engine)
    rails = Rails({"fake": Rail("fake")})
    await dispatch(engine, rails=rails, clock=clock)
    assert await told(engine, order, rails) == []
    async with reading(engine) as connection:
        scene = Scene(capabilities=rails.capabilities)
        seen = await foresee(connection, order_id=order, rails=rails, scene=scene, now=NOW)
    assert isinstance(seen.ranking.choice, Wait)
    assert seen.ranking.choice.reason == FLOAT_LOW
    await book_top_up(engine, units=10**9, reference="two")
    async with reading(engine) as connection:
        seen = await foresee(connection, order_id=order, rails=rails, scene=scene, now=NOW)
    assert seen.ranking.choice == Pay("fake", 0)


async def test_what_is_sent_is_not_foreseen(engine, clock):
    [order] = await funded(engine)
    rails = Rails({"fake": Rail("fake")})
    await dispatch(engine, rails=rails, clock=clock)
    async with reading(engine) as connection:
        scene = Scene(capabilities=rails.capabilities)
        assert await foresee(connection, order_id=order, rails=rails, scene=scene, now=NOW) is None


SAID = Outlook(p50_s=77, p95_s=777, success=0.5, success_low=0.25, samples=40)


class Knowing:
    """A scene whose experience says this of a rail's ordinary payment."""

    def __init__(self, rails):
        answers = {("fake", None, NOW.hour, "KES", band_of(124_900)): SAID}
        experience = Experience.remembered(answers, capabilities=rails.capabilities)
        self.scene = Scene(capabilities=rails.capabilities, experience=experience)

    async def at(self, _engine, *, now):
        assert now
        return self.scene


async def test_a_decision_is_told_with_what_experience_said_then(engine, clock):
    rails, keeper = Rails({"fake": Rail("fake")}), Keeper()
    scenes = Knowing(rails)
    for _ in range(2):
        [order] = await funded(engine)
        await dispatch(engine, rails=rails, clock=clock, scenes=scenes, keeper=keeper)
        [one] = await told(engine, order, rails)
        numbers = one.ranking.candidates[0].numbers
        assert (numbers.p50_s, numbers.p95_s, numbers.success_ppm, numbers.samples) == (77, 777, 500_000, 40)
    async with reading(engine) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM route_outlooks"))).scalar() == 1


async def test_a_claim_that_is_rolled_back_keeps_nothing_and_the_next_one_keeps_all(engine, clock):
    """Also what experience said: what was to be kept with the claim that failed is kept with the next one."""
    [order] = await funded(engine)
    rails, keeper = Rails({"fake": Rail("fake")}), Keeper()
    scenes = Knowing(rails)

    def die(point):
        if point == "dispatch.claim:before_commit":
            raise KeyboardInterrupt

    arm(die)
    try:
        with pytest.raises(KeyboardInterrupt):
            await dispatch(engine, rails=rails, clock=clock, scenes=scenes, keeper=keeper)
    finally:
        arm(None)
    assert await told(engine, order, rails) == []
    await dispatch(engine, rails=rails, clock=clock, scenes=scenes, keeper=keeper)
    [one] = await told(engine, order, rails)
    assert one.ranking.choice == Pay("fake", 0)
    assert one.ranking.candidates[0].numbers.p50_s == SAID.p50_s


async def test_decisions_are_deleted_when_they_are_old_and_what_newer_ones_rest_on_stays(engine, clock):
    rails, keeper = Rails({"fake": Rail("fake")}), Keeper()
    orders, scenes = [], Knowing(rails)
    for _ in range(2):
        orders += await funded(engine, at=clock())
        await dispatch(engine, rails=rails, clock=clock, scenes=scenes, keeper=keeper)
        clock.pass_(days=20)
    now = clock()
    while await prune(engine, keep_for=timedelta(days=30), now=now):
        pass
    assert await told(engine, orders[0], rails) == []
    [one] = await told(engine, orders[1], rails)
    assert one.ranking.candidates[0].numbers.p50_s == SAID.p50_s
    while await prune(engine, keep_for=timedelta(days=1), now=now):
        pass
    async with reading(engine) as connection:
        tables = ("route_decisions", "route_outlooks", "route_scenes")
        assert [(await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar() for name in tables] == [0, 0, 0]


async def test_experience_that_lasts_while_scenes_change_is_kept_anew_every_day(engine, clock):
    rails, keeper = Rails({"fake": Rail("fake")}), Keeper()
    scenes = Knowing(rails)
    for number in range(5):
        scenes.scene = replace(scenes.scene, policy=Policy(name=f"policy {number}"))
        [order] = await funded(engine, at=clock())
        await dispatch(engine, rails=rails, clock=clock, scenes=scenes, keeper=keeper)
        clock.pass_(hours=24 if number == 3 else 20)
    while await prune(engine, keep_for=timedelta(hours=21), now=clock()):
        pass
    [one] = await told(engine, order, rails)
    async with reading(engine) as connection:
        said = await connection.execute(text("SELECT min(kept_at) FROM route_outlooks"))
        assert one.at - said.scalar() < timedelta(days=2)


async def test_a_decision_is_never_changed(engine, clock):
    await funded(engine)
    await dispatch(engine, rails=Rails({"fake": Rail("fake")}), clock=clock)
    with pytest.raises(Exception, match="append-only"):
        async with transaction(engine) as connection:
            await connection.execute(text("UPDATE route_decisions SET policy = 'other'"))
