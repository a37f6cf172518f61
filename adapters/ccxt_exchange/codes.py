"""Every code and status of the exchanges, one table each. What isn't listed is AMBIGUOUS.

Bitso: docs.bitso.com, Payouts and Funding and API (errors, withdrawals, orders). Coins.ph: its Open API's error list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning

THROTTLED = Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT)
BROKEN = Meaning(Kind.AMBIGUOUS, "the exchange failed on its side")
LOW_FLOAT = Meaning(Kind.FAILED, "our balance there is too low", Fault.FLOAT)
_OURS = Meaning(Kind.FAILED, "our request isn't what it takes", Fault.RAIL)
_STALE = Meaning(Kind.BAD_TOKEN, "the nonce or the credentials are wrong", Fault.RAIL)
_DUPLICATE = Meaning(Kind.DUPLICATE, "this id arrived before")

# fmt: off
BITSO: Mapping[str, Meaning] = {
    "104":  _STALE,
    "0201": _STALE,
    "0303": _OURS,
    "0304": _OURS,
    "0310": Meaning(Kind.AMBIGUOUS, "it doesn't know this withdrawal"),
    "0317": Meaning(Kind.FAILED, "the CLABE is invalid", Fault.RECIPIENT),
    "0330": Meaning(Kind.NOT_PROCESSED, "withdrawals are locked", Fault.RAIL),
    "0714": Meaning(Kind.FAILED, "a CLABE of Nvio can't be reached by SPEI", Fault.RECIPIENT),
}
BITSO_WITHDRAWALS: Mapping[str, Meaning] = {
    "pending":     Meaning(Kind.ACCEPTED, "waits to be sent"),
    "processing":  Meaning(Kind.ACCEPTED, "is being sent"),
    "in_progress": Meaning(Kind.ACCEPTED, "is being sent"),
    "complete":    Meaning(Kind.PAID, "sent by SPEI"),
    "failed":      Meaning(Kind.FAILED, "the bank didn't take it", Fault.RECIPIENT),
}
BITSO_ORDERS: Mapping[str, Meaning] = {
    "queued":           Meaning(Kind.ACCEPTED, "waits"),
    "open":             Meaning(Kind.ACCEPTED, "is open"),
    "partially filled": Meaning(Kind.ACCEPTED, "is sold in part"),
    "partial-fill":     Meaning(Kind.ACCEPTED, "is sold in part"),
    "completed":        Meaning(Kind.PAID, "is sold"),
    "cancelled":        Meaning(Kind.FAILED, "the exchange cancelled it", Fault.TRANSIENT),
}
COINS: Mapping[str, Meaning] = {
    "-1002":  Meaning(Kind.NOT_PROCESSED, "our key isn't accepted", Fault.RAIL),
    "-1003":  THROTTLED,
    "-1015":  THROTTLED,
    "-1006":  Meaning(Kind.AMBIGUOUS, "execution status unknown"),
    "-1007":  Meaning(Kind.AMBIGUOUS, "no answer from its own backend: execution status unknown"),
    "-1021":  Meaning(Kind.BAD_TOKEN, "our clock is outside of its window", Fault.RAIL),
    "-1022":  Meaning(Kind.BAD_TOKEN, "the signature is wrong", Fault.RAIL),
    "-1023":  Meaning(Kind.NOT_PROCESSED, "our address isn't on its list", Fault.RAIL),
    "-1102":  _OURS,
    "-1103":  _OURS,
    "-1111":  _OURS,
    "-1131":  LOW_FLOAT,
    "-30008": LOW_FLOAT,
    "-30036": LOW_FLOAT,
    "-1141":  _DUPLICATE,
}
COINS_PAYOUTS: Mapping[str, Meaning] = {
    "PENDING":   Meaning(Kind.ACCEPTED, "is being paid"),
    "SUCCEEDED": Meaning(Kind.PAID, "paid"),
    "FAILED":    Meaning(Kind.FAILED, "the bank or wallet didn't take it", Fault.RECIPIENT),
}
COINS_SALES: Mapping[str, Meaning] = {
    "TODO":       Meaning(Kind.ACCEPTED, "waits"),
    "PROCESSING": Meaning(Kind.ACCEPTED, "is being sold"),
    "SUCCESS":    Meaning(Kind.PAID, "is sold"),
    "FAILED":     Meaning(Kind.FAILED, "the sale failed", Fault.TRANSIENT),
}
# fmt: on


def meaning(table: Mapping[str, Meaning], code: str, *, float_codes: Collection[str] = ()) -> Meaning:
    """What a code or a status says; `float_codes` are the operator's word for "too little money there"."""
    return table.get(code) or (LOW_FLOAT if code in float_codes else UNLISTED)
