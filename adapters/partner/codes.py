"""What the words of the fill contract mean: every state, every problem code, every reason of a partner who declines."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import Kind, Meaning

STATES: Mapping[str, Meaning] = {
    "offered": Meaning(Kind.ACCEPTED, "offered to the partner"),
    "accepted": Meaning(Kind.ACCEPTED, "the partner is paying"),
    "declined": Meaning(Kind.FAILED, "the partner declined"),
    "expired": Meaning(Kind.FAILED, "the partner did not accept in time", Fault.TRANSIENT),
    "cancelled": Meaning(Kind.FAILED, "cancelled before the partner accepted", Fault.TRANSIENT),
    "fulfilled": Meaning(Kind.PAID, "the partner paid"),
    "returned": Meaning(Kind.RETURNED, "the partner's payment came back", Fault.RECIPIENT),
}
"""By state. Only an offer that nobody accepted expires."""

REASONS: Mapping[str, Fault] = {
    "no_liquidity": Fault.FLOAT,
    "unavailable": Fault.TRANSIENT,
    "limit": Fault.TRANSIENT,
    "corridor_closed": Fault.RAIL,
    "recipient_rejected": Fault.RECIPIENT,
    "compliance": Fault.RECIPIENT,
    "other": Fault.RECIPIENT,
}
"""Whose matter a decline is, by its reason; one that isn't here is taken for the recipient's, so that a person looks."""

_OURS = Meaning(Kind.NOT_PROCESSED, "the other side can't read the request", Fault.RAIL)
_RIGHTS = Meaning(Kind.NOT_PROCESSED, "the other side doesn't accept our client or partner", Fault.RAIL)

PROBLEMS: Mapping[str, Meaning] = {
    "invalid_signature": _RIGHTS,
    "stale_signature": Meaning(Kind.NOT_PROCESSED, "one of the two clocks is wrong", Fault.RAIL),
    "fill_partner_not_found": _RIGHTS,
    "malformed_request": _OURS,
    "invalid_fields": _OURS,
    "bad_amount": _OURS,
    "unsupported_media_type": _OURS,
    "body_too_large": _OURS,
    "rate_limited": Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
    "fill_reference_reused": Meaning(Kind.DUPLICATE, "another payment has this reference"),
    "fill_not_found": Meaning(Kind.AMBIGUOUS, "no payment has this reference"),
    "fill_not_cancellable": Meaning(Kind.AMBIGUOUS, "the partner was first"),
    "body_too_slow": Meaning(Kind.AMBIGUOUS, "the request did not arrive whole"),
    "unavailable": Meaning(Kind.AMBIGUOUS, "the other side's database is away"),
    "internal_error": Meaning(Kind.AMBIGUOUS, "something went wrong on the other side"),
}
"""By code of the problem document, as answers to an offer. With an HTTP 5xx none of them is believed."""
