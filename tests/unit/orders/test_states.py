"""The state table: money has one place per state, and nothing starts twice."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.orders.postings import TEMPLATES
from gateway.orders.states import ECHOES, RESTING, STEPS, TABLE, E, IllegalStep, P, S, step

MOVES = {
    P.NONE: (),
    P.DEPOSIT_RECEIVED: ("chain", "funds"),
    P.PAYOUT_RESERVED: ("funds", "payout"),
    P.PAYOUT_SETTLED: ("payout", "rail"),
    P.PAYOUT_SETTLED_LATE: ("funds", "rail"),
    P.PAYOUT_SETTLED_IN_PART: ("payout", "rail"),
    P.PAYOUT_RELEASED: ("payout", "funds"),
    P.PAYOUT_RETURNED: ("rail", "funds"),
    P.REFUND_RESERVED: ("funds", "refund"),
    P.REFUND_SETTLED: ("refund", "wallet"),
    P.REFUND_RELEASED: ("refund", "funds"),
    P.CREDIT_APPLIED: ("credit", "funds"),
}


def test_money_has_one_place_per_state_whichever_way_led_there():
    where = {S.AWAITING_DEPOSIT: "chain"}
    todo = deque(where)
    while todo:
        state = todo.popleft()
        for row in (row for row in STEPS if row.state is state):
            place = where[state]
            if move := MOVES[row.posting]:
                # A credit comes from an earlier order, as a deposit does from the chain.
                assert move[0] == place or (move[0], place) == ("credit", "chain"), row
                place = move[1]
            if row.next not in where:
                todo.append(row.next)
            assert where.setdefault(row.next, place) == place, row
    assert where.keys() == set(S)


def test_every_posting_has_a_template_that_starts_and_ends_where_it_says():
    assert TEMPLATES.keys() == set(P) - {P.NONE}
    for posting, lines in TEMPLATES.items():
        source, destination = MOVES[posting]
        assert source in lines[0].source
        assert destination in lines[-1].destination or destination in lines[0].destination


def test_every_state_can_come_to_rest():
    good = set(RESTING)
    while more := {row.state for row in STEPS if row.next in good} - good:
        good |= more
    assert good == set(S)


@given(st.sampled_from(S), st.sampled_from(E))
def test_every_event_is_a_step_an_echo_or_illegal(state, event):
    listed, echo = (state, event) in TABLE, (state, event) in ECHOES
    assert not (listed and echo)
    if listed:
        assert step(state, event) is TABLE[state, event]
    elif echo:
        assert step(state, event) is None
    else:
        with pytest.raises(IllegalStep):
            step(state, event)


def test_uncertain_is_left_only_on_evidence():
    assert {row.event for row in STEPS if row.state is S.UNCERTAIN} == {
        E.OUTCOME_PAID,
        E.OUTCOME_PARTIAL,
        E.OUTCOME_FAILED,
        E.OUTCOME_RETURNED,
    }


def test_a_second_attempt_or_a_refund_needs_the_first_to_be_closed():
    starts = {row.state for row in STEPS if row.event in (E.DISPATCHED, E.REFUND_ORDERED)}
    assert starts == {S.FUNDED, S.HELD}
    assert {row.state for row in STEPS if row.event is E.DISPATCHED} == {S.FUNDED}
