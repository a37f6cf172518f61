from __future__ import annotations

from gateway.orders import advance

PARSED_ONCE = 4_096
"""Characters up to which psycopg keeps a statement parsed (its query cache); what is longer is parsed at every call."""


def test_the_statement_of_steps_is_short_enough_to_be_parsed_once():
    assert len(str(advance._STEP)) < PARSED_ONCE - 40
