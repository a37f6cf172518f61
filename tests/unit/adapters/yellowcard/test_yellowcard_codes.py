"""What Yellow Card's codes mean."""

from __future__ import annotations

import pytest

from adapters.yellowcard.codes import CODES, WAITS_FOR_US, Place, error_meaning, status_meaning
from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind

STATUSES = "CREATED PENDING_APPROVAL PROCESS PROCESSING PENDING_LIQUIDITY PENDING COMPLETE FAILED EXPIRED DENIED"
REFUSALS = "AuthenticationError PermissionError PaymentValidationError InvalidRequestBody InvalidPhoneNumberFormat"
ERRORS = (
    f"{REFUSALS} ResolveAccountError PaymentExpired PaymentInvalidState PaymentNotFound BadRequestError InternalServerError"
)
DOCUMENTED = f"{STATUSES} {ERRORS} 401 403 404 429".split()


def test_the_table_holds_every_documented_code_and_no_other() -> None:
    assert sorted(code for _, code in CODES) == sorted(DOCUMENTED)


@pytest.mark.parametrize("means", CODES.values())
def test_a_failure_says_whose_fault_it_is(means) -> None:
    assert (means.fault is not None) == (means.kind in (Kind.FAILED, Kind.NOT_PROCESSED))


def test_only_complete_means_paid() -> None:
    assert [code for (_, code), means in CODES.items() if means.kind is Kind.PAID] == ["COMPLETE"]


@pytest.mark.parametrize("word", ["complete", "COMPLETE", "Complete"])
def test_a_status_is_read_in_either_case(word: str) -> None:
    assert status_meaning(word).kind is Kind.PAID


@pytest.mark.parametrize("word", ["", "COMPLETED", "REFUNDED", "SETTLEMENT_COMPLETE", "PROCESSING2"])
def test_an_unlisted_status_is_ambiguous(word: str) -> None:
    assert status_meaning(word) is UNLISTED


def test_statuses_that_wait_for_us_are_open_ones() -> None:
    assert {CODES[Place.STATUS, word].kind for word in WAITS_FOR_US} == {Kind.ACCEPTED}


@pytest.mark.parametrize(
    ("status", "code", "kind", "fault"),
    [
        (401, "AuthenticationError", Kind.NOT_PROCESSED, Fault.RAIL),
        (401, None, Kind.NOT_PROCESSED, Fault.RAIL),
        (429, "Anything", Kind.NOT_PROCESSED, Fault.TRANSIENT),
        (400, "PaymentExpired", Kind.FAILED, Fault.TRANSIENT),
        (400, "Anything", Kind.AMBIGUOUS, None),
        (400, None, Kind.AMBIGUOUS, None),
        (500, "InternalServerError", Kind.AMBIGUOUS, None),
        (502, None, Kind.AMBIGUOUS, None),
        (404, None, Kind.AMBIGUOUS, None),
    ],
)
def test_an_error_is_read_by_its_code_or_else_by_its_http_status(status, code, kind, fault) -> None:
    means = error_meaning(status, code)
    assert (means.kind, means.fault) == (kind, fault)
