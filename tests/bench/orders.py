"""Orders by the thousand for benches, made by the server itself: making them isn't what is measured."""

from __future__ import annotations

import psycopg

CHUNK = 50_000

# Funded orders as accepting and booking leave them, Ids sort by time, as
# ours do, and tracking tokens are random. The guard of events knows only the step just taken, so it is off for those before.
FUNDED = """
INSERT INTO quotes (id, created_at, expires_at, chain_id, send_asset, send_units, receive_asset, receive_units, country,
        method, mid_num, mid_den, applied_num, applied_den, mid_as_of, sources, mid_units, margin_units,
        fee_units, rounding_units)
    SELECT 'quo_' || lpad(n::text, 26, '0'), now(), now() + interval '1 hour', 31337, 'USDC@31337', 10000000, 'KES', 124900,
        'KE', 'mobile_money', 1292, 100000, 127908, 10000000, now(), '["a","b"]', 129200, 1292, 3000, 8
    FROM generate_series({first}, {last}) AS n;
INSERT INTO deposit_addresses (address, factory, salt, owner, created_at)
    SELECT '0x' || lpad(md5(n::text), 40, '0'), '0x', '', 'ord_' || lpad(n::text, 26, '0'), now()
    FROM generate_series({first}, {last}) AS n;
INSERT INTO orders (id, quote_id, tracking_token, state, version, due_at, deposit_address, details, created_at, updated_at)
    SELECT 'ord_' || lpad(n::text, 26, '0'), 'quo_' || lpad(n::text, 26, '0'), md5(random()::text), '{state}', {version},
        {due_at}, '0x' || lpad(md5(n::text), 40, '0'), '{{}}', now(), now()
    FROM generate_series({first}, {last}) AS n;
INSERT INTO recipients (order_id, name, account)
    SELECT 'ord_' || lpad(n::text, 26, '0'), 'Wanjiku Kamau', '+254712345678' FROM generate_series({first}, {last}) AS n;
SET session_replication_role = replica;
INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at)
    SELECT id, 1, 'deposit_seen', 'awaiting_deposit', 'confirming', 'deposit:31337:0x' || lpad(md5(id), 64, '0')
        || ':0:seen', '{{}}', now()
    FROM orders WHERE id BETWEEN {from_id} AND {to_id};
SET session_replication_role = {role};
INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at, template, postings)
    SELECT id, 2, 'deposit_final', 'confirming', 'funded', 'deposit:31337:0x' || lpad(md5(id), 64, '0') || ':0:final',
        '{{"funds": "10000000", "unallocated": "0"}}', now(), 'deposit_received',
        ARRAY[ROW('chain:31337', 'order:' || id || ':funds', 'USDC@31337', 10000000)::posting]
    FROM orders WHERE id BETWEEN {from_id} AND {to_id};
"""
# The rest of an old order's life. The guards are switched off for it: it is made by the million.
PAID = """
INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, provider_ref, receipt, evidence, asks,
        lease_token, created_at, updated_at, closed_at)
    SELECT 'att_' || right(id, 26), id, 'instant', 'KES', 124900, 'paid', 'AG_' || id, 'SG632NMUAB', '{{"ResultCode": "0"}}',
        0, nextval('lease_tokens'), now(), now(), now()
    FROM orders WHERE id BETWEEN {from_id} AND {to_id};
INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at, template, postings)
    SELECT o.id, v.version, v.event, v.was, v.state, 'attempt:att_' || right(o.id, 26) || ':' || v.event,
        jsonb_build_object('attempt', 'att_' || right(o.id, 26), 'adapter', 'instant'), now(), v.template, v.postings
    FROM orders AS o CROSS JOIN LATERAL (VALUES
        (3, 'dispatched', 'funded', 'paying', 'payout_reserved', ARRAY[
            ROW('order:' || o.id || ':funds', 'order:' || o.id || ':payout', 'USDC@31337', 10000000)::posting]),
        (4, 'outcome_paid', 'paying', 'paid', 'payout_settled', ARRAY[
            ROW('order:' || o.id || ':payout', 'exchange', 'USDC@31337', 10000000)::posting,
            ROW('exchange', 'revenue:fx_margin', 'KES', 1292)::posting,
            ROW('exchange', 'revenue:service_fee', 'KES', 3000)::posting,
            ROW('exchange', 'rounding', 'KES', 8)::posting,
            ROW('exchange', 'rail:instant', 'KES', 124900)::posting])
    ) AS v (version, event, was, state, template, postings)
    WHERE o.id BETWEEN {from_id} AND {to_id};
INSERT INTO order_balances (order_id, asset, funds, payout, refund, unallocated, owed)
    SELECT id, 'USDC@31337', 0, 0, 0, 0, 0 FROM orders WHERE id BETWEEN {from_id} AND {to_id};
"""


def make_orders(url: str, *, first: int, number: int) -> None:
    """So many funded orders of USDC@31337 for KES that are due, numbered from `first`; the assets are known."""
    with psycopg.connect(url, autocommit=True) as connection:
        _make(connection, FUNDED, first, number, state="funded", version=2, due_at="now()", role="origin")
        connection.execute("ANALYZE")


def make_old_orders(url: str, *, first: int, number: int) -> None:
    """So many orders that were paid, with all their rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for start in range(first, first + number, CHUNK):
            _make(connection, FUNDED + PAID, start, CHUNK, state="paid", version=4, due_at="NULL", role="replica")
        # Triggers didn't run, so what they keep is made here.
        connection.execute("UPDATE orders SET lane = 'KE/KES/mobile_money/standard' WHERE lane = ''")
        connection.execute("VACUUM ANALYZE")


def _make(connection: psycopg.Connection, sql: str, first: int, number: int, **words: object) -> None:
    last = first + number - 1
    ids = {"from_id": f"'ord_{first:026}'", "to_id": f"'ord_{last:026}'"}
    connection.execute(sql.format(first=first, last=last, **ids, **words).encode())
