"""The table of what reports do: complete, and never in favour of paying twice."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.offramp import Outcome
from gateway.orders.states import TABLE, S
from gateway.payouts.outcomes import CLOSING, EVENTS, OPEN, RULES, Act, Effect, effect_of

ALL = tuple(product(sorted(OPEN | CLOSING), Outcome))


def effects(was, says, **standing):
    return effect_of(RULES[was, says], says, **standing)


def test_the_table_has_every_pair_and_attempts_are_either_open_or_closed():
    assert RULES.keys() == set(ALL)
    assert not OPEN & CLOSING


@pytest.mark.parametrize(("was", "says"), ALL)
def test_an_attempt_is_reopened_by_nothing_and_closed_by_final_words_only(was, says):
    act = RULES[was, says]
    if was in OPEN:
        assert act is (Act.CLOSE if says in CLOSING else Act.REFRESH)
    else:
        assert act not in (Act.CLOSE, Act.REFRESH)


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("was", [Outcome.FAILED, Outcome.RETURNED])
def test_a_late_payment_is_the_orders_or_a_claim_and_never_nothing(was, state):
    effect = effects(was, Outcome.PAID, state=state, claimed=False, in_part=False)
    takes = (state, EVENTS[Outcome.PAID]) in TABLE and state not in (S.PAYING, S.UNCERTAIN)
    assert effect is (Effect.STEP if takes else Effect.CLAIM)


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("in_part", [True, False])
def test_what_comes_back_undoes_what_it_was(claimed, in_part):
    effect = effects(Outcome.PAID, Outcome.RETURNED, state=S.PAID, claimed=claimed, in_part=in_part)
    assert effect is (Effect.UNCLAIM if claimed else Effect.OWE if in_part else Effect.STEP)


@pytest.mark.parametrize(("was", "says"), [pair for pair in ALL if RULES[pair] in (Act.KEEP, Act.CONTRADICT)])
def test_what_changes_nothing_moves_no_money(was, says):
    for state, claimed in product(S, (True, False)):
        assert effects(was, says, state=state, claimed=claimed, in_part=False) is Effect.NOTHING


@pytest.mark.parametrize("says", Outcome)
def test_an_open_attempt_that_the_rail_still_works_on_moves_nothing(says):
    effect = effects("sending", says, state=S.PAYING, claimed=False, in_part=False)
    assert effect is (Effect.STEP if says in EVENTS else Effect.NOTHING)
