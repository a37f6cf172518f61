"""Every word that MTN MoMo answers with, in one table.

Source: momodeveloper.mtn.com, pages common-error, callback and testing of /api-documentation, as of 2026-07. MTN answers
mistakes of ours with HTTP 500 too: the word in the body counts before the HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning


class Place(Enum):
    """Where a word stands; the same one means two things in two places."""

    REQUEST = auto()  # "code" of the answer to a request for payment
    HTTP = auto()  # its HTTP status, if it has no code that is listed
    STATUS = auto()  # "status" of a transfer
    REASON = auto()  # "reason" of a transfer whose status is FAILED


_Q, _H, _S, _R = Place.REQUEST, Place.HTTP, Place.STATUS, Place.REASON
_ACCEPTED, _FAILED, _NOT_PROCESSED, _AMBIGUOUS = Kind.ACCEPTED, Kind.FAILED, Kind.NOT_PROCESSED, Kind.AMBIGUOUS
_NO_PAYEE = "the number has no MoMo account"

# fmt: off
CODES: Mapping[tuple[Place, str], Meaning] = {
    # What is refused here was not taken. It isn't FAILED: of a second sending it says nothing about the first one.
    (_Q, "RESOURCE_ALREADY_EXIST"):          Meaning(Kind.DUPLICATE, "this id arrived before"),
    (_Q, "PAYEE_NOT_FOUND"):                 Meaning(_NOT_PROCESSED, _NO_PAYEE, Fault.RECIPIENT),
    (_Q, "PAYER_NOT_FOUND"):                 Meaning(_NOT_PROCESSED, _NO_PAYEE, Fault.RECIPIENT),
    (_Q, "PAYEE_NOT_ALLOWED_TO_RECEIVE"):    Meaning(_NOT_PROCESSED, "the account may not receive", Fault.RECIPIENT),
    (_Q, "TRANSFER_TYPE_UNKNOWN"):           Meaning(_NOT_PROCESSED, "MTN knows no such transfer", Fault.RAIL),
    (_Q, "NOT_ENOUGH_FUNDS"):                Meaning(_NOT_PROCESSED, "our account holds too little", Fault.FLOAT),
    (_Q, "PAYER_LIMIT_REACHED"):             Meaning(_NOT_PROCESSED, "our account's limit is reached", Fault.FLOAT),
    (_Q, "NOT_ALLOWED"):                     Meaning(_NOT_PROCESSED, "our account is restricted", Fault.RAIL),
    (_Q, "NOT_ALLOWED_TARGET_ENVIRONMENT"):  Meaning(_NOT_PROCESSED, "target_environment isn't ours", Fault.RAIL),
    (_Q, "INVALID_CALLBACK_URL_HOST"):       Meaning(_NOT_PROCESSED, "our host isn't the registered one", Fault.RAIL),
    (_Q, "INVALID_CURRENCY"):                Meaning(_NOT_PROCESSED, "our account has another currency", Fault.RAIL),
    (_Q, "INTERNAL_PROCESSING_ERROR"):       Meaning(_AMBIGUOUS, "a failure at MTN"),
    (_Q, "COULD_NOT_PERFORM_TRANSACTION"):   Meaning(_AMBIGUOUS, "a failure at MTN, it may be a timeout"),
    (_Q, "SERVICE_UNAVAILABLE"):             Meaning(_AMBIGUOUS, "MTN is out of service"),
    (_H, "400"):  Meaning(_NOT_PROCESSED, "MTN does not accept a field of the request", Fault.RAIL),
    (_H, "401"):  Meaning(Kind.BAD_TOKEN, "the access token or the subscription key is wrong", Fault.RAIL),
    (_H, "403"):  Meaning(_NOT_PROCESSED, "MTN doesn't let our IP address in", Fault.RAIL),
    (_H, "409"):  Meaning(Kind.DUPLICATE, "this id arrived before"),
    (_H, "429"):  Meaning(_NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
    (_S, "SUCCESSFUL"):  Meaning(Kind.PAID, "paid"),
    (_S, "PENDING"):     Meaning(_ACCEPTED, "under way"),
    (_S, "ONGOING"):     Meaning(_ACCEPTED, "under way"),
    (_S, "DELAYED"):     Meaning(_ACCEPTED, "delayed"),
    (_S, "REJECTED"):    Meaning(_FAILED, "rejected", Fault.RECIPIENT),
    (_S, "EXPIRED"):     Meaning(_FAILED, "expired", Fault.TRANSIENT),
    (_R, "PAYEE_NOT_FOUND"):                 Meaning(_FAILED, _NO_PAYEE, Fault.RECIPIENT),
    (_R, "PAYER_NOT_FOUND"):                 Meaning(_FAILED, _NO_PAYEE, Fault.RECIPIENT),
    (_R, "PAYEE_NOT_ALLOWED_TO_RECEIVE"):    Meaning(_FAILED, "the account may not receive", Fault.RECIPIENT),
    (_R, "NOT_ALLOWED"):                     Meaning(_FAILED, "not allowed for this account", Fault.RECIPIENT),
    (_R, "REJECTED"):                        Meaning(_FAILED, "rejected", Fault.RECIPIENT),
    (_R, "APPROVAL_REJECTED"):               Meaning(_FAILED, "rejected", Fault.RECIPIENT),
    (_R, "EXPIRED"):                         Meaning(_FAILED, "expired", Fault.TRANSIENT),
    (_R, "TRANSFER_TYPE_UNKNOWN"):           Meaning(_FAILED, "MTN knows no such transfer", Fault.RAIL),
    (_R, "INVALID_CURRENCY"):                Meaning(_FAILED, "our account has another currency", Fault.RAIL),
    (_R, "NOT_ALLOWED_TARGET_ENVIRONMENT"):  Meaning(_FAILED, "target_environment isn't ours", Fault.RAIL),
    (_R, "INVALID_CALLBACK_URL_HOST"):       Meaning(_FAILED, "our host isn't the registered one", Fault.RAIL),
    (_R, "NOT_ENOUGH_FUNDS"):                Meaning(_FAILED, "our account holds too little", Fault.FLOAT),
    (_R, "PAYER_LIMIT_REACHED"):             Meaning(_FAILED, "our account's limit is reached", Fault.FLOAT),
    (_R, "INTERNAL_PROCESSING_ERROR"):       Meaning(_FAILED, "a failure at MTN", Fault.TRANSIENT),
    (_R, "COULD_NOT_PERFORM_TRANSACTION"):   Meaning(_FAILED, "a failure at MTN, it may be a timeout", Fault.TRANSIENT),
    (_R, "SERVICE_UNAVAILABLE"):             Meaning(_FAILED, "MTN was out of service", Fault.TRANSIENT),
    (_R, ""):                                Meaning(_FAILED, "no reason is given", Fault.TRANSIENT),
    (_R, "ONGOING"):                         Meaning(_ACCEPTED, "under way"),
    (_R, "PAYEE_ONGOING"):                   Meaning(_ACCEPTED, "under way"),
    (_R, "DELAYED"):                         Meaning(_ACCEPTED, "delayed"),
    (_R, "PAYEE_DELAYED"):                   Meaning(_ACCEPTED, "delayed"),
}
# fmt: on

HELD = frozenset({"INTERNAL_PROCESSING_ERROR", "COULD_NOT_PERFORM_TRANSACTION", "SERVICE_UNAVAILABLE", ""})
"""Reasons that may mean that MTN itself doesn't know: FAILED by them counts once a second question, later, says the same."""


def meaning(place: Place, code: str) -> Meaning:
    """What a word means; ambiguous for one that isn't listed."""
    return CODES.get((place, code), UNLISTED)


def refusal(code: str, http_status: int) -> Meaning:
    """What an answer to a request for payment means that isn't "taken"."""
    return CODES.get((Place.REQUEST, code)) or meaning(Place.HTTP, str(http_status))
