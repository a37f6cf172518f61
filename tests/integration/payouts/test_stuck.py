"""What is past its deadline or waits for a person is listed; what goes on by itself is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.money import Money
from gateway.offramp import Fault, Resend
from gateway.orders.deadlines import keep_deadlines
from gateway.orders.duties import DUTIES
from gateway.orders.funding import book_deposits
from gateway.orders.states import RESTING, S
from gateway.payouts.dispatch import dispatch
from gateway.payouts.outcomes import OPEN
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.stuck import MATTERS, stuck
from tests.factories import KES, NOW, PENDING, USDC, FakeRail, failed, make_deposit, make_orders

FACTS = FakeRail().capabilities
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def run(engine, sql, **values):
    async with transaction(engine) as connection:
        await connection.execute(text(sql), {"now": NOW, **values})


async def look(engine, *, after=timedelta(0), capabilities=None, drops=None):
    facts = {"fake": FACTS} if capabilities is None else capabilities
    async with transaction(engine) as connection:
        found = await stuck(connection, capabilities=facts, drops=drops, now=NOW + after)
    return [one for one in found if one.what != "incident"]


async def paying(engine, answer=PENDING):
    [order] = await make_orders(engine)
    await make_deposit(engine, order)
    await book_deposits(engine, least={}, now=NOW)
    rails = Rails({"fake": FakeRail(answers=[answer])})
    await dispatch(engine, rails=rails, clock=lambda: NOW)
    return order


async def test_nothing_is_stuck_where_all_goes_on_by_itself(engine):
    await make_orders(engine)
    await paying(engine)
    assert await look(engine, after=timedelta(minutes=4)) == []


async def test_nothing_is_stuck_where_all_is_over(engine):
    await paying(engine)
    rails = Rails({"fake": FakeRail()})
    await poll(engine, rails=rails, clock=lambda: NOW + HOUR)
    assert await look(engine, after=365 * DAY) == []


@pytest.mark.parametrize("state", sorted(set(S) - RESTING))
async def test_every_state_that_does_not_rest_is_listed_once_its_time_is_over(engine, state):
    order = await paying(engine)
    await run(engine, "DELETE FROM incidents")
    if state is not S.PAYING:
        await run(engine, "UPDATE attempts SET outcome = 'failed', fault = 'rail', due_at = NULL, closed_at = :now")
        await run(engine, "UPDATE orders SET state = :state, due_at = :now", state=state)
    found = await look(engine, after=2 * DAY)
    [one] = found
    expected = ("attempt", "pending") if state is S.PAYING else ("order", state)
    assert (one.what, one.state, one.order_id) == (*expected, order.order_id)
    assert one.amount in (Money(10_000_000, USDC), Money(124_900, KES))
    assert one.action.startswith("lastmile ")
    assert one.owner
    assert NOW <= one.since < NOW + HOUR
    assert one.due_at <= NOW + 2 * DAY


@pytest.mark.parametrize("outcome", sorted(OPEN))
async def test_every_open_outcome_is_listed_when_its_rail_takes_too_long(engine, outcome):
    await paying(engine)
    await run(engine, "UPDATE attempts SET outcome = :outcome", outcome=outcome)
    assert await look(engine, after=FACTS.settles_within - timedelta(seconds=1)) == []
    [one] = await look(engine, after=FACTS.settles_within + timedelta(seconds=1))
    assert (one.what, one.state, one.amount) == ("attempt", outcome, Money(124_900, KES))
    assert one.due_at == NOW + FACTS.settles_within


async def test_what_nobody_can_find_is_listed_at_once(engine):
    await paying(engine)
    await run(engine, "UPDATE attempts SET outcome = 'unknown'")
    blind = replace(FACTS, resend=Resend.BLIND)
    assert [one.state for one in await look(engine, capabilities={"fake": blind})] == ["unknown"]


async def test_attempts_of_a_rail_that_is_gone_are_listed_at_once(engine):
    await paying(engine)
    assert [(one.what, one.state) for one in await look(engine, capabilities={})] == [("attempt", "rail_gone")]


async def test_an_order_stays_listed_after_a_person_was_told_of_it(engine):
    await paying(engine, failed(Fault.RECIPIENT))
    await run(engine, "UPDATE orders SET state = 'confirming', due_at = :now")
    assert await keep_deadlines(engine, now=NOW + 5 * HOUR) == 1
    assert [one.state for one in await look(engine, after=5 * HOUR)] == ["confirming"]


async def test_a_held_order_waits_for_a_person_from_the_beginning(engine):
    await paying(engine, failed(Fault.RECIPIENT))
    await run(engine, "UPDATE orders SET state = 'held', due_at = :now")
    [one] = await look(engine)
    assert (one.state, one.owner, one.due_at) == ("held", "operators", NOW + DUTIES[S.HELD].within)


async def test_an_economy_order_waits_for_its_drop(engine):
    lane = "KE/KES/mobile_money/economy"
    await make_orders(engine)
    await run(engine, "UPDATE orders SET state = 'funded', due_at = :now, lane = :lane", lane=lane)
    times = [2 * HOUR, 12 * HOUR, 12 * HOUR + timedelta(minutes=6)]
    found = [await look(engine, after=after, drops={lane: 12 * HOUR}) for after in times]
    assert [[one.due_at for one in listed] for listed in found] == [[], [], [NOW + 12 * HOUR]]
    assert len(await look(engine, after=2 * HOUR)) == 1


async def test_an_order_that_no_rail_takes_is_listed_however_often_it_is_put_off(engine):
    await make_orders(engine)
    statement = "UPDATE orders SET state = 'funded', due_at = :later, lane = 'KE/KES/mobile_money/standard'"
    await run(engine, statement, later=NOW + 2 * HOUR)
    assert [len(await look(engine, after=after)) for after in (HOUR, HOUR + timedelta(minutes=1))] == [0, 1]


ROWS = {
    "refund": """INSERT INTO refunds SELECT 'ref_1', id, 'funds', 31337, 'USDC@31337', 5000000, '0x' || repeat('a', 40),
        'operator\\:ann', 'wrong', 'pending', NULL, NULL, NULL, NULL, '{}', :now, :now, :now FROM orders""",
    "callback": """INSERT INTO callbacks (adapter, event_id, attempt_id, label, headers, body, received_at)
        SELECT 'fake', 'e', id, 'result', '{}', '', :now FROM attempts""",
    "unmatched": """INSERT INTO journal_entries (cause, template, order_id, posted_at, postings)
        SELECT 'extra', 'unallocated', id, :now, ARRAY[CAST(ROW('chain\\:31337', 'order\\:' || id || '\\:unallocated',
            'USDC@31337', 7) AS posting)] FROM orders""",
    "stray": """INSERT INTO strays SELECT 31337, 'tx\\:1', deposit_address, '0x' || repeat('b', 40), NULL, NULL, 5, 7, :now
        FROM orders""",
    "transaction": """INSERT INTO chain_transactions (id, chain_id, sender, purpose, reference, to_address, data, value,
        gas_limit, state, due_at, created_at, updated_at) VALUES ('txn_1', 31337, '0x' || repeat('c', 40), 'sweep', 'r',
        '0x' || repeat('d', 40), '', 0, 1, 'queued', :now, :now, :now)""",
    "sweep": "INSERT INTO sweeps (id, chain_id, created_at) VALUES ('swp_1', 31337, :now)",
    "chain": """INSERT INTO chain_cursors (chain_id, number, hash, finalized_number, finalized_hash, halted, updated_at)
        VALUES (31337, 1, 'a', 1, 'a', 'a final block changed', :now)""",
    "coin": "INSERT INTO asset_freezes (asset, kind, reason, frozen_at) VALUES ('USDC@31337', 'by_hand', 'why', :now)",
    "rail": """INSERT INTO rail_states (rail, state, since, reason, open_until)
        VALUES ('other', 'open', :now, 'down', :now)""",
}


@pytest.mark.parametrize("what", ROWS)
async def test_everything_else_that_keeps_money_waiting_is_listed(engine, what):
    await paying(engine)
    await run(engine, "UPDATE attempts SET outcome = 'failed', fault = 'rail', due_at = NULL, closed_at = :now")
    await run(engine, "UPDATE orders SET state = 'paid', due_at = NULL")
    assert await look(engine, after=2 * DAY) == []
    await run(engine, ROWS[what])
    [one] = await look(engine, after=2 * DAY)
    assert (one.what, one.since) == (what, NOW)
    assert one.owner
    assert one.action.startswith("lastmile ")
    assert "None" not in one.action


async def test_a_deposit_that_nobody_books_is_listed(engine):
    [order] = await make_orders(engine)
    await run(engine, "UPDATE orders SET due_at = :later", later=NOW + DAY)
    await make_deposit(engine, order)
    [one] = await look(engine, after=HOUR)
    assert (one.what, one.order_id, one.amount) == ("deposit", order.order_id, Money(10_000_000, USDC))


async def test_open_incidents_are_listed_until_a_person_closes_them(engine):
    await run(engine, "INSERT INTO incidents (cause, kind, detail, opened_at) VALUES ('c', 'odd', '{}', :now)")
    async with transaction(engine) as connection:
        assert [one.state for one in await stuck(connection, capabilities={}, now=NOW)] == ["odd"]
    await run(engine, "UPDATE incidents SET closed_at = :now, closed_by = 'ann'")
    async with transaction(engine) as connection:
        assert await stuck(connection, capabilities={}, now=NOW) == []


async def test_the_oldest_is_first(engine):
    await run(engine, "INSERT INTO incidents (cause, kind, detail, opened_at) VALUES ('new', 'new', '{}', :now)")
    await run(engine, "INSERT INTO sweeps (id, chain_id, created_at) VALUES ('swp_1', 31337, :old)", old=NOW - 3 * DAY)
    async with transaction(engine) as connection:
        assert [one.what for one in await stuck(connection, capabilities={}, now=NOW)] == ["sweep", "incident"]


OVER = """
INSERT INTO quotes SELECT (jsonb_populate_record(q, jsonb_build_object('id', 'quo_' || n))).* FROM quotes AS q,
    generate_series(1, 3000) AS n;
