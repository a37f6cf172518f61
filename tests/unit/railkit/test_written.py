"""JSON as we send it keeps every digit and every letter."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.railkit.written import exact_json

AMOUNTS = st.decimals(min_value=0, max_value=10**12, places=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | AMOUNTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value):
    assert json.loads(exact_json(value), parse_float=Decimal) == value


def test_an_amount_is_a_number_with_just_its_digits():
    assert exact_json({"a": Decimal("0.10"), "b": [1, "2"], "c": Decimal("1E+3")}) == b'{"a":0.10,"b":[1,"2"],"c":1000}'
