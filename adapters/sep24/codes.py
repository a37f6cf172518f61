"""Every word of the anchor's and of Stellar's, and what it means for us. Unlisted means unknown.

Sources: SEP-24 ("Transaction History", the list of statuses), Stellar's Horizon API ("Error Handling", "Result Codes").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning


class Place(StrEnum):
    """Before our coins are sent nothing can be lost; afterwards only the anchor's final word counts."""

    UNPAID = "unpaid"
    PAID_FOR = "paid_for"


_WAITS = Kind.ACCEPTED
_T = Fault.TRANSIENT
STATUSES: Mapping[str, tuple[Meaning, Meaning]] = {
    "incomplete": (
        Meaning(_WAITS, "waits for a person at the anchor's page"),
        Meaning(Kind.AMBIGUOUS, "incomplete, although our coins are sent"),
    ),
    "pending_user_transfer_start": (
        Meaning(Kind.PAID, "the anchor waits for our coins"),
        Meaning(_WAITS, "the anchor hasn't seen our coins yet"),
    ),
    "pending_user_transfer_complete": (
        Meaning(Kind.AMBIGUOUS, "ready, although we sent no coins"),
        Meaning(Kind.AVAILABLE, "the cash waits for the recipient"),
    ),
    "pending_external": (Meaning(_WAITS, "on the way outside"), Meaning(_WAITS, "on the way outside")),
    "pending_anchor": (Meaning(_WAITS, "the anchor checks the person"), Meaning(_WAITS, "the anchor works on it")),
    "on_hold": (Meaning(_WAITS, "held for checks"), Meaning(_WAITS, "held for checks")),
    "pending_stellar": (Meaning(_WAITS, "not confirmed by Stellar"), Meaning(_WAITS, "not confirmed by Stellar")),
    "pending_trust": (Meaning(_WAITS, "waits for a trustline"), Meaning(_WAITS, "waits for a trustline")),
    "pending_user": (Meaning(_WAITS, "waits for the person"), Meaning(_WAITS, "waits for the person")),
    "completed": (
        Meaning(Kind.AMBIGUOUS, "completed, although we sent no coins"),
        Meaning(Kind.PAID, "the cash was taken"),
    ),
    "refunded": (Meaning(Kind.FAILED, "refunded", _T), Meaning(Kind.FAILED, "refunded", _T)),
    "expired": (
        Meaning(Kind.FAILED, "expired, unpaid", _T),
        Meaning(Kind.AMBIGUOUS, "expired, although our coins are sent"),
    ),
    "no_market": (Meaning(Kind.FAILED, "no market", _T), Meaning(Kind.AMBIGUOUS, "no market, our coins are sent")),
    "too_small": (Meaning(Kind.FAILED, "too small", _T), Meaning(Kind.AMBIGUOUS, "too small, our coins are sent")),
    "too_large": (Meaning(Kind.FAILED, "too large", _T), Meaning(Kind.AMBIGUOUS, "too large, our coins are sent")),
    "error": (Meaning(Kind.FAILED, "an error, unpaid", _T), Meaning(Kind.AMBIGUOUS, "an error, our coins are sent")),
}
"""By SEP-24 status: before our coins are sent, and after. PAID of an unpaid one means: it may be paid for now."""

REFUSALS: Mapping[int, Meaning] = {
    400: Meaning(Kind.FAILED, "the anchor refuses it", Fault.RECIPIENT),
    401: Meaning(Kind.BAD_TOKEN, "the token is bad", Fault.RAIL),
    403: Meaning(Kind.BAD_TOKEN, "the token is bad", Fault.RAIL),
    404: Meaning(Kind.FAILED, "the anchor has no such thing", Fault.RAIL),
    422: Meaning(Kind.FAILED, "the anchor refuses it", Fault.RECIPIENT),
    429: Meaning(Kind.NOT_PROCESSED, "throttled", _T),
}
"""HTTP statuses of the anchor to what moves nothing: a quote, an order that isn't paid for."""

