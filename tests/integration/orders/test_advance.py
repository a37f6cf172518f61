"""advance() does what the table says, for every state and event, once per cause."""

from __future__ import annotations

import asyncio
import re
from itertools import product

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.db.session import transaction
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Money
from gateway.orders.advance import Move, UnknownOrder, Verdict, advance
from gateway.orders.postings import OWN, TEMPLATES
from gateway.orders.states import ECHOES, TABLE, E, P, S
from tests.factories import NOW, USDC, make_orders

DUE = Money(10_000_000, USDC)
DATA = {"funds": "10000000", "unallocated": "0", "units": "10000000", "adapter": "fake", "wallet": "wallet:31337"}


async def put(engine, order, state):
    """Set an order's state behind advance()'s back, with money in each of its accounts."""
    async with transaction(engine) as connection:
        own = f"order:{order.order_id}"
        transfers = tuple(Transfer("chain:31337", f"{own}:{name}", DUE) for name in OWN)
        await post(connection, entries=[Entry(f"test:{order.order_id}", "test", transfers)], now=NOW)
        await connection.execute(
            text("UPDATE orders SET state = :state WHERE id = :id"), {"state": state, "id": order.order_id}
        )


async def states(engine):
    async with transaction(engine) as connection:
        rows = await connection.execute(text("SELECT id, state, version FROM orders"))
        return {row.id: (S(row.state), row.version) for row in rows}


async def count(engine, table):
    async with transaction(engine) as connection:
        return (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()


async def take(engine, *moves):
    async with transaction(engine) as connection:
        return [one.verdict for one in await advance(connection, moves=moves, now=NOW)]


async def test_every_state_and_event_does_what_the_table_says(engine):
    pairs = list(product(S, E))
    orders = await make_orders(engine, len(pairs))
    for order, (state, _) in zip(orders, pairs, strict=True):
        await put(engine, order, state)
    moves = [
        Move(order_id=order.order_id, event=event, cause="c", data=DATA | {"from_order": order.order_id})
        for order, (_, event) in zip(orders, pairs, strict=True)
    ]
    before = {table: await count(engine, table) for table in ("order_events", "outbox", "journal", "incidents")}
    verdicts = await take(engine, *moves)
    after = await states(engine)
    for order, pair, verdict in zip(orders, pairs, verdicts, strict=True):
        if pair in TABLE:
            assert (verdict, after[order.order_id]) == (Verdict.STEPPED, (TABLE[pair].next, 1))
        else:
            assert verdict is (Verdict.ECHOED if pair in ECHOES else Verdict.ILLEGAL)
            assert after[order.order_id] == (pair[0], 0)
    posting = sum(step.posting is not P.NONE for step in TABLE.values())
    grown = {table: await count(engine, table) - before[table] for table in before}
    illegal = len(pairs) - len(TABLE) - len(ECHOES)
    assert grown == {"order_events": len(TABLE), "outbox": len(TABLE), "journal": posting, "incidents": illegal}
    assert posting >= len(TEMPLATES)


async def test_a_cause_acts_once_even_where_its_event_would_be_a_step_again(engine):
    [order] = await make_orders(engine)
    seen = Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="seen")
    assert await take(engine, seen) == [Verdict.STEPPED]
    assert await take(engine, Move(order_id=order.order_id, event=E.DEPOSIT_DROPPED, cause="dropped")) == [Verdict.STEPPED]
    assert await take(engine, seen) == [Verdict.REPLAYED]
    assert (await states(engine))[order.order_id] == (S.AWAITING_DEPOSIT, 2)


async def test_a_hundred_at_once_take_the_step_once(engine):
    [order] = await make_orders(engine)
    move = Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="seen")
    verdicts = await asyncio.gather(*(take(engine, move) for _ in range(100)))
    assert verdicts.count([Verdict.STEPPED]) == 1
    assert verdicts.count([Verdict.REPLAYED]) == 99


async def test_rivals_at_once_one_wins_and_the_other_is_told(engine):
    orders = await make_orders(engine, 20)
    moves = [
        [Move(order_id=order.order_id, event=event, cause=event.value) for event in (E.DEADLINE_PASSED, E.DEPOSIT_SEEN)]
        for order in orders
    ]
    await asyncio.gather(*(take(engine, move) for pair in moves for move in pair))
    # Whichever came first: a deposit that is seen after the deadline still counts.
    assert {state for state, _ in (await states(engine)).values()} == {S.CONFIRMING}


async def test_sets_in_opposite_order_do_not_lock_each_other_out(engine):
    orders = await make_orders(engine, 30)
    seen = [Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="seen") for order in orders]
    again = [Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="again") for order in reversed(orders)]
    verdicts = await asyncio.gather(take(engine, *seen), take(engine, *again))
    assert {tuple(sorted(pair)) for pair in zip(verdicts[0], reversed(verdicts[1]), strict=True)} == {
        (Verdict.ECHOED, Verdict.STEPPED)
    }


async def test_an_overdraft_takes_the_whole_set_back(engine):
    rich, poor = await make_orders(engine, 2)
    await put(engine, rich, S.FUNDED)
    async with transaction(engine) as connection:
        await connection.execute(text("UPDATE orders SET state = 'funded' WHERE id = :id"), {"id": poor.order_id})
    moves = [Move(order_id=order.order_id, event=E.DISPATCHED, cause="d") for order in (rich, poor)]
    with pytest.raises(IntegrityError, match="no_account_below_zero"):
        await take(engine, *moves)
    assert {state for state, _ in (await states(engine)).values()} == {S.FUNDED}
    assert await count(engine, "order_events") == 0


