"""Every status and failure code of the documents has a meaning, and none is believed further than it is documented."""

from __future__ import annotations

import pytest

from adapters.pawapay.codes import CODES, Place, meaning
from gateway.offramp import Fault
from gateway.railkit.meanings import Kind

REJECTIONS = """
NO_AUTHENTICATION AUTHENTICATION_ERROR AUTHORISATION_ERROR HTTP_SIGNATURE_ERROR INVALID_INPUT MISSING_PARAMETER
UNSUPPORTED_PARAMETER INVALID_PARAMETER DUPLICATE_METADATA_FIELD PAYOUTS_NOT_ALLOWED AMOUNT_OUT_OF_BOUNDS INVALID_AMOUNT
INVALID_PHONE_NUMBER INVALID_CURRENCY INVALID_PROVIDER PROVIDER_TEMPORARILY_UNAVAILABLE PAWAPAY_WALLET_OUT_OF_FUNDS
UNKNOWN_ERROR
"""
FAILURES = """
RECIPIENT_NOT_FOUND RECIPIENT_NOT_ALLOWED_TO_RECEIVE RECIPIENT_LIMIT_REACHED WALLET_LIMIT_REACHED MANUALLY_CANCELLED
PAWAPAY_WALLET_OUT_OF_FUNDS UNSPECIFIED_FAILURE UNKNOWN_ERROR
"""
STATUSES = "ACCEPTED ENQUEUED PROCESSING SUBMITTED IN_RECONCILIATION COMPLETED"


def words(place: Place) -> set[str]:
    return {word for where, word in CODES if where is place}


def test_every_documented_code_is_in_the_table() -> None:
    assert words(Place.REJECTION) == set(REJECTIONS.split())
    assert words(Place.FAILURE) >= set(FAILURES.split())
    assert words(Place.STATUS) == set(STATUSES.split())
    assert words(Place.REQUEST) == {"ACCEPTED", "ENQUEUED", "DUPLICATE_IGNORED"}


def test_what_is_rejected_was_not_taken_but_for_an_unknown_error() -> None:
    kinds = {word: CODES[Place.REJECTION, word].kind for word in words(Place.REJECTION)}
    assert kinds.pop("UNKNOWN_ERROR") is Kind.AMBIGUOUS
    assert set(kinds.values()) == {Kind.NOT_PROCESSED}


def test_only_completed_means_paid() -> None:
    assert [key for key, means in CODES.items() if means.kind is Kind.PAID] == [(Place.STATUS, "COMPLETED")]


def test_whatever_did_not_happen_says_whose_fault_it_is() -> None:
    final = [each for each in CODES.values() if each.kind in (Kind.FAILED, Kind.NOT_PROCESSED)]
    assert all(each.fault is not None for each in final)


@pytest.mark.parametrize("place", [Place.REQUEST, Place.REJECTION, Place.STATUS])
@pytest.mark.parametrize("word", ["NEWCODE", "", None, "completed"])
def test_an_unlisted_word_is_ambiguous(place: Place, word: str | None) -> None:
    assert meaning(place, word).kind is Kind.AMBIGUOUS


def test_a_payout_that_failed_for_an_unlisted_reason_has_failed() -> None:
    assert (meaning(Place.FAILURE, "NEWCODE").kind, meaning(Place.FAILURE, None).fault) == (Kind.FAILED, Fault.RECIPIENT)
