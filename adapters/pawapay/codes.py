"""Every status and failure code of pawaPay's payouts, in one table.

Source: docs.pawapay.io, pages /v2/docs/failure_codes and /v2/api-reference/payouts/*; codes seen in pawaPay's clients only
are listed too, where they can't mean that money moved. What isn't listed is AMBIGUOUS.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning


class Place(Enum):
    """Where a word stands; the same one means two things in two places."""

    REQUEST = auto()  # "status" of the answer to a request for payment
    REJECTION = auto()  # "failureCode" of one that is REJECTED, or of an HTTP error
    STATUS = auto()  # "status" of a payout
    FAILURE = auto()  # "failureCode" of a payout that is FAILED


_Q, _J, _S, _F = Place.REQUEST, Place.REJECTION, Place.STATUS, Place.FAILURE
_NOT_PROCESSED, _FAILED, _ACCEPTED = Kind.NOT_PROCESSED, Kind.FAILED, Kind.ACCEPTED
_OURS = "pawaPay can't read our request"
_NO_WALLET = "the number has no wallet there"
_FULL = "a limit of the recipient's wallet"
_FLOAT = "our pawaPay wallet of this country holds too little"

# fmt: off
CODES: Mapping[tuple[Place, str], Meaning] = {
    (_Q, "ACCEPTED"):          Meaning(_ACCEPTED, "accepted"),
    (_Q, "ENQUEUED"):          Meaning(_ACCEPTED, "accepted, waits until the wallet's operator is back"),
    (_Q, "DUPLICATE_IGNORED"): Meaning(Kind.DUPLICATE, "this id arrived before"),
    (_J, "NO_AUTHENTICATION"):        Meaning(_NOT_PROCESSED, "no API token arrived", Fault.RAIL),
    (_J, "AUTHENTICATION_ERROR"):     Meaning(_NOT_PROCESSED, "the API token is wrong", Fault.RAIL),
    (_J, "AUTHORISATION_ERROR"):      Meaning(_NOT_PROCESSED, "the API token may not do this", Fault.RAIL),
    (_J, "HTTP_SIGNATURE_ERROR"):     Meaning(_NOT_PROCESSED, "our signature is missing or wrong", Fault.RAIL),
    (_J, "INVALID_INPUT"):            Meaning(_NOT_PROCESSED, _OURS, Fault.RAIL),
    (_J, "MISSING_PARAMETER"):        Meaning(_NOT_PROCESSED, _OURS, Fault.RAIL),
    (_J, "UNSUPPORTED_PARAMETER"):    Meaning(_NOT_PROCESSED, _OURS, Fault.RAIL),
    (_J, "INVALID_PARAMETER"):        Meaning(_NOT_PROCESSED, _OURS, Fault.RAIL),
    (_J, "DUPLICATE_METADATA_FIELD"): Meaning(_NOT_PROCESSED, _OURS, Fault.RAIL),
    (_J, "PAYOUTS_NOT_ALLOWED"):      Meaning(_NOT_PROCESSED, "our account may not pay out", Fault.RAIL),
    (_J, "AMOUNT_OUT_OF_BOUNDS"):     Meaning(_NOT_PROCESSED, "outside the wallet's limits", Fault.RECIPIENT),
    (_J, "INVALID_AMOUNT"):           Meaning(_NOT_PROCESSED, "an amount that this wallet can't have", Fault.RAIL),
    (_J, "INVALID_PHONE_NUMBER"):     Meaning(_NOT_PROCESSED, "no number of this wallet's", Fault.RECIPIENT),
    (_J, "INVALID_CURRENCY"):         Meaning(_NOT_PROCESSED, "not this currency", Fault.RAIL),
    (_J, "INVALID_PROVIDER"):         Meaning(_NOT_PROCESSED, "this wallet isn't enabled for us", Fault.RAIL),
    (_J, "PROVIDER_TEMPORARILY_UNAVAILABLE"): Meaning(_NOT_PROCESSED, "the wallet's operator is down", Fault.TRANSIENT),
    (_J, "PAWAPAY_WALLET_OUT_OF_FUNDS"):      Meaning(_NOT_PROCESSED, _FLOAT, Fault.FLOAT),
    (_J, "UNKNOWN_ERROR"):            Meaning(Kind.AMBIGUOUS, "a failure at pawaPay: ask"),
    (_S, "ACCEPTED"):          Meaning(_ACCEPTED, "accepted"),
    (_S, "ENQUEUED"):          Meaning(_ACCEPTED, "waits until the wallet's operator is back"),
    (_S, "PROCESSING"):        Meaning(_ACCEPTED, "under way"),
    (_S, "SUBMITTED"):         Meaning(_ACCEPTED, "under way"),
    (_S, "IN_RECONCILIATION"): Meaning(_ACCEPTED, "pawaPay finds out what became of it"),
    (_S, "COMPLETED"):         Meaning(Kind.PAID, "paid"),
    (_F, "RECIPIENT_NOT_FOUND"):              Meaning(_FAILED, _NO_WALLET, Fault.RECIPIENT),
    (_F, "RECIPIENT_NOT_ALLOWED_TO_RECEIVE"): Meaning(_FAILED, "the wallet may not receive", Fault.RECIPIENT),
    (_F, "RECIPIENT_LIMIT_REACHED"):          Meaning(_FAILED, _FULL, Fault.RECIPIENT),
    (_F, "WALLET_LIMIT_REACHED"):             Meaning(_FAILED, _FULL, Fault.RECIPIENT),
    (_F, "MANUALLY_CANCELLED"):               Meaning(_FAILED, "cancelled while it waited", Fault.TRANSIENT),
    (_F, "PAWAPAY_WALLET_OUT_OF_FUNDS"):      Meaning(_FAILED, _FLOAT, Fault.FLOAT),
    (_F, "PROVIDER_TEMPORARILY_UNAVAILABLE"): Meaning(_FAILED, "the wallet's operator is down", Fault.TRANSIENT),
    (_F, "UNSPECIFIED_FAILURE"):              Meaning(_FAILED, "the wallet's operator gives no reason", Fault.RECIPIENT),
    (_F, "OTHER_ERROR"):                      Meaning(_FAILED, "the wallet's operator gives no reason", Fault.RECIPIENT),
    (_F, "UNKNOWN_ERROR"):                    Meaning(_FAILED, "a failure at pawaPay", Fault.TRANSIENT),
}
# fmt: on

FAILED_FOR_AN_UNLISTED_REASON = Meaning(_FAILED, "failed for a reason that is not in our table", Fault.RECIPIENT)
"""The status FAILED is documented as final, with no money moved; its reason only says whose matter it is."""


def meaning(place: Place, word: str | None) -> Meaning:
    """What a word means in a place; the reason of a FAILED never changes that it failed."""
    found = CODES.get((place, word or ""))
    if found is not None:
        return found
    return FAILED_FOR_AN_UNLISTED_REASON if place is Place.FAILURE else UNLISTED
