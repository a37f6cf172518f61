"""Columns of a set come back as they went in, or not at all."""

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.db.sets import column, split

TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1e\x1f")), min_size=1)


@given(TEXTS.filter(lambda values: values != [""]))
@settings(max_examples=300)
def test_a_column_comes_back_as_it_went_in(postgres, values):
    sql = str(text(f"SELECT {split('it')}").compile()).replace(":it", "%s")
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute(sql, [column(values)]).fetchone() == (values,)


@pytest.mark.parametrize("value", ["a\x1fb", "\x1e", "a\x1e", "\x1f"])
def test_what_could_be_taken_for_several_values_is_refused(value):
    with pytest.raises(ValueError, match="separator"):
        column(["first", value, None])


@pytest.mark.parametrize("values", [[], [""]])
def test_what_would_come_back_as_nothing_is_refused(values):
    with pytest.raises(ValueError, match="nothing at all"):
        column(values)
