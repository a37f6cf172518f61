"""Every code that Airtel answers with, in one table.

Sources: `status.response_code` of disbursements and enquiries as the clients of the Red Cross (global-121/121-platform,
`integrations/airtel` and its mock service) read and record them in production, and the pages of developers.airtel.africa as
other public clients quote them. What a code doesn't say for certain is AMBIGUOUS, and so is every code that isn't listed.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning

_DUPLICATE = "this id arrived before"

# fmt: off
CODES: Mapping[str, Meaning] = {
    "DP00900001000": Meaning(Kind.AMBIGUOUS, "being processed, Airtel doesn't know how it stands"),
    "DP00900001001": Meaning(Kind.PAID, "paid"),
    "DP00900001003": Meaning(Kind.FAILED, "the recipient's limit for the day is reached", Fault.RECIPIENT),
    "DP00900001004": Meaning(Kind.FAILED, "an amount that Airtel doesn't take", Fault.RECIPIENT),
    "DP00900001005": Meaning(Kind.FAILED, "failed", Fault.RECIPIENT),
    "DP00900001006": Meaning(Kind.ACCEPTED, "in process"),
    "DP00900001007": Meaning(Kind.FAILED, "our account holds too little", Fault.FLOAT),
    "DP00900001009": Meaning(Kind.FAILED, "no such recipient", Fault.RECIPIENT),
    "DP00900001010": Meaning(Kind.FAILED, "the recipient is barred or not registered", Fault.RECIPIENT),
    "DP00900001011": Meaning(Kind.DUPLICATE, "a similar payment was made just before"),
    "DP00900001012": Meaning(Kind.FAILED, "no number of this country's", Fault.RECIPIENT),
    "DP00900001013": Meaning(Kind.FAILED, "refused: most often the PIN, the country or a field", Fault.RAIL),
    "DP00900001014": Meaning(Kind.AMBIGUOUS, "timed out at Airtel"),
    "DP00900001015": Meaning(Kind.AMBIGUOUS, "not found, which may change"),
    "DP00900001016": Meaning(Kind.NOT_PROCESSED, "Airtel wants requests to be signed", Fault.RAIL),
    "DP00900001017": Meaning(Kind.DUPLICATE, _DUPLICATE),
    "DP00900001018": Meaning(Kind.NOT_PROCESSED, "Airtel could not read the signature", Fault.RAIL),
    "ESB000008":     Meaning(Kind.NOT_PROCESSED, "Airtel doesn't accept a field or a header", Fault.RAIL),
    "ROUTER110":     Meaning(Kind.NOT_PROCESSED, "Airtel doesn't know us in this country", Fault.RAIL),
    "invalid_token": Meaning(Kind.BAD_TOKEN, "the access token is wrong or has run out", Fault.TRANSIENT),
    "HTTP 401":      Meaning(Kind.BAD_TOKEN, "the access token is wrong or has run out", Fault.TRANSIENT),
    "HTTP 429":      Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
}

WORDS: Mapping[str, Kind] = {
    "TS":      Kind.PAID,
    "SUCCESS": Kind.PAID,
    "TF":      Kind.FAILED,
    "FAILED":  Kind.FAILED,
    "TIP":     Kind.ACCEPTED,
    "TA":      Kind.AMBIGUOUS,
}
"""`data.transaction.status`, as far as clients have seen it: never enough by itself, but it may not contradict the code."""
# fmt: on


def meaning(code: str | None, *, word: str | None) -> Meaning:
    """What a code means, unless the word beside it says otherwise."""
    means = CODES.get(code or "", UNLISTED)
    if word is None or means.kind not in (Kind.PAID, Kind.FAILED, Kind.ACCEPTED):
        return means
    said = WORDS.get(word)
    if said is means.kind:
        return means
    return Meaning(Kind.AMBIGUOUS, f"{means.text}, but its status says something else")
