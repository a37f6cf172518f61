"""The ledger's guards hold for whoever writes: here its owner, and a superuser at that."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def books(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO assets VALUES ('KES', 2), ('USDC@1', 6)")
        yield connection


def array(lines):
    return f"ARRAY[{', '.join(f'ROW{line}::posting' for line in lines)}]::posting[]"


def entry(books, *lines, cause="c"):
    books.execute(
        f"INSERT INTO journal_entries (cause, template, posted_at, postings) VALUES (%s, 'test', now(), {array(lines)})",
        (cause,),
    )


def step(books, *lines):
    """The event of an order's first step, with its order."""
    with books.transaction():
        books.execute("SET LOCAL session_replication_role = replica")
        books.execute(
            "INSERT INTO orders (id, quote_id, tracking_token, state, version, deposit_address, details, created_at,"
            " updated_at) VALUES ('a', 'q', 't', 'paid', 1, '0x', '{}', now(), now())"
        )
        books.execute("SET LOCAL session_replication_role = origin")
        books.execute(
            "INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at, template, postings)"
            f" VALUES ('a', 1, 'outcome_paid', 'paying', 'paid', 'c', '{{}}', now(), 'test', {array(lines)})"
        )


WRITERS = pytest.mark.parametrize("write", [entry, step])
FUNDED = "('chain:1', 'order:a:funds', 'USDC@1', 5)"


@WRITERS
def test_a_posting_moves_the_balance_of_an_order(books, write):
    write(books, FUNDED)
    assert books.execute("SELECT account, units FROM balances").fetchall() == [("order:a:funds", 5)]


@WRITERS
def test_what_is_written_is_read_as_journal_and_postings(books, write):
    write(books, FUNDED, "('order:a:funds', 'capital', 'USDC@1', 2)")
    assert books.execute("SELECT template, order_id FROM journal").fetchone()[0] == "test"
    lines = books.execute("SELECT p.line, p.source, p.units FROM journal JOIN postings AS p ON journal_id = id ORDER BY 1")
    assert lines.fetchall() == [(1, "chain:1", 5), (2, "order:a:funds", 2)]


@pytest.mark.parametrize("table", ["journal_entries", "order_events"])
@pytest.mark.parametrize("change", ["UPDATE {} SET postings = '{{}}'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_written_stays(books, table, change):
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        books.execute(change.format(table))


@pytest.mark.parametrize("table", ["order_balances", "rail_balances", "wallet_balances"])
@pytest.mark.parametrize(
    "change", ["INSERT INTO {} SELECT FROM assets", "UPDATE {} SET asset = 'KES'", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_balances_follow_the_postings_and_nothing_else(books, table, change):
    with pytest.raises(psycopg.errors.RestrictViolation):
        books.execute(change.format(table))


@WRITERS
@pytest.mark.parametrize(
    "line",
    [
        "('chain:1', 'order:a:funds', 'KES', -5)",
        "('chain:1', 'order:a:funds', 'KES', 0)",
        "('chain:1', 'order:a:funds', 'KES', NULL)",
        "('capital', 'capital', 'KES', 5)",
        "(NULL, 'order:a:funds', 'KES', 5)",
        "('chain:1', NULL, 'KES', 5)",
        "('chain:1', 'order:a:funds', 'XXX', 5)",
        "('chain:1', 'order:a:funds', NULL, 5)",
        "('chain:1', 'order:a:found', 'KES', 5)",
        "('chain:1', 'order:', 'KES', 5)",
    ],
)
def test_half_or_senseless_postings_are_refused(books, write, line):
    with pytest.raises(psycopg.errors.IntegrityError):
        write(books, line)


@WRITERS
def test_no_account_of_an_order_goes_below_zero(books, write):
    entry(books, FUNDED, cause="first")
    with pytest.raises(psycopg.errors.CheckViolation, match="no_account_below_zero"):
        write(books, "('order:a:funds', 'order:a:payout', 'USDC@1', 6)")
    write(books, "('order:a:funds', 'order:a:payout', 'USDC@1', 5)")


@WRITERS
def test_an_account_that_never_had_money_gives_none(books, write):
    with pytest.raises(psycopg.errors.CheckViolation, match="no_account_below_zero"):
        write(books, "('order:a:funds', 'capital', 'KES', 1)")


@WRITERS
@pytest.mark.parametrize(
    "lines",
    [
        ["('order:a:payout', 'exchange', 'USDC@1', 5)"],
        ["('exchange', 'order:a:payout', 'KES', 5)"],
        ["('order:a:payout', 'exchange', 'USDC@1', 5)", "('exchange', 'capital', 'USDC@1', 4)"],
    ],
)
def test_an_exchange_has_a_leg_in_each_asset(books, write, lines):
    entry(books, "('chain:1', 'order:a:payout', 'USDC@1', 5)", cause="start")
    with pytest.raises(psycopg.errors.CheckViolation, match="two legs"):
        write(books, *lines)


def test_what_an_order_posted_is_read_by_the_keys_of_its_rows(books):
    books.execute("SET enable_seqscan = off")
    plan = "\n".join(line for (line,) in books.execute("EXPLAIN SELECT sum(units) FROM postings WHERE order_id = 'a'"))
    assert "Index Scan using order_events_pkey" in plan or "Index Scan on order_events_pkey" in plan
    assert "Seq Scan" not in plan


def test_what_lies_at_rails_and_in_wallets_is_kept(books):
    entry(
        books,
        "('rail:mpesa', 'capital', 'KES', 9)",
        "('exchange', 'rail:mpesa', 'KES', 2)",
        "('wallet:1', 'exchange', 'USDC@1', 4)",
        "('treasury:1', 'wallet:1', 'USDC@1', 3)",
    )
    assert books.execute("SELECT rail, asset, held, top_ups FROM rail_balances").fetchall() == [("mpesa", "KES", 7, 1)]
    wallets = books.execute("SELECT account, asset, held FROM wallet_balances ORDER BY account").fetchall()
    assert wallets == [("treasury:1", "USDC@1", 3), ("wallet:1", "USDC@1", 1)]


@pytest.mark.parametrize("change", ["UPDATE assets SET decimals = 3", "DELETE FROM assets", "TRUNCATE assets CASCADE"])
def test_an_asset_keeps_its_decimals(books, change):
    with pytest.raises(psycopg.errors.RestrictViolation):
        books.execute(change)


def test_a_cause_is_journaled_once(books):
    entry(books, FUNDED)
    with pytest.raises(psycopg.errors.UniqueViolation):
        entry(books, FUNDED)
