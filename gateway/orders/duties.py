"""What every state of an order waits for, how long at most, and whose it is then: nothing waits for ever."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from gateway.orders.states import S


class Duty(NamedTuple):
    """Who has to act on an order in a state, and by when."""

    within: timedelta
    """How long after a step into the state it is due, where the step itself names no time."""
    owner: str
    """A group of loops (`lastmile work --only …`), or "operators"."""
    action: str
    """What to do about one that is past its time: a command, with {order} for the order's id."""


DUTIES: Mapping[S, Duty] = {
    S.AWAITING_DEPOSIT: Duty(timedelta(minutes=15), "orders", "lastmile work --only orders"),
    S.CONFIRMING: Duty(timedelta(hours=2), "chains", "lastmile chain status"),
    S.FUNDED: Duty(timedelta(0), "payouts", "lastmile payouts show {order}"),
    S.HELD: Duty(timedelta(days=1), "operators", "lastmile deposits show {order}"),
    S.PAYING: Duty(timedelta(hours=1), "payouts", "lastmile payouts show {order}"),
    S.UNCERTAIN: Duty(timedelta(hours=6), "operators", "lastmile payouts show {order}"),
    S.REFUNDING: Duty(timedelta(hours=6), "keys", "lastmile refunds list --order {order}"),
}
"""Every state that doesn't rest."""


def seconds_within(state: S) -> int | None:
    """`Duty.within` of a state in seconds; None: it rests, nothing is due."""
    duty = DUTIES.get(state)
    return None if duty is None else int(duty.within.total_seconds())