RESULTS: Mapping[str, Meaning] = {
    "tx_bad_seq": Meaning(Kind.DUPLICATE, "its sequence number is used: by this payment, or by another one"),
    "tx_too_late": Meaning(Kind.FAILED, "too late", _T),
    "tx_too_early": Meaning(Kind.FAILED, "too early: our clock is wrong", Fault.RAIL),
    "tx_insufficient_fee": Meaning(Kind.FAILED, "the network wants a greater fee", _T),
    "tx_insufficient_balance": Meaning(Kind.FAILED, "too few lumens", Fault.FLOAT),
    "tx_bad_auth": Meaning(Kind.FAILED, "the key doesn't sign for our account on this network", Fault.RAIL),
    "tx_bad_auth_extra": Meaning(Kind.FAILED, "a signature too many", Fault.RAIL),
    "tx_no_source_account": Meaning(Kind.FAILED, "our account doesn't exist", Fault.RAIL),
    "tx_no_account": Meaning(Kind.FAILED, "our account doesn't exist", Fault.RAIL),
    "tx_missing_operation": Meaning(Kind.FAILED, "no operation", Fault.RAIL),
    "tx_not_supported": Meaning(Kind.FAILED, "not supported", Fault.RAIL),
    "tx_malformed": Meaning(Kind.FAILED, "malformed", Fault.RAIL),
    "tx_internal_error": Meaning(Kind.AMBIGUOUS, "an error inside"),
    "op_underfunded": Meaning(Kind.FAILED, "too few coins", Fault.FLOAT),
    "op_low_reserve": Meaning(Kind.FAILED, "too few lumens", Fault.FLOAT),
    "op_src_no_trust": Meaning(Kind.FAILED, "our account doesn't trust the coin", Fault.RAIL),
    "op_src_not_authorized": Meaning(Kind.FAILED, "our account may not send the coin", Fault.RAIL),
    "op_no_destination": Meaning(Kind.FAILED, "the anchor's account doesn't exist", Fault.RAIL),
    "op_no_trust": Meaning(Kind.FAILED, "the anchor's account doesn't trust the coin", Fault.RAIL),
    "op_not_authorized": Meaning(Kind.FAILED, "the anchor may not hold the coin", Fault.RAIL),
    "op_line_full": Meaning(Kind.FAILED, "the anchor's account is full", _T),
    "op_no_issuer": Meaning(Kind.FAILED, "the coin has no issuer", Fault.RAIL),
    "op_bad_auth": Meaning(Kind.FAILED, "the key doesn't sign for our account", Fault.RAIL),
    "op_no_source_account": Meaning(Kind.FAILED, "our account doesn't exist", Fault.RAIL),
    "op_malformed": Meaning(Kind.FAILED, "malformed", Fault.RAIL),
}
"""Why Horizon says that a transaction did nothing. "tx_failed" has its reason in the codes of its operations."""
THROTTLED = Meaning(Kind.NOT_PROCESSED, "throttled", _T)
MALFORMED = Meaning(Kind.FAILED, "it can't be read there", Fault.RAIL)


def status_meaning(place: Place, status: str) -> Meaning:
    """What a SEP-24 status means, before or after our coins were sent."""
    unpaid, paid_for = STATUSES.get(status, (UNLISTED, UNLISTED))
    return unpaid if place is Place.UNPAID else paid_for


def refusal_meaning(http_status: int) -> Meaning:
    """What the anchor's HTTP status means for something that moves no money."""
    return REFUSALS.get(http_status, UNLISTED)


def result_meaning(codes: tuple[str, ...]) -> Meaning:
    """What Horizon's result codes mean: the transaction's, then those of its operations."""
    first, *inner = codes or ("",)
    return RESULTS.get(inner[0] if first == "tx_failed" and inner else first, UNLISTED)
