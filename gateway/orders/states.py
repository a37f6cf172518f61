"""The payout order's life, as one table."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import NamedTuple


class S(StrEnum):
    """Where the money is: the order's state."""

    AWAITING_DEPOSIT = auto()
    CONFIRMING = auto()
    EXPIRED = auto()
    FUNDED = auto()
    HELD = auto()
    PAYING = auto()
    UNCERTAIN = auto()
    PAID = auto()
    REFUNDING = auto()
    REFUNDED = auto()


class E(StrEnum):
    """What happened to an order."""

    DEPOSIT_SEEN = auto()
    DEPOSIT_DROPPED = auto()
    DEPOSIT_FINAL = auto()
    DEPOSIT_MISMATCHED = auto()
    DEADLINE_PASSED = auto()
    HOLD_PLACED = auto()
    HOLD_LIFTED = auto()
    DISPATCHED = auto()
    OUTCOME_PAID = auto()
    OUTCOME_PARTIAL = auto()
    OUTCOME_FAILED = auto()
    OUTCOME_UNKNOWN = auto()
    OUTCOME_RETURNED = auto()
    REFUND_ORDERED = auto()
    REFUND_FINAL = auto()
    REFUND_FAILED = auto()
    CREDIT_APPLIED = auto()


class P(StrEnum):
    """Ledger posting made in the same transaction as the step."""

    NONE = auto()
    DEPOSIT_RECEIVED = auto()
    PAYOUT_RESERVED = auto()
    PAYOUT_SETTLED = auto()
    PAYOUT_SETTLED_LATE = auto()
    PAYOUT_SETTLED_IN_PART = auto()
    PAYOUT_RELEASED = auto()
    PAYOUT_RETURNED = auto()
    REFUND_RESERVED = auto()
    REFUND_SETTLED = auto()
    REFUND_RELEASED = auto()
    CREDIT_APPLIED = auto()


class Step(NamedTuple):
    """One row of the table: in `state`, `event` leads to `next` and makes `posting`."""

    state: S
    event: E
    next: S
    posting: P


# fmt: off
STEPS = (
    Step(S.AWAITING_DEPOSIT, E.DEPOSIT_SEEN,       S.CONFIRMING,       P.NONE),
    Step(S.AWAITING_DEPOSIT, E.DEADLINE_PASSED,    S.EXPIRED,          P.NONE),
    Step(S.AWAITING_DEPOSIT, E.CREDIT_APPLIED,     S.FUNDED,           P.CREDIT_APPLIED),
    Step(S.EXPIRED,          E.DEPOSIT_SEEN,       S.CONFIRMING,       P.NONE),
    Step(S.CONFIRMING,       E.DEPOSIT_DROPPED,    S.AWAITING_DEPOSIT, P.NONE),
    Step(S.CONFIRMING,       E.DEPOSIT_FINAL,      S.FUNDED,           P.DEPOSIT_RECEIVED),
    Step(S.CONFIRMING,       E.DEPOSIT_MISMATCHED, S.HELD,             P.DEPOSIT_RECEIVED),
    Step(S.FUNDED,           E.DISPATCHED,         S.PAYING,           P.PAYOUT_RESERVED),
    Step(S.FUNDED,           E.HOLD_PLACED,        S.HELD,             P.NONE),
    Step(S.FUNDED,           E.OUTCOME_PAID,       S.PAID,             P.PAYOUT_SETTLED_LATE),
    Step(S.FUNDED,           E.REFUND_ORDERED,     S.REFUNDING,        P.REFUND_RESERVED),
    Step(S.HELD,             E.HOLD_LIFTED,        S.FUNDED,           P.NONE),
    Step(S.HELD,             E.OUTCOME_PAID,       S.PAID,             P.PAYOUT_SETTLED_LATE),
    Step(S.HELD,             E.REFUND_ORDERED,     S.REFUNDING,        P.REFUND_RESERVED),
    Step(S.PAYING,           E.OUTCOME_PAID,       S.PAID,             P.PAYOUT_SETTLED),
    Step(S.PAYING,           E.OUTCOME_PARTIAL,    S.PAID,             P.PAYOUT_SETTLED_IN_PART),
    Step(S.PAYING,           E.OUTCOME_FAILED,     S.FUNDED,           P.PAYOUT_RELEASED),
    Step(S.PAYING,           E.OUTCOME_RETURNED,   S.FUNDED,           P.PAYOUT_RELEASED),
    Step(S.PAYING,           E.OUTCOME_UNKNOWN,    S.UNCERTAIN,        P.NONE),
    Step(S.UNCERTAIN,        E.OUTCOME_PAID,       S.PAID,             P.PAYOUT_SETTLED),
    Step(S.UNCERTAIN,        E.OUTCOME_PARTIAL,    S.PAID,             P.PAYOUT_SETTLED_IN_PART),
    Step(S.UNCERTAIN,        E.OUTCOME_FAILED,     S.FUNDED,           P.PAYOUT_RELEASED),
    Step(S.UNCERTAIN,        E.OUTCOME_RETURNED,   S.FUNDED,           P.PAYOUT_RELEASED),
    Step(S.PAID,             E.OUTCOME_RETURNED,   S.FUNDED,           P.PAYOUT_RETURNED),
    Step(S.REFUNDING,        E.REFUND_FINAL,       S.REFUNDED,         P.REFUND_SETTLED),
    Step(S.REFUNDING,        E.REFUND_FAILED,      S.HELD,             P.REFUND_RELEASED),
)
ECHOES = frozenset({          # old news: log, change nothing
    (S.CONFIRMING, E.DEPOSIT_SEEN), (S.CONFIRMING, E.DEADLINE_PASSED),
    (S.PAID, E.OUTCOME_PAID), (S.UNCERTAIN, E.OUTCOME_UNKNOWN),
})
RESTING = frozenset({S.EXPIRED, S.PAID, S.REFUNDED})   # no worker looks at these
# fmt: on

TABLE = {(step.state, step.event): step for step in STEPS}
assert len(TABLE) == len(STEPS)
assert not TABLE.keys() & ECHOES


class IllegalStep(Exception):
    """An event that the table doesn't list for this state: somebody's bug, or the news we most want to hear about."""


def step(state: S, event: E) -> Step | None:
    """The step to take; None for an echo; IllegalStep (page someone) for anything else."""
    if (state, event) in ECHOES:
        return None
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalStep(f"{event} in {state}") from None
