"""Every state that doesn't rest has somebody who acts on it in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.orders.deadlines import TOLD_OF
from gateway.orders.duties import DUTIES, seconds_within
from gateway.orders.states import RESTING, S

ACTED_ON = {S.AWAITING_DEPOSIT, S.FUNDED, S.PAYING}
"""By expire_orders, dispatch, and the polling of attempts."""


def test_every_state_rests_or_has_a_duty():
    assert set(S) == RESTING | set(DUTIES)
    assert not RESTING & set(DUTIES)


def test_every_duty_is_somebodys_who_acts_or_is_told():
    assert set(DUTIES) == TOLD_OF | ACTED_ON
    assert not TOLD_OF & ACTED_ON


@pytest.mark.parametrize("state", S)
def test_nothing_waits_for_ever(state):
    if state in RESTING:
        assert seconds_within(state) is None
    else:
        assert 0 <= seconds_within(state) <= timedelta(days=1).total_seconds()


@pytest.mark.parametrize("duty", DUTIES.values())
def test_what_to_do_is_a_command(duty):
    assert duty.action.format(order="ord_1").startswith("lastmile ")
    assert duty.owner in ("chains", "keys", "orders", "payouts", "operators")
