"""What a report does to an attempt and its order, whatever came before: one table, and one function beside it.

A rail may say anything at any time. What it says of an open attempt counts. What it says of a closed one is kept, and counts
in three cases: a payment that came back, and one that was made after all, after the rail had called it failed or returned.
Such a late payment settles its order if that still waits to be paid. If not (another attempt is under way, or it was paid or
refunded otherwise), the rail has taken the money without right: it is booked as our claim on it, and never silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from itertools import product

from gateway.offramp import Outcome
from gateway.orders.states import E, S

SENDING = "sending"
"""Outcome of an attempt of which no answer is recorded yet."""
OPEN = frozenset({SENDING, Outcome.PENDING, Outcome.AVAILABLE, Outcome.UNKNOWN})
CLOSING = frozenset({Outcome.PAID, Outcome.FAILED, Outcome.RETURNED})

EVENTS = {
    Outcome.PAID: E.OUTCOME_PAID,
    Outcome.FAILED: E.OUTCOME_FAILED,
    Outcome.RETURNED: E.OUTCOME_RETURNED,
    Outcome.UNKNOWN: E.OUTCOME_UNKNOWN,
}
"""PENDING and AVAILABLE are no events: they only refresh the attempt."""


class Act(StrEnum):
    """What becomes of an attempt."""

    REFRESH = auto()  # it stays open, with the new report
    CLOSE = auto()  # it ends as the report says
    COMES_BACK = auto()  # it was paid, and the money came back
    PAID_AFTER_ALL = auto()  # it was over without payment, and is paid; a person is told
    KEEP = auto()  # old news: the report is kept, nothing changes
    CONTRADICT = auto()  # the report is kept, nothing changes, and a person is told


_CLOSED: Mapping[tuple[str, Outcome], Act] = {
    (Outcome.PAID, Outcome.RETURNED): Act.COMES_BACK,
    (Outcome.PAID, Outcome.FAILED): Act.CONTRADICT,
    (Outcome.FAILED, Outcome.PAID): Act.PAID_AFTER_ALL,
    (Outcome.FAILED, Outcome.RETURNED): Act.CONTRADICT,
    (Outcome.RETURNED, Outcome.PAID): Act.PAID_AFTER_ALL,  # if it was asked about after the return (judging)
}
RULES: Mapping[tuple[str, Outcome], Act] = {
    **{(was, says): Act.CLOSE if says in CLOSING else Act.REFRESH for was, says in product(OPEN, Outcome)},
    **{(was, says): _CLOSED.get((was, says), Act.KEEP) for was, says in product(CLOSING, Outcome)},
}
"""By the attempt's outcome and the report's."""


class Effect(StrEnum):
    """What becomes of the order, and of the ledger beside its steps."""

    NOTHING = auto()
    STEP = auto()  # the order takes the step of the report's event
    CLAIM = auto()  # the rail owes us the amount: the order didn't need this payment
    UNCLAIM = auto()  # what it owed us came back
    OWE = auto()  # what came back of a payment in part is owed to the recipient again
    STRAY = auto()  # it paid another amount after it had called it over: a claim, and the order isn't sent again by itself


def effect_of(act: Act, says: Outcome, *, state: S, claimed: bool, in_part: bool) -> Effect:
    """What an act does to the order of its attempt, which is in `state`.

    `claimed`: the attempt's payment stands as a claim on its rail; `in_part`: it was less than was ordered.
    """
    if act in (Act.KEEP, Act.CONTRADICT):
        return Effect.NOTHING
    if act is Act.PAID_AFTER_ALL:
        return Effect.STEP if state in (S.FUNDED, S.HELD) else Effect.CLAIM
    if act is Act.COMES_BACK and claimed:
        return Effect.UNCLAIM
    if act is Act.COMES_BACK and in_part:
        return Effect.OWE
    return Effect.STEP if says in EVENTS else Effect.NOTHING
