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
    SELECT o.id, v.version, v.event, v.was, v.state, 'deposit:31337:0x' || lpad(md5(o.id), 64, '0') || ':0:' || v.version,
        '{{"funds": "10000000", "unallocated": "0"}}', now()
    FROM orders AS o, (VALUES (1, 'deposit_seen', 'awaiting_deposit', 'confirming'),
        (2, 'deposit_final', 'confirming', 'funded')) AS v (version, event, was, state)
    WHERE o.id BETWEEN {from_id} AND {to_id};
SET session_replication_role = {role};
INSERT INTO journal (cause, template, order_id, posted_at)
    SELECT 'order:' || id || ':deposit:31337:0x' || lpad(md5(id), 64, '0') || ':0:final', 'deposit_received', id, now()
    FROM orders WHERE id BETWEEN {from_id} AND {to_id};
INSERT INTO postings (journal_id, line, source, destination, asset, units)
    SELECT id, 1, 'chain:31337', 'order:' || order_id || ':funds', 'USDC@31337', 10000000
    FROM journal WHERE order_id BETWEEN {from_id} AND {to_id};
"""
# The rest of an old order's life. The guards are switched off for it: it is made by the million.
PAID = """
INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, provider_ref, receipt, evidence, asks,
        lease_token, created_at, updated_at, closed_at)
    SELECT 'att_' || right(id, 26), id, 'instant', 'KES', 124900, 'paid', 'AG_' || id, 'SG632NMUAB', '{{"ResultCode": "0"}}',
        0, nextval('lease_tokens'), now(), now(), now()
    FROM orders WHERE id BETWEEN {from_id} AND {to_id};
INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at)
    SELECT o.id, v.version, v.event, v.was, v.state, 'attempt:att_' || right(o.id, 26) || ':' || v.event,
        jsonb_build_object('attempt', 'att_' || right(o.id, 26), 'adapter', 'instant'), now()
    FROM orders AS o, (VALUES (3, 'dispatched', 'funded', 'paying'), (4, 'outcome_paid', 'paying', 'paid'))
        AS v (version, event, was, state)
    WHERE o.id BETWEEN {from_id} AND {to_id};
INSERT INTO journal (cause, template, order_id, posted_at)
    SELECT 'order:' || o.id || ':attempt:att_' || right(o.id, 26) || ':' || v.event, v.template, o.id, now()
    FROM orders AS o, (VALUES ('dispatched', 'payout_reserved'), ('paid', 'payout_settled')) AS v (event, template)
    WHERE o.id BETWEEN {from_id} AND {to_id};
INSERT INTO postings (journal_id, line, source, destination, asset, units)
    SELECT j.id, l.line, replace(l.source, 'own', 'order:' || j.order_id),
        replace(l.destination, 'own', 'order:' || j.order_id), l.asset, l.units
    FROM journal AS j JOIN (VALUES
        ('payout_reserved', 1, 'own:funds', 'own:payout', 'USDC@31337', 10000000),
        ('payout_settled', 1, 'own:payout', 'exchange', 'USDC@31337', 10000000),
        ('payout_settled', 2, 'exchange', 'revenue:fx_margin', 'KES', 1292),
        ('payout_settled', 3, 'exchange', 'revenue:service_fee', 'KES', 3000),
        ('payout_settled', 4, 'exchange', 'rounding', 'KES', 8),
        ('payout_settled', 5, 'exchange', 'rail:instant', 'KES', 124900)
    ) AS l (template, line, source, destination, asset, units) USING (template)
    WHERE j.order_id BETWEEN {from_id} AND {to_id};
INSERT INTO balances (account, asset, units)
    SELECT 'order:' || o.id || ':' || v.name, 'USDC@31337', 0 FROM orders AS o, (VALUES ('funds'), ('payout')) AS v (name)
    WHERE o.id BETWEEN {from_id} AND {to_id};
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
