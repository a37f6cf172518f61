"""Every status and every error that Flutterwave's version 3 answers with, in one table each. What isn't listed is AMBIGUOUS.

Statuses: github Flutterwave/Node-v3, documentation/transfers.md. Errors have texts and no codes, and no list of them is
published: those here are what clients report [?], and the setting `refusals` adds others.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning

# fmt: off
STATUSES: Mapping[str, Meaning] = {
    "NEW":        Meaning(Kind.ACCEPTED, "queued"),
    "PENDING":    Meaning(Kind.ACCEPTED, "in process"),
    "SUCCESSFUL": Meaning(Kind.PAID, "paid"),
    "FAILED":     Meaning(Kind.FAILED, "failed", Fault.RECIPIENT),
    # version 4's word: version 3 prints none for money that came back [?]
    "REVERSED":   Meaning(Kind.RETURNED, "the money came back", Fault.RECIPIENT),
}

FAILURES: Mapping[str, Meaning] = {
    "insufficient funds in customer wallet": Meaning(Kind.FAILED, "our wallet holds too little", Fault.FLOAT),
}
"""What of `complete_message` tells more of a FAILED: part of the text, in lower case."""

HTTP: Mapping[int, Meaning] = {
    401: Meaning(Kind.NOT_PROCESSED, "our secret key is wrong", Fault.RAIL),
    429: Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
}

ERRORS: Mapping[str, Meaning] = {
    "ip whitelisting":           Meaning(Kind.NOT_PROCESSED, "our address isn't on the list", Fault.RAIL),
    "transfers via api":         Meaning(Kind.NOT_PROCESSED, "transfers by API aren't enabled", Fault.RAIL),
    "contact the administrator": Meaning(Kind.NOT_PROCESSED, "our account may not transfer", Fault.RAIL),
    "account administrator":     Meaning(Kind.NOT_PROCESSED, "our account may not transfer", Fault.RAIL),
    "authorization key":         Meaning(Kind.NOT_PROCESSED, "our secret key is wrong", Fault.RAIL),
    "insufficient":              Meaning(Kind.NOT_PROCESSED, "our wallet holds too little", Fault.FLOAT),
    "could not be validated":    Meaning(Kind.NOT_PROCESSED, "no such account at this bank", Fault.RECIPIENT),
    "account resolve failed":    Meaning(Kind.NOT_PROCESSED, "no such account at this bank", Fault.RECIPIENT),
}
"""Of an HTTP 4xx: part of the text, in lower case."""
# fmt: on

DUPLICATE = Meaning(Kind.DUPLICATE, "this reference arrived before")
SERVER_ERROR, CLIENT_ERROR = 500, 400


def transfer(status: str, complete_message: str) -> Meaning:
    """What a transfer's status means."""
    means = STATUSES.get(status, UNLISTED)
    if means.kind is not Kind.FAILED:
        return means
    text = complete_message.casefold()
    return next((failure for part, failure in FAILURES.items() if part in text), means)


def error(status: int, message: str, *, refusals: Mapping[str, Fault]) -> Meaning:
    """What an error means: after 28 seconds Flutterwave says 503 and may have taken it, so no 5xx says anything."""
    if status >= SERVER_ERROR or status < CLIENT_ERROR:
        return UNLISTED
    text = message.casefold()
    if "reference" in text and any(word in text for word in ("exist", "duplicate", "unique", "used")):
        return DUPLICATE
    own = {part: Meaning(Kind.NOT_PROCESSED, "refused", fault) for part, fault in refusals.items()}
    found = next((means for part, means in {**own, **ERRORS}.items() if part in text), None)
    return found or HTTP.get(status, UNLISTED)
