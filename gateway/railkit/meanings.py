"""What a provider's code means in our words: one table per rail, and unlisted means unknown."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple

from gateway.offramp import Fault, NotSent, Outcome, Report


class Kind(Enum):
    """What a code proves."""

    ACCEPTED = auto()  # the provider holds the payment; not final
    AVAILABLE = auto()  # waits for the recipient at a counter
    PAID = auto()
    FAILED = auto()  # no money moved and this id can never pay
    RETURNED = auto()  # was paid, the money came back
    NOT_PROCESSED = auto()  # not taken: the same id may be sent again
    BAD_TOKEN = auto()  # not taken: the same id may be sent again at once, with a new token
    DUPLICATE = auto()  # this id arrived before: ask what became of it
    AMBIGUOUS = auto()  # ask


class Meaning(NamedTuple):
    """What a code means to us. FAILED, RETURNED and NOT_PROCESSED say whose matter it is."""

    kind: Kind
    text: str
    fault: Fault | None = None


UNLISTED = Meaning(Kind.AMBIGUOUS, "a code that is not in our table")

OUTCOMES: Mapping[Kind, Outcome] = {
    Kind.ACCEPTED: Outcome.PENDING,
    Kind.AVAILABLE: Outcome.AVAILABLE,
    Kind.FAILED: Outcome.FAILED,
    Kind.RETURNED: Outcome.RETURNED,
    Kind.NOT_PROCESSED: Outcome.UNKNOWN,
    Kind.BAD_TOKEN: Outcome.UNKNOWN,
    Kind.DUPLICATE: Outcome.UNKNOWN,
    Kind.AMBIGUOUS: Outcome.UNKNOWN,
}
"""Of everything but PAID, which needs an amount and a reference."""


def report_of(
    means: Meaning, *, reason: str, provider_ref: str | None = None, evidence: Mapping[str, str] | None = None
) -> Report:
    """A report of anything but PAID: NOT_PROCESSED, BAD_TOKEN and DUPLICATE are no news of the payment, hence UNKNOWN."""
    outcome = OUTCOMES[means.kind]
    final = outcome in (Outcome.FAILED, Outcome.RETURNED)
    return Report(
        outcome=outcome,
        provider_ref=provider_ref,
        fault=(means.fault or Fault.RECIPIENT) if final else None,
        reason=reason,
        evidence=dict(evidence or {}),
    )


def refuse_what_was_not_taken(means: Meaning, *, reason: str) -> None:
    """Raise `NotSent` if the answer to a request for payment proves that nothing was taken."""
    if means.kind in (Kind.NOT_PROCESSED, Kind.BAD_TOKEN):
        raise NotSent(reason, fault=means.fault or Fault.TRANSIENT)