async def test_bugs_of_the_caller_are_told(engine):
    [order] = await make_orders(engine)
    move = Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="a")
    with pytest.raises(ValueError, match="one move per order"):
        await take(engine, move, move)
    with pytest.raises(UnknownOrder):
        await take(engine, Move(order_id="ord_none", event=E.DEPOSIT_SEEN, cause="a"))
    assert await take(engine) == []


def test_the_database_refuses_a_second_open_attempt(database_url):
    insert = """INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, evidence, asks,
        lease_token, created_at, updated_at) VALUES (%s, %s, 'a', 'KES', 1, 'unknown', '{}', 0, 1, now(), now())"""

    async def prepare():
        from gateway.db.session import make_engine

        engine = make_engine(database_url)
        [order] = await make_orders(engine)
        await engine.dispose()
        return order.order_id

    order_id = asyncio.run(prepare())
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(insert, ("att_1", order_id))
        with pytest.raises(psycopg.errors.UniqueViolation, match="one_open_attempt"):
            connection.execute(insert, ("att_2", order_id))


def test_the_database_knows_just_the_states_and_events_of_the_table(database_url):
    with psycopg.connect(database_url) as connection:
        definitions = dict(
            connection.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conname IN ('orders_state_check', 'order_events_event_check')"
            ).fetchall()
        )
    assert set(re.findall(r"'(\w+)'", definitions["orders_state_check"])) == set(S)
    assert set(re.findall(r"'(\w+)'", definitions["order_events_event_check"])) == set(E)


EVENT = """INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at)
    VALUES ('{order}', {version}, 'deposit_dropped', 'confirming', '{state}', '{cause}', '{{}}', now())"""
ATTEMPT = """INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, evidence, asks, lease_token,
    created_at, updated_at) VALUES ('att_1', '{order}', 'a', '{asset}', 1, 'unknown', '{{}}', 0, 1, now(), now())"""
STEP = "UPDATE orders SET state = '{state}', version = {version} WHERE id = '{order}'"


@pytest.mark.parametrize(
    ("version", "state", "cause", "error"),
    [
        (2, "awaiting_deposit", "dropped", None),
        (2, "awaiting_deposit", "seen", "a_cause_acts_once"),
        (2, "paid", "dropped", "order_events_order_id_fkey"),
        (3, "awaiting_deposit", "dropped", "order_events_order_id_fkey"),
        (1, "confirming", "dropped", "order_events_pkey"),
    ],
)
async def test_the_database_takes_an_event_only_with_its_step_and_a_cause_once(engine, version, state, cause, error):
    [order] = await make_orders(engine)
    await take(engine, Move(order_id=order.order_id, event=E.DEPOSIT_SEEN, cause="seen"))

    async def write():
        async with transaction(engine) as connection:
            if version == 2:
                step = STEP.format(order=order.order_id, version=2, state="awaiting_deposit")
                await connection.exec_driver_sql(step)
            event = EVENT.format(order=order.order_id, version=version, state=state, cause=cause)
            await connection.exec_driver_sql(event)

    if error is None:
        await write()
    else:
        with pytest.raises(IntegrityError) as refused:
            await write()
        assert refused.value.orig.diag.constraint_name == error


async def test_the_database_takes_nothing_of_an_order_that_does_not_exist(engine):
    [order] = await make_orders(engine)
    for statement, name in (
        (EVENT.format(order="ord_none", version=1, state="confirming", cause="c"), "order_events_order_id_fkey"),
        (ATTEMPT.format(order="ord_none", asset="KES"), "attempts_order_id_fkey"),
        (ATTEMPT.format(order=order.order_id, asset="XXX"), "attempts_deliver_asset_fkey"),
    ):
        with pytest.raises(IntegrityError) as refused:
            async with transaction(engine) as connection:
                await connection.exec_driver_sql(statement)
        assert refused.value.orig.diag.constraint_name == name


async def test_orders_and_attempts_are_never_deleted_renamed_or_moved(engine):
    [order] = await make_orders(engine)
    async with transaction(engine) as connection:
        await connection.exec_driver_sql(ATTEMPT.format(order=order.order_id, asset="KES"))
    for statement in (
        "DELETE FROM orders",
        "TRUNCATE orders CASCADE",
        "UPDATE orders SET id = 'x'",
        "DELETE FROM attempts",
        "TRUNCATE attempts CASCADE",
        "UPDATE attempts SET order_id = 'x'",
        "UPDATE attempts SET deliver_asset = 'USDC@31337'",
        "UPDATE attempts SET deliver_units = 2",
    ):
        with pytest.raises(DBAPIError, match=r"for ever|append-only"):
            async with transaction(engine) as connection:
                await connection.exec_driver_sql(statement)


async def test_two_writers_of_the_same_cause_at_once_are_told_apart(engine):
    """Both step over advance(): the one that comes second waits for the order's row, and then sees the other's event."""
    [order] = await make_orders(engine)

    async def write():
        async with transaction(engine) as connection:
            step = f"UPDATE orders SET state = 'confirming', version = version + 1 WHERE id = '{order.order_id}'"
            found = await connection.exec_driver_sql(f"{step} RETURNING version")
            event = EVENT.format(order=order.order_id, version=found.scalar_one(), state="confirming", cause="same")
            await asyncio.sleep(0)
            await connection.exec_driver_sql(event)

    done = await asyncio.gather(*(write() for _ in range(5)), return_exceptions=True)
    assert [one for one in done if one is None] == [None]
    assert {one.orig.diag.constraint_name for one in done if one is not None} == {"a_cause_acts_once"}
