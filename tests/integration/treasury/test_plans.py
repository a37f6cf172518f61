from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from gateway.db.session import transaction
from gateway.money import Money
from gateway.treasury.floatrules import Marks
from gateway.treasury.plans import NoSuchMove, PlanStale, find_move, keep_plan, newest_plan
from gateway.treasury.tables import outlook_document, outlook_lines, plan_document, plan_lines
from tests.factories import KES, USDC, know_assets, make_orders
from tests.integration.treasury.store import COIN, HOUR, OURS, Store, deposit, fill, kes


@pytest.fixture
async def store(engine):
    await know_assets(engine)
    made = Store(engine)
    await made.rate()
    return made


async def test_a_low_float_gives_a_plan_that_a_person_finds_by_its_moves_number(store):
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    async with transaction(store.engine) as connection:
        plan = await newest_plan(connection)
        [move] = plan.moves
        assert await find_move(connection, move_id=move.id, now=store.now) == move
    assert (move.by, move.from_, move.to_rail, move.to) == ("exchange", "rail:exchange", "mpesa", OURS)
    assert (move.money, move.cost) == (kes(160_000), kes(800))
    assert move.give.asset == COIN
    assert "mpesa has 40000.00 KES free, below its mark of 50000.00 KES" in move.why
    await store.look(minutes=15)
    async with transaction(store.engine) as connection:
        assert (await newest_plan(connection)).id == plan.id, "a plan that is good stays"


async def test_a_stale_move_is_not_found_for_approval(store):
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    async with transaction(store.engine) as connection:
        [move] = (await newest_plan(connection)).moves
        with pytest.raises(PlanStale, match="good until 13:00"):
            await find_move(connection, move_id=move.id, now=store.now + HOUR)
        with pytest.raises(NoSuchMove):
            await find_move(connection, move_id="mov_none", now=store.now)
    store.now += timedelta(minutes=1)
    newer = await store.plan()
    async with transaction(store.engine) as connection:
        await keep_plan(connection, plan=newer)
        with pytest.raises(PlanStale, match="a newer plan was made"):
            await find_move(connection, move_id=move.id, now=store.now)
    assert newer.moves[0].id != move.id


async def test_a_plan_and_its_moves_stay_as_they_were_made(store):
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    for statement in (
        "UPDATE float_moves SET units = 1",
        "DELETE FROM float_plans",
        "TRUNCATE float_runs, float_moves, float_plans",
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            await store.run(statement)


async def test_a_float_that_has_enough_for_now_is_left_alone_and_one_that_soon_has_not_is_filled(store):
    await store.paid(days=60, whole=30_000)
    await store.look()
    store.mpesa.holds = [kes(190_000)]
    await store.look()
    assert (await store.plan()).moves == ()
    store.mpesa.holds = [kes(60_000)]
    await store.look()
    [move] = (await store.plan()).moves
    assert "may be at its critical mark by" in move.why
    assert move.at > store.now
    assert move.money == kes(140_000)


async def test_an_exchange_keeps_what_its_own_payouts_may_need(store):
    store.mpesa.holds = [kes(40_000)]
    store.exchange.holds = [Money(2_000_000_000, COIN)]
    await store.look()
    rich = await store.plan()
    await store.paid(days=60, whole=50_000, rail="exchange")
    await store.run("DELETE FROM float_demand")
    await store.look()
    poor = await store.plan()
    assert rich.moves[0].money == kes(160_000)
    assert poor.moves == () or poor.moves[0].money < kes(110_000)
    assert "can't be brought" in poor.notes[0]


async def test_customers_coins_are_never_moved(store):
    store.rules = replace(store.rules, deposits=(deposit(),))
    store.mpesa.holds = [kes(40_000)]
    store.exchange.holds = [Money(0, COIN)]
    await store.look()
    await store.coins(Money(1_300_000_000, USDC))
    first, second = (await store.plan()).moves
    assert (first.from_, first.by, second.after) == ("treasury:31337", None, first.id)
    assert second.money == kes(160_000)
    orders = await make_orders(store.engine, 1, send_units=1_200_000_000)
    await store.run("UPDATE orders SET state = 'held' WHERE id = :id", id=orders[0].order_id)
    plan = await store.plan()
    assert all(move.give <= Money(95_000_000, USDC) for move in plan.moves if move.by is None)
    assert "can't be brought" in plan.notes[0]


async def test_a_surplus_elsewhere_fills_a_float_but_never_below_its_own_target(store):
    local = fill(by="exchange", gives=KES, peg=None, fee_bps=0)
    marks = {**store.rules.marks, ("exchange", "KES"): Marks(target=kes(500_000), low=kes(1))}
    store.rules = replace(store.rules, fills=(local,), marks=marks)
    store.mpesa.holds, store.exchange.holds = [kes(40_000)], [kes(560_000)]
    await store.look()
    plan = await store.plan()
    [move] = plan.moves
    assert (move.give, move.money) == (kes(60_000), kes(60_000))
    assert "100000.00 KES up to its target" in plan.notes[0]


async def test_without_a_price_nothing_is_sold_and_the_plan_says_so(store):
    await store.run("DELETE FROM rate_observations")
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    plan = await store.plan()
    assert plan.moves == ()
    assert any(note.startswith("exchange can't be reckoned with for mpesa: USD/KES") for note in plan.notes)


async def test_readers_get_every_number(store):
    await store.book_in("mpesa", kes(41_000))
    await store.paid(days=30, whole=10_000)
    store.mpesa.holds = [kes(40_000)]
    await store.look()
    outlook, plan = await store.outlook(), await store.plan()
    said = "\n".join(outlook_lines(outlook))
    for part in ("mpesa  KES  available 40000.00 KES", "the rail says 40000.00 KES", "the books say 41000.00 KES"):
        assert part in said
    for part in ("difference -1000.00 KES, of it unexplained -1000.00 KES", "low 50000.00 KES  <- below", "30 days seen"):
        assert part in said
    [mpesa, _exchange] = outlook_document(outlook)["floats"]
    assert (mpesa["told"], mpesa["held"], mpesa["available"], mpesa["days_seen"]) == ("40000.00", "41000.00", "40000.00", 30)
    assert set(mpesa["dry_percent"]) == {"6h", "24h", "72h"}
    [move] = plan_document(plan)["moves"]
    assert (move["money"], move["account"]) == ({"amount": "160000.00", "asset": "KES"}, "0123456789")
    lines = "\n".join(plan_lines(plan))
    assert move["id"] in lines
    assert "cost of all: 800.00 KES" in lines


async def test_nothing_known_is_said(store):
    assert list(outlook_lines(await store.outlook())) == [
        "No float is known: no rail has told its balance yet, and no top-up was booked."
    ]
    assert next(plan_lines(await store.plan())) == "Nothing has to be moved now."
