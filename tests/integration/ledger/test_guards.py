"""The ledger's guards hold for whoever writes: here its owner, and a superuser at that."""

from __future__ import annotations

import psycopg
import pytest

ENTRY = "INSERT INTO journal (cause, template, posted_at) VALUES (%s, 'test', now()) RETURNING id"
LINE = "INSERT INTO postings (journal_id, line, source, destination, asset, units) VALUES "


@pytest.fixture
def books(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO assets VALUES ('KES', 2), ('USDC@1', 6)")
        yield connection


def entry(books, cause="c"):
    return books.execute(ENTRY, (cause,)).fetchone()[0]


def test_a_posting_moves_the_balance_of_an_order(books):
    journal = entry(books)
    books.execute(LINE + f"({journal}, 1, 'chain:1', 'order:a:funds', 'USDC@1', 5)")
    assert books.execute("SELECT account, units FROM balances").fetchall() == [("order:a:funds", 5)]


@pytest.mark.parametrize("table", ["journal", "postings", "order_events"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_written_stays(books, table, change):
    change = change.replace("id = id", "line = line") if table == "postings" else change
    if table == "journal" and "UPDATE" in change:
        change = "UPDATE journal SET cause = 'x'"
    if table == "order_events" and "UPDATE" in change:
        change = "UPDATE order_events SET cause = 'x'"
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        books.execute(change.format(table))


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO balances VALUES ('order:a:funds', 'KES', 5)",
        "UPDATE balances SET units = 6",
        "DELETE FROM balances",
        "TRUNCATE balances",
    ],
)
def test_balances_follow_the_postings_and_nothing_else(books, change):
    with pytest.raises(psycopg.errors.RestrictViolation):
        books.execute(change)


@pytest.mark.parametrize(
    "line",
    [
        "({}, 1, 'chain:1', 'order:a:funds', 'KES', -5)",
        "({}, 1, 'chain:1', 'order:a:funds', 'KES', 0)",
        "({}, 1, 'capital', 'capital', 'KES', 5)",
        "({}, 1, NULL, 'order:a:funds', 'KES', 5)",
        "({}, 1, 'chain:1', 'order:a:funds', 'XXX', 5)",
    ],
)
def test_half_or_senseless_postings_are_refused(books, line):
    journal = entry(books)
    with pytest.raises(psycopg.errors.IntegrityError):
        books.execute(LINE + line.format(journal))


def test_no_account_of_an_order_goes_below_zero(books):
    books.execute(LINE + f"({entry(books)}, 1, 'chain:1', 'order:a:funds', 'KES', 5)")
    journal = entry(books, "second")
    with pytest.raises(psycopg.errors.CheckViolation, match="below zero"):
        books.execute(LINE + f"({journal}, 1, 'order:a:funds', 'order:a:payout', 'KES', 6)")


def test_an_account_that_never_had_money_gives_none(books):
    journal = entry(books)
    with pytest.raises(psycopg.errors.CheckViolation, match="below zero"):
        books.execute(LINE + f"({journal}, 1, 'order:a:funds', 'capital', 'KES', 1)")


def test_an_entry_cannot_be_added_to_later(books):
    journal = entry(books)
    books.execute(LINE + f"({journal}, 1, 'chain:1', 'order:a:funds', 'KES', 5)")
    with pytest.raises(psycopg.errors.RestrictViolation, match="written once"):
        books.execute(LINE + f"({journal}, 2, 'chain:1', 'order:a:funds', 'KES', 5)")


@pytest.mark.parametrize(
    "lines",
    [
        "({0}, 1, 'order:a:payout', 'exchange', 'USDC@1', 5)",
        "({0}, 1, 'exchange', 'order:a:payout', 'KES', 5)",
        "({0}, 1, 'order:a:payout', 'exchange', 'USDC@1', 5), ({0}, 2, 'exchange', 'capital', 'USDC@1', 4)",
    ],
)
def test_an_exchange_has_a_leg_in_each_asset(books, lines):
    books.execute(LINE + f"({entry(books, 'start')}, 1, 'chain:1', 'order:a:payout', 'USDC@1', 5)")
    journal = entry(books)
    with pytest.raises(psycopg.errors.CheckViolation, match="two legs"):
        books.execute(LINE + lines.format(journal))


def test_a_posting_belongs_to_an_entry(books):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        books.execute(LINE + "(99, 1, 'chain:1', 'order:a:funds', 'KES', 5)")


def test_an_entry_begins_with_its_first_line(books):
    with pytest.raises(psycopg.errors.RestrictViolation, match="from line 1"):
        books.execute(LINE + f"({entry(books)}, 2, 'chain:1', 'order:a:funds', 'KES', 5)")


@pytest.mark.parametrize("change", ["UPDATE assets SET decimals = 3", "DELETE FROM assets", "TRUNCATE assets CASCADE"])
def test_an_asset_keeps_its_decimals(books, change):
    with pytest.raises(psycopg.errors.RestrictViolation):
        books.execute(change)


def test_a_cause_is_journaled_once(books):
    entry(books)
    with pytest.raises(psycopg.errors.UniqueViolation):
        entry(books)
