"""Every status and every refusal of Paycrest's, in one table.

Sources: docs.paycrest.io, pages Transaction Lifecycle and POST /v2/sender/orders (openapi-v2.yaml of 2026-09); the server's
own source (paycrest/aggregator, controllers/sender/sender.go) for what validation says. What doesn't say anything for
certain is AMBIGUOUS, and so is everything that isn't listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning


class Place(Enum):
    """Where a word stands."""

    ORDER = auto()  # "status" of an order that waits for its coins
    FUNDED = auto()  # "status" of an order whose coins have been sent
    HTTP = auto()  # the HTTP status of an error
    FIELD = auto()  # "field" of a refused payload


_O, _F, _H, _V = Place.ORDER, Place.FUNDED, Place.HTTP, Place.FIELD
_SEEN = Meaning(Kind.PAID, "ordered; its coins have been seen")
_WORKED_ON = Meaning(Kind.ACCEPTED, "being worked on")
_DELIVERED = Meaning(Kind.PAID, "the recipient has the money")

# fmt: off
CODES: Mapping[tuple[Place, str], Meaning] = {
    (_O, "initiated"):  Meaning(Kind.PAID, "ordered; it waits for its coins"),
    (_O, "deposited"):  _SEEN,
    (_O, "pending"):    _SEEN,
    (_O, "fulfilling"): _SEEN,
    (_O, "fulfilled"):  _SEEN,
    (_O, "validated"):  _SEEN,
    (_O, "settling"):   _SEEN,
    (_O, "settled"):    _SEEN,
    (_O, "refunding"):  _SEEN,
    (_O, "refunded"):   _SEEN,
    (_O, "expired"):    Meaning(Kind.FAILED, "it got no coins in time", Fault.TRANSIENT),
    (_O, "cancelled"):  Meaning(Kind.AMBIGUOUS, "cancelled; by whom and when is not told"),

    (_F, "initiated"):  Meaning(Kind.ACCEPTED, "its coins have not been seen yet"),
    (_F, "deposited"):  Meaning(Kind.ACCEPTED, "its coins have been seen"),
    (_F, "pending"):    _WORKED_ON,
    (_F, "fulfilling"): _WORKED_ON,
    (_F, "fulfilled"):  _WORKED_ON,
    (_F, "validated"):  _DELIVERED,
    (_F, "settling"):   _DELIVERED,
    (_F, "settled"):    _DELIVERED,
    (_F, "refunding"):  Meaning(Kind.ACCEPTED, "not delivered; the coins are on their way back"),
    (_F, "refunded"):   Meaning(Kind.FAILED, "not delivered; the coins are back at our refund address", Fault.TRANSIENT),
    # Our coins were sent: late, or Paycrest missed them. Nobody has said where they are.
    (_F, "expired"):    Meaning(Kind.AMBIGUOUS, "it says that it got no coins: ask Paycrest, with the transaction"),
    (_F, "cancelled"):  Meaning(Kind.AMBIGUOUS, "cancelled, with our coins sent: ask Paycrest"),

    (_H, "400"):        Meaning(Kind.NOT_PROCESSED, "refused by validation", Fault.RECIPIENT),
    (_H, "401"):        Meaning(Kind.NOT_PROCESSED, "wrong API key", Fault.RAIL),
    (_H, "403"):        Meaning(Kind.NOT_PROCESSED, "our account may not do this", Fault.RAIL),
    (_H, "404"):        Meaning(Kind.AMBIGUOUS, "no such order"),
    (_H, "409"):        Meaning(Kind.DUPLICATE, "this reference arrived before"),
    (_H, "422"):        Meaning(Kind.NOT_PROCESSED, "refused by validation", Fault.RECIPIENT),
    (_H, "429"):        Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
    (_H, "500"):        Meaning(Kind.AMBIGUOUS, "something went wrong at Paycrest"),
    (_H, "503"):        Meaning(Kind.NOT_PROCESSED, "nobody pays there now; nothing was created", Fault.TRANSIENT),

    (_V, "reference"):  Meaning(Kind.DUPLICATE, "this reference arrived before"),
    (_V, "recipient"):  Meaning(Kind.NOT_PROCESSED, "the recipient's account or institution is refused", Fault.RECIPIENT),
    (_V, "amount"):     Meaning(Kind.NOT_PROCESSED, "the amount is refused", Fault.RECIPIENT),
    (_V, "rate"):       Meaning(Kind.NOT_PROCESSED, "no rate for this", Fault.TRANSIENT),
    (_V, "token"):      Meaning(Kind.NOT_PROCESSED, "the token is not enabled for our account", Fault.RAIL),
}
# fmt: on

REFUSED_PAYLOAD = frozenset({400, 422})
"""HTTP statuses of errors that name a field."""


def order_meaning(place: Place, status: str) -> Meaning:
    """What an order's status means, before or after its coins were sent."""
    return CODES.get((place, status), UNLISTED)


def error_meaning(status: int, field: str | None) -> Meaning:
    """What an error means: by the field that a refused payload names, or else by its HTTP status."""
    by_status = CODES.get((Place.HTTP, str(status)), UNLISTED)
    return CODES.get((Place.FIELD, (field or "").lower()), by_status) if status in REFUSED_PAYLOAD else by_status
