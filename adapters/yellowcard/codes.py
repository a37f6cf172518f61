"""Every code and every status of Yellow Card's, in one table.

Source: docs.yellowcard.engineering, pages errors-api, events-api, deny-payment-request and lookup-payment. Statuses come in
either case ("PENDING_APPROVAL" in the events, "process" in the answers), so they are looked up in upper case. What a code
does not say for certain is AMBIGUOUS, and so is every code that isn't listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind, Meaning


class Place(Enum):
    """Where a code stands."""

    STATUS = auto()  # "status" of a payment
    ERROR = auto()  # "code" of an HTTP error
    HTTP = auto()  # the HTTP status of an answer whose code isn't listed


_S, _E, _H = Place.STATUS, Place.ERROR, Place.HTTP

# fmt: off
CODES: Mapping[tuple[Place, str], Meaning] = {
    (_S, "CREATED"):           Meaning(Kind.ACCEPTED, "submitted, being validated"),
    (_S, "PENDING_APPROVAL"):  Meaning(Kind.ACCEPTED, "its rate is locked; not accepted, it expires by itself"),
    (_S, "PROCESS"):           Meaning(Kind.ACCEPTED, "accepted"),
    (_S, "PROCESSING"):        Meaning(Kind.ACCEPTED, "being sent to its channel"),
    (_S, "PENDING_LIQUIDITY"): Meaning(Kind.ACCEPTED, "waits two hours at most for our balance"),
    (_S, "PENDING"):           Meaning(Kind.ACCEPTED, "with its channel"),
    (_S, "COMPLETE"):          Meaning(Kind.PAID, "paid"),
    (_S, "FAILED"):            Meaning(Kind.FAILED, "failed", Fault.RECIPIENT),
    (_S, "EXPIRED"):           Meaning(Kind.FAILED, "never accepted, so never paid", Fault.TRANSIENT),
    (_S, "DENIED"):            Meaning(Kind.FAILED, "denied by us, so never paid", Fault.TRANSIENT),

    (_E, "AuthenticationError"):      Meaning(Kind.NOT_PROCESSED, "wrong key or signature", Fault.RAIL),
    (_E, "PermissionError"):          Meaning(Kind.NOT_PROCESSED, "our key may not do this", Fault.RAIL),
    (_E, "PaymentValidationError"):   Meaning(Kind.NOT_PROCESSED, "refused by validation", Fault.RECIPIENT),
    (_E, "InvalidRequestBody"):       Meaning(Kind.NOT_PROCESSED, "a body that resolves no account", Fault.RECIPIENT),
    (_E, "InvalidPhoneNumberFormat"): Meaning(Kind.NOT_PROCESSED, "no international phone number", Fault.RECIPIENT),
    (_E, "ResolveAccountError"):      Meaning(Kind.NOT_PROCESSED, "no such account at this bank", Fault.RECIPIENT),
    (_E, "PaymentExpired"):           Meaning(Kind.FAILED, "its rate ran out before it was accepted", Fault.TRANSIENT),
    (_E, "PaymentInvalidState"):      Meaning(Kind.AMBIGUOUS, "the payment is in another state: look"),
    (_E, "PaymentNotFound"):          Meaning(Kind.AMBIGUOUS, "no such payment"),
    (_E, "BadRequestError"):          Meaning(Kind.AMBIGUOUS, "something went wrong"),
    (_E, "InternalServerError"):      Meaning(Kind.AMBIGUOUS, "something went wrong at Yellow Card"),

    (_H, "401"):               Meaning(Kind.NOT_PROCESSED, "wrong key or signature", Fault.RAIL),
    (_H, "403"):               Meaning(Kind.NOT_PROCESSED, "our key may not do this", Fault.RAIL),
    (_H, "404"):               Meaning(Kind.AMBIGUOUS, "nothing is there"),
    # Not in their list; by HTTP (RFC 6585) nothing was worked on, and a payment that isn't accepted pays nobody anyway.
    (_H, "429"):               Meaning(Kind.NOT_PROCESSED, "too many requests", Fault.TRANSIENT),
}
# fmt: on

NOT_FOUND = "PaymentNotFound"
WAITS_FOR_US = frozenset({"CREATED", "PENDING_APPROVAL"})
"""Statuses of a payment that nobody has accepted."""


def status_meaning(status: str) -> Meaning:
    """What a payment's status means; an unlisted one is AMBIGUOUS."""
    return CODES.get((Place.STATUS, status.upper()), UNLISTED)


def error_meaning(status: int, code: str | None) -> Meaning:
    """What an error means, by its code, or by its HTTP status if its code isn't listed; unlisted in both is AMBIGUOUS."""
    by_status = CODES.get((Place.HTTP, str(status)), UNLISTED)
    return CODES.get((Place.ERROR, code or ""), by_status)
