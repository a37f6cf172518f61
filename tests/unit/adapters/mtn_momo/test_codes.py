"""The table of words says what MTN's documents say, and nothing more."""

from __future__ import annotations

import pytest

from adapters.mtn_momo.codes import CODES, HELD, Place, meaning, refusal
from gateway.offramp import Fault
from gateway.railkit.meanings import Kind

FAILED = {
    **dict.fromkeys(("PAYEE_NOT_FOUND", "PAYER_NOT_FOUND", "PAYEE_NOT_ALLOWED_TO_RECEIVE"), Fault.RECIPIENT),
    **dict.fromkeys(("NOT_ALLOWED", "REJECTED", "APPROVAL_REJECTED"), Fault.RECIPIENT),
    **dict.fromkeys(("TRANSFER_TYPE_UNKNOWN", "INVALID_CURRENCY"), Fault.RAIL),
    **dict.fromkeys(("NOT_ALLOWED_TARGET_ENVIRONMENT", "INVALID_CALLBACK_URL_HOST"), Fault.RAIL),
    **dict.fromkeys(("NOT_ENOUGH_FUNDS", "PAYER_LIMIT_REACHED"), Fault.FLOAT),
    "EXPIRED": Fault.TRANSIENT,
    **dict.fromkeys(("INTERNAL_PROCESSING_ERROR", "COULD_NOT_PERFORM_TRANSACTION"), Fault.TRANSIENT),
    **dict.fromkeys(("SERVICE_UNAVAILABLE", ""), Fault.TRANSIENT),
}


def of(place: Place, kind: Kind) -> dict[str, Fault | None]:
    return {code: means.fault for (at, code), means in CODES.items() if at is place and means.kind is kind}


def test_only_the_documented_reasons_mean_failed():
    assert of(Place.REASON, Kind.FAILED) == FAILED
    assert of(Place.STATUS, Kind.FAILED) == {"REJECTED": Fault.RECIPIENT, "EXPIRED": Fault.TRANSIENT}
    assert of(Place.STATUS, Kind.PAID) == {"SUCCESSFUL": None}


def test_an_answer_to_a_request_is_never_failed_because_it_says_nothing_of_an_earlier_sending():
    assert of(Place.REQUEST, Kind.FAILED) == of(Place.HTTP, Kind.FAILED) == {}
    assert set(of(Place.HTTP, Kind.NOT_PROCESSED)) == {"400", "403", "429"}


def test_what_may_be_mtns_own_failure_is_held():
    assert set(of(Place.REASON, Kind.FAILED)) > HELD
    assert {of(Place.REASON, Kind.FAILED)[code] for code in HELD} == {Fault.TRANSIENT}


@pytest.mark.parametrize("code", ["INTERNAL_PROCESSING_ERROR", "COULD_NOT_PERFORM_TRANSACTION", "SERVICE_UNAVAILABLE"])
def test_mtns_own_failure_in_answer_to_a_request_is_ambiguous(code: str):
    assert refusal(code, 500).kind is Kind.AMBIGUOUS
    assert refusal(code, 503).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404, 405, 408, 415, 301, 200, 201])
def test_every_other_http_status_is_ambiguous(status: int):
    assert refusal("", status).kind is Kind.AMBIGUOUS
    assert refusal("NEWLY_INVENTED", status).kind is Kind.AMBIGUOUS


def test_a_word_counts_before_its_http_status():
    assert refusal("INVALID_CURRENCY", 500).kind is Kind.NOT_PROCESSED
    assert refusal("RESOURCE_ALREADY_EXIST", 400).kind is Kind.DUPLICATE
    assert refusal("INTERNAL_PROCESSING_ERROR", 400).kind is Kind.AMBIGUOUS
    assert refusal("", 409).kind is Kind.DUPLICATE


@pytest.mark.parametrize("word", ["PAYER_FAILED", "PAYMENT_NOT_APPROVED", "failed", "PAYEE_NOT_FOUND2"])
def test_every_other_reason_is_ambiguous(word: str):
    assert meaning(Place.REASON, word).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize("word", ["PROCESSING2", "", "TIMEOUT", "successful", "FAILED"])
def test_every_other_status_is_ambiguous(word: str):
    assert meaning(Place.STATUS, word).kind is Kind.AMBIGUOUS


def test_every_failure_says_whose_fault_it_is():
    final = (Kind.FAILED, Kind.NOT_PROCESSED, Kind.BAD_TOKEN)
    assert all(means.fault is not None for means in CODES.values() if means.kind in final)
