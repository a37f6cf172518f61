"""What /metrics measures: one table of queries and of the families that their columns are.

Every query costs what there is to do or what was made in a day, never the whole history, and reads through an index or a
small table. Labels come from the configuration and from our own words: no order, no address, nothing that a stranger chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.sql.elements import TextClause


class Family(NamedTuple):
    """One metric: its name without the counter's _total, and what it means."""

    name: str
    meaning: str
    counter: bool = False


class Measure(NamedTuple):
    """A query whose rows have the columns `labels` and those of `families`; a column that is NULL is left out."""

    query: TextClause
    labels: tuple[str, ...]
    families: Mapping[str, Family]


CHAINS = Measure(
    text("""
        SELECT CAST(c.chain_id AS text) AS chain, c.number AS cursor, c.finalized_number AS final, p.head,
            greatest(p.head - c.number, 0) AS behind,
            CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - b.time), 0) AS bigint) AS age,
            CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - greatest(c.updated_at, p.asked_at)), 0) AS bigint)
                AS checked,
            CAST(c.halted IS NOT NULL AS integer) AS halted, CAST(c.waiting IS NOT NULL AS integer) AS waiting
        FROM chain_cursors AS c
        LEFT JOIN chain_blocks AS b ON b.chain_id = c.chain_id AND b.number = c.number
        LEFT JOIN LATERAL (
            SELECT max(head) FILTER (WHERE state = 'trusted') AS head, max(asked_at) AS asked_at
            FROM chain_providers WHERE chain_id = c.chain_id
        ) AS p ON true
    """),
    ("chain",),
    {
        "cursor": Family("lastmile_chain_cursor_block", "Last block scanned."),
        "final": Family("lastmile_chain_final_block", "Highest block known final and scanned."),
        "head": Family("lastmile_chain_head_block", "Newest block that a trusted provider told of."),
        "behind": Family("lastmile_chain_lag_blocks", "Blocks between the newest one told of and the last one scanned."),
        "age": Family("lastmile_chain_lag_seconds", "Age of the last block scanned."),
        "checked": Family("lastmile_chain_checked_age_seconds", "Time since the chain was last looked at."),
        "halted": Family("lastmile_chain_halted", "1 while the chain stands still until a person resumes it."),
        "waiting": Family("lastmile_chain_waiting", "1 while fewer providers agree than the quorum."),
    },
)
PROVIDERS = Measure(
    text("""
        SELECT CAST(chain_id AS text) AS chain, name AS provider, CAST(state = 'trusted' AS integer) AS trusted, faults, head
        FROM chain_providers
    """),
    ("chain", "provider"),
    {
        "trusted": Family("lastmile_chain_provider_trusted", "1 while the provider is believed, 0 while it is demoted."),
        "faults": Family("lastmile_chain_provider_faults", "How often the provider failed, lied or lagged.", counter=True),
        "head": Family("lastmile_chain_provider_head_block", "Newest block that the provider told of."),
    },
)
DEPOSITS = Measure(
    text("""
        SELECT 'seen' AS status, count(*) AS number FROM deposits WHERE status = 'seen'
        UNION ALL SELECT 'orphaned', count(*) FROM deposits WHERE status = 'orphaned'
    """),
    ("status",),
    {"number": Family("lastmile_deposits", "Deposits that are not final: seen, or orphaned by a reorganisation.")},
)
DEPOSITS_FOUND = Measure(
    text("SELECT n_tup_ins AS number FROM pg_stat_user_tables WHERE relid = CAST('deposits' AS regclass)"),
    (),
    {"number": Family("lastmile_deposits_found", "Deposits found, by the database's own statistics.", counter=True)},
)
ORDERS = Measure(
    # Each through the index or the few rows that its workers use. A nought where there are none: an alarm needs a number.
    text("""
        SELECT 'awaiting_deposit' AS state, count(*) AS number FROM waiting_orders WHERE state = 'awaiting_deposit'
        UNION ALL SELECT 'confirming', count(DISTINCT o.id) FROM deposits AS d
            JOIN deposit_addresses AS w ON w.address = d.address
            JOIN orders AS o ON o.id = w.owner AND o.state = 'confirming' WHERE d.status = 'seen'
        UNION ALL SELECT 'funded', count(*) FROM waiting_orders WHERE state = 'funded'
        UNION ALL SELECT 'paying', count(*) FROM attempts AS a
            JOIN orders AS o ON o.id = a.order_id AND o.state = 'paying' WHERE a.closed_at IS NULL
        UNION ALL SELECT s.state, count(o.order_id) FROM unnest(ARRAY['held', 'uncertain', 'refunding']) AS s (state)
            LEFT JOIN waiting_orders AS o ON o.state = s.state AND o.state IN ('held', 'uncertain', 'refunding')
            GROUP BY s.state
    """),
    ("state",),
    {"number": Family("lastmile_orders", "Orders that have not ended, by state.")},
)
ORDERS_OF_A_DAY = Measure(
    # An order's id begins with its time, so that the primary key finds a day's orders.
    text("SELECT state, count(*) AS number FROM orders WHERE id >= :order_of_day_ago GROUP BY state"),
    ("state",),
    {"number": Family("lastmile_orders_of_last_day", "Orders made in the last 24 hours, by their state now.")},
)
ATTEMPTS = Measure(
    text("SELECT adapter, outcome, count(*) AS number FROM attempts WHERE closed_at IS NULL GROUP BY adapter, outcome"),
    ("adapter", "outcome"),
    {"number": Family("lastmile_payout_attempts_open", "Payouts with a rail whose end is not known yet.")},
)
RAILS = Measure(
    text("SELECT rail, state, CAST(state <> 'closed' AS integer) AS stopped FROM rail_states"),
    ("rail", "state"),
    {"stopped": Family("lastmile_rail_stopped", "1 while a rail's breaker or a person keeps payments from it.")},
)
FLOATS = Measure(
    text("""
        SELECT b.rail, b.asset, b.held / power(CAST(10 AS numeric), s.decimals) AS held,
            COALESCE((SELECT sum(a.deliver_units) FROM attempts AS a WHERE a.adapter = b.rail AND a.closed_at IS NULL
                AND a.deliver_asset = b.asset), 0) / power(CAST(10 AS numeric), s.decimals) AS promised
        FROM rail_balances AS b JOIN assets AS s ON s.code = b.asset WHERE b.top_ups > 0
    """),
    ("rail", "asset"),
    {
        "held": Family("lastmile_float_held", "What the ledger says lies at a rail, in whole units of the currency."),
        "promised": Family("lastmile_float_promised", "What of it open payments will take."),
    },
)
FLOATS_SEEN = Measure(
    text("""
        SELECT f.rail, f.asset, f.told / power(CAST(10 AS numeric), s.decimals) AS told,
            f.available / power(CAST(10 AS numeric), s.decimals) AS available,
            f.low / power(CAST(10 AS numeric), s.decimals) AS low,
            f.critical / power(CAST(10 AS numeric), s.decimals) AS critical,
            CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - f.told_at), 0) AS bigint) AS told_age,
            CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - f.seen_at), 0) AS bigint) AS seen_age,
            f.chance_6h / 10000.0 AS six, f.chance_24h / 10000.0 AS day, f.chance_72h / 10000.0 AS three_days
        FROM floats AS f JOIN assets AS s ON s.code = f.asset
    """),
    ("rail", "asset"),
    {
        "told": Family("lastmile_float_told", "What the rail said last, in whole units of the currency."),
        "told_age": Family("lastmile_float_told_age_seconds", "Time since it said so."),
        "available": Family("lastmile_float_available", "What could still be promised when the float was last looked at."),
        "seen_age": Family("lastmile_float_seen_age_seconds", "Time since it was."),
        "low": Family("lastmile_float_low_mark", "What the operator's low mark came to."),
        "critical": Family("lastmile_float_critical_mark", "What the operator's critical mark came to."),
        "six": Family("lastmile_float_dry_within_6h", "How likely the float runs dry within 6 hours, from 0 to 1."),
        "day": Family("lastmile_float_dry_within_24h", "How likely the float runs dry within 24 hours."),
        "three_days": Family("lastmile_float_dry_within_72h", "How likely the float runs dry within 72 hours."),
    },
)
RECONCILED = Measure(
    text("""
        SELECT CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - max(finished_at)), 0) AS bigint) AS age,
            (SELECT count(*) FROM reconciliation_breaks WHERE closed_at IS NULL) AS breaks
        FROM reconciliations
    """),
    (),
    {
        "age": Family("lastmile_reconciled_age_seconds", "Time since books and outside were last compared."),
        "breaks": Family("lastmile_reconciliation_breaks_open", "Differences that are open."),
    },
)
UNALLOCATED = Measure(
    text("""
        SELECT asset, sum(b.unallocated) / power(CAST(10 AS numeric), max(a.decimals)) AS amount
        FROM order_balances AS b JOIN assets AS a ON a.code = b.asset WHERE b.unallocated > 0 GROUP BY asset
    """),
    ("asset",),
    {"amount": Family("lastmile_unallocated_amount", "Money that fits no order and waits for a person, in whole coins.")},
)
STRAYS = Measure(
    text("""
        SELECT CAST(chain_id AS text) AS chain, count(*) AS number FROM strays
        WHERE asset IS NULL AND closed_at IS NULL GROUP BY chain_id
    """),
    ("chain",),
    {"number": Family("lastmile_strays_open", "Arrivals of coins that we don't take, which wait for a person.")},
)
FREEZES = Measure(
    text("SELECT asset, kind, 1 AS frozen FROM asset_freezes WHERE lifted_at IS NULL"),
    ("asset", "kind"),
    {"frozen": Family("lastmile_asset_frozen", "1 for each reason for which an asset is frozen.")},
)
INCIDENTS = Measure(
    text("SELECT kind, count(*) AS number FROM incidents WHERE closed_at IS NULL GROUP BY kind"),
    ("kind",),
    {"number": Family("lastmile_incidents_open", "Incidents that nobody has closed yet.")},
)
REFUNDS = Measure(
    text("SELECT asset, outcome, count(*) AS number FROM refunds WHERE closed_at IS NULL GROUP BY asset, outcome"),
    ("asset", "outcome"),
    {"number": Family("lastmile_refunds_open", "Refunds whose end is not known yet.")},
)
REFUNDS_OF_A_DAY = Measure(
    text("""
        SELECT asset, outcome, count(*) AS number, sum(r.units) / power(CAST(10 AS numeric), max(a.decimals)) AS amount
        FROM refunds AS r JOIN assets AS a ON a.code = r.asset
        WHERE closed_at > CAST(:now AS timestamptz) - interval '1 day' GROUP BY asset, outcome
    """),
    ("asset", "outcome"),
    {
        "number": Family("lastmile_refunds_of_last_day", "Refunds that ended in the last 24 hours."),
        "amount": Family("lastmile_refunds_of_last_day_amount", "What these come to, in whole coins."),
    },
)
TRANSACTIONS = Measure(
    text("""
        SELECT CAST(chain_id AS text) AS chain, purpose, state, count(*) AS number, count(stuck_at) AS stuck
        FROM chain_transactions WHERE due_at IS NOT NULL GROUP BY chain_id, purpose, state
    """),
    ("chain", "purpose", "state"),
    {
        "number": Family("lastmile_chain_transactions_open", "Transactions of ours that are not final yet."),
        "stuck": Family("lastmile_chain_transactions_stuck", "Those among them that a person has to look at."),
    },
)
TRANSACTIONS_OF_A_DAY = Measure(
    text("""
        SELECT CAST(chain_id AS text) AS chain, purpose, state, count(*) AS number
        FROM chain_transactions WHERE id >= :transaction_of_day_ago GROUP BY chain_id, purpose, state
    """),
    ("chain", "purpose", "state"),
    {"number": Family("lastmile_chain_transactions_of_last_day", "Transactions of the last 24 hours, by their state now.")},
)
QUEUES = Measure(
    text("""
        SELECT 'deposits' AS queue, count(*) AS number FROM deposits WHERE booked IS DISTINCT FROM status
        UNION ALL SELECT 'dispatch', count(*) FROM waiting_orders WHERE state = 'funded' AND due_at <= :now
        UNION ALL SELECT 'deadlines', count(*) FROM waiting_orders WHERE state = 'awaiting_deposit' AND due_at <= :now
        UNION ALL SELECT 'polls', count(*) FROM attempts WHERE closed_at IS NULL AND due_at <= :now
        UNION ALL SELECT 'callbacks', count(*) FROM callbacks WHERE handled_at IS NULL
        UNION ALL SELECT 'refunds', count(*) FROM refunds WHERE closed_at IS NULL AND due_at <= :now
        UNION ALL SELECT 'transactions', count(*) FROM chain_transactions WHERE due_at <= :now
        UNION ALL SELECT 'sweeps', count(*) FROM sweeps WHERE closed_at IS NULL
    """),
    ("queue",),
    {"number": Family("lastmile_queue_depth", "Rows that are due and wait for a worker.")},
)
WALLETS = Measure(
    text("""
        SELECT substr(account, 8) AS chain, asset, held / power(CAST(10 AS numeric), a.decimals) AS amount
        FROM wallet_balances JOIN assets AS a ON a.code = asset WHERE account LIKE 'wallet:%'
    """),
    ("chain", "asset"),
    {"amount": Family("lastmile_refund_wallet_amount", "What the ledger says lies in the refund wallet, in whole coins.")},
)
RATES = Measure(
    text("""
        SELECT source, base, quote,
            CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - as_of), 0) AS bigint) AS age
        FROM rate_observations
    """),
    ("source", "base", "quote"),
    {"age": Family("lastmile_rate_age_seconds", "Age of a source's newest rate.")},
)
STOPS = Measure(
    text("SELECT breaker AS kind, subject, 1 AS stopped FROM market_stops WHERE lifted_at IS NULL"),
    ("kind", "subject"),
    {"stopped": Family("lastmile_quotes_stopped", "1 for each breaker that stops quotes of a pair, coin or corridor.")},
)
MARKET = Measure(
    text("""
        SELECT base, quote, CAST(greatest(extract(epoch FROM CAST(:now AS timestamptz) - at), 0) AS bigint) AS age,
            sqrt(moves) AS volatility
        FROM market_pairs
    """),
    ("base", "quote"),
    {
        "age": Family(
            "lastmile_mid_age_seconds", "Time since a middle rate was published that differed from the one before."
        ),
        "volatility": Family("lastmile_mid_volatility_bps", "Realised standard deviation of an hour, in basis points."),
    },
)

MEASURES = (
    CHAINS,
    PROVIDERS,
    DEPOSITS,
    DEPOSITS_FOUND,
    ORDERS,
    ORDERS_OF_A_DAY,
    ATTEMPTS,
    RAILS,
    FLOATS,
    FLOATS_SEEN,
    RECONCILED,
    UNALLOCATED,
    STRAYS,
    FREEZES,
    INCIDENTS,
    REFUNDS,
    REFUNDS_OF_A_DAY,
    TRANSACTIONS,
    TRANSACTIONS_OF_A_DAY,
    QUEUES,
    WALLETS,
    RATES,
    STOPS,
    MARKET,
)
"""All of them, in the order in which they are read."""
