"""The database that tests have one after another is each time as the migrations left it."""

from __future__ import annotations

import psycopg
import pytest

from gateway.db.embedded import Server
from tests.databases import TEMPLATE, Spare


@pytest.fixture
def spare(postgres: Server) -> Spare:
    return Spare(postgres)


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


def migrated(postgres: Server, statement: str) -> list[tuple[object, ...]]:
    return run(postgres.url_for(TEMPLATE), statement)


TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
NUMBERS = "SELECT nextval(seqrelid::regclass) - seqstart FROM pg_sequence ORDER BY seqrelid"


def test_rows_go_also_those_that_nobody_may_delete_and_numbers_begin_again(spare, postgres):
    url = spare.take()
    assert {(0,)} >= set(run(url, NUMBERS))
    run(url, "INSERT INTO assets (code, decimals) VALUES ('KES', 2)")
    run(url, "DELETE FROM experience_progress")
    with pytest.raises(psycopg.errors.RestrictViolation):
        run(url, "DELETE FROM assets")
    spare.give_back()
    assert spare.take() == url
    assert {(0,)} >= set(run(url, NUMBERS))
    for (table,) in run(url, TABLES):
        assert run(url, f"SELECT t::text FROM {table} AS t") == migrated(postgres, f"SELECT t::text FROM {table} AS t"), (
            table
        )


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE attempts DISABLE TRIGGER guard_attempts",
        "ALTER TABLE orders ADD COLUMN more text",
        "CREATE TABLE bare (x text)",
        "DROP TABLE experience_progress",
        "ANALYZE assets",
        "CREATE INDEX more ON assets (decimals)",
        "INSERT INTO assets SELECT n::text, 2 FROM generate_series(1, 100000) AS n",
    ],
)
def test_who_changes_more_than_rows_leaves_the_next_another_database(spare, change):
    url = spare.take()
    run(url, "INSERT INTO assets (code, decimals) VALUES ('KES', 2)")
    run(url, change)
    spare.give_back()
    assert spare.take() != url
    assert run(spare.take(), "SELECT FROM assets") == []


def test_who_still_writes_is_cut(spare):
    url = spare.take()
    with psycopg.connect(url) as left:
        left.execute("INSERT INTO assets (code, decimals) VALUES ('KES', 2)")
        spare.give_back()
        with pytest.raises(psycopg.OperationalError):
            left.commit()
    assert spare.take() == url
    assert run(url, "SELECT FROM assets") == []