INSERT INTO deposit_addresses SELECT '0x' || lpad(to_hex(n), 40, '0'), '0x', '', 'ord_' || n, now()
    FROM generate_series(1, 3000) AS n;
INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('id', 'ord_' || n, 'quote_id', 'quo_' || n,
    'tracking_token', 't' || n, 'deposit_address', '0x' || lpad(to_hex(n), 40, '0'), 'state', 'paid', 'due_at', NULL))).*
    FROM orders AS o, generate_series(1, 3000) AS n;
INSERT INTO attempts SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'att_' || n, 'order_id', 'ord_' || n,
    'outcome', 'paid', 'provider_ref', 'r', 'due_at', NULL, 'closed_at', now()))).* FROM attempts AS a,
    generate_series(1, 3000) AS n;
INSERT INTO callbacks (adapter, event_id, attempt_id, label, headers, body, received_at, handled_at)
    SELECT 'fake', 'e' || n, 'att_' || n, 'result', '{}', '', now(), now() FROM generate_series(1, 3000) AS n;
INSERT INTO incidents (cause, kind, detail, opened_at, closed_at, closed_by)
    SELECT 'c' || n, 'old', '{}', now(), now(), 'ann' FROM generate_series(1, 3000) AS n;
"""
LARGE = ("orders", "attempts", "callbacks", "incidents", "quotes", "deposit_addresses")


async def test_what_is_over_is_not_read(engine):
    await paying(engine)
    async with transaction(engine) as connection:
        for statement in OVER.split(";\n"):
            if statement.strip():
                await connection.exec_driver_sql(statement)
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))
    values = {
        "now": NOW,
        "most": 1000,
        "grace": 300,
        "waiting": 3600,
        "refunding": 3600,
        "states": ["held"],
        "within": [3600],
        "rails": ["fake"],
        "settles": [300],
        "blind": [False],
        "lanes": ["KE/KES/mobile_money/economy"],
        "drops": [3600],
    }
    async with transaction(engine) as connection:
        for what, matter in MATTERS.items():
            plan = await connection.execute(text(f"EXPLAIN {matter.query.text}"), values)
            read = [line for (line,) in plan if "Seq Scan on " in line and line.split("Seq Scan on ")[1].split()[0] in LARGE]
            assert not read, (what, read)
