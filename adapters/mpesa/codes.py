"""Every code that Daraja answers with, in one table.

Source: developer.safaricom.co.ke, pages BusinessToCustomer, TransactionStatus, AccountBalance and Authorization, as of
2025-12-28. What a code does not say for certain is AMBIGUOUS, and so is every code that isn't listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning


class Place(Enum):
    """Where a code stands; the same number may mean two things in two places."""

    GATEWAY = auto()  # "errorCode" of an HTTP error
    RESULT = auto()  # "ResultCode" of a callback


_G, _R = Place.GATEWAY, Place.RESULT
_DUPLICATE = Meaning(Kind.DUPLICATE, "this id arrived before")

# fmt: off
CODES: Mapping[tuple[Place, str], Meaning] = {
    (_R, "0"):             Meaning(Kind.PAID, "processed"),
    (_R, "1"):             Meaning(Kind.FAILED, "the utility account holds too little", Fault.FLOAT),
    (_R, "2"):             Meaning(Kind.FAILED, "below the least amount", Fault.RECIPIENT),
    (_R, "3"):             Meaning(Kind.FAILED, "above the greatest amount", Fault.RECIPIENT),
    (_R, "4"):             Meaning(Kind.FAILED, "above the recipient's daily limit", Fault.RECIPIENT),
    (_R, "8"):             Meaning(Kind.FAILED, "the recipient's wallet would hold too much", Fault.RECIPIENT),
    (_R, "2040"):          Meaning(Kind.FAILED, "the number is no registered M-PESA customer", Fault.RECIPIENT),
    (_R, "SFC_IC0003"):    Meaning(Kind.FAILED, "the number does not exist", Fault.RECIPIENT),
    (_R, "11"):            Meaning(Kind.FAILED, "our account is in a state that cannot pay", Fault.RAIL),
    (_R, "21"):            Meaning(Kind.FAILED, "our initiator may not pay", Fault.RAIL),
    (_R, "2001"):          Meaning(Kind.FAILED, "our initiator name or password is wrong", Fault.RAIL),
    (_R, "2006"):          Meaning(Kind.FAILED, "our account is not active", Fault.RAIL),
    (_R, "2028"):          Meaning(Kind.FAILED, "our short code may not do this", Fault.RAIL),
    (_R, "8006"):          Meaning(Kind.FAILED, "our initiator is locked", Fault.RAIL),
    (_R, "15"):            _DUPLICATE,
    (_R, "17"):            Meaning(Kind.AMBIGUOUS, "an internal failure at M-PESA"),
    (_R, "19"):            Meaning(Kind.AMBIGUOUS, "a failure at M-PESA"),
    (_R, "100000000"):     Meaning(Kind.AMBIGUOUS, "cached, waiting for resending"),
    (_R, "100000004"):     Meaning(Kind.AMBIGUOUS, "an internal failure at M-PESA"),
    (_G, "500.003.02"):    Meaning(Kind.NOT_PROCESSED, "too many requests at once", Fault.TRANSIENT),
    (_G, "500.003.03"):    Meaning(Kind.NOT_PROCESSED, "the quota of requests is used up", Fault.TRANSIENT),
    (_G, "26"):            Meaning(Kind.NOT_PROCESSED, "traffic is blocked for now", Fault.TRANSIENT),
    (_G, "100000001"):     Meaning(Kind.NOT_PROCESSED, "M-PESA is overloaded", Fault.TRANSIENT),
    (_G, "100000002"):     Meaning(Kind.NOT_PROCESSED, "throttled", Fault.TRANSIENT),
    (_G, "100000011"):     Meaning(Kind.NOT_PROCESSED, "above the limit of requests", Fault.TRANSIENT),
    (_G, "401.002.01"):    Meaning(Kind.BAD_TOKEN, "the access token is wrong", Fault.TRANSIENT),
    (_G, "404.001.03"):    Meaning(Kind.BAD_TOKEN, "the access token is wrong", Fault.TRANSIENT),
    (_G, "400.003.01"):    Meaning(Kind.BAD_TOKEN, "the access token is wrong", Fault.TRANSIENT),
    (_G, "400.008.01"):    Meaning(Kind.NOT_PROCESSED, "the consumer key or secret is wrong", Fault.RAIL),
    (_G, "400.008.02"):    Meaning(Kind.NOT_PROCESSED, "the grant type is wrong", Fault.RAIL),
    (_G, "400.002.02"):    Meaning(Kind.NOT_PROCESSED, "Daraja does not accept a field of the request", Fault.RAIL),
    (_G, "404.001.01"):    Meaning(Kind.NOT_PROCESSED, "no such resource: the app or base_url is wrong", Fault.RAIL),
    (_G, "404.002.01"):    Meaning(Kind.NOT_PROCESSED, "no such resource: the app or base_url is wrong", Fault.RAIL),
    (_G, "405.001"):       Meaning(Kind.NOT_PROCESSED, "the HTTP method is wrong", Fault.RAIL),
    (_G, "24"):            Meaning(Kind.NOT_PROCESSED, "a field is missing", Fault.RAIL),
    (_G, "25"):            Meaning(Kind.NOT_PROCESSED, "the request is wrong", Fault.RAIL),
    (_G, "29"):            Meaning(Kind.NOT_PROCESSED, "the command is wrong", Fault.RAIL),
    (_G, "500.002.1001"):  _DUPLICATE,
    (_G, "00.002.1001"):   Meaning(Kind.AMBIGUOUS, "under maintenance, or a misprint of 500.002.1001"),
    (_G, "500.001.1001"):  Meaning(Kind.AMBIGUOUS, "an internal failure at Daraja"),
    (_G, "500.003.1001"):  Meaning(Kind.AMBIGUOUS, "an internal failure at Daraja"),
}
# fmt: on


def meaning(place: Place, code: str, *, text: str | None = None) -> Meaning:
    """What a code means. `text` is the message beside it: one that speaks of a duplicate outweighs the code.

    The documents print 500.002.1001 for a duplicate as well as for maintenance, and 00.002.1001 on one page.
    """
    found = CODES.get((place, code), UNLISTED)
    return _DUPLICATE if place is Place.GATEWAY and "duplicate" in (text or "").casefold() else found
