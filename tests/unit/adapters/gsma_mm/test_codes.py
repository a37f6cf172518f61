"""Every errorCode of the API has a meaning, and none is believed further than it is documented."""

from __future__ import annotations

import pytest

from adapters.gsma_mm.codes import CODES, outcome, refusal
from gateway.offramp import Fault
from gateway.railkit.meanings import Kind

ENUM = """
genericError dailyVolumeLimitExceeded dailyValueLimitExceeded weeklyVolumeLimitExceeded weeklyValueLimitExceeded
monthlyVolumeLimitExceeded monthlyValueLimitExceeded accountMaxTotalVolumeExceeded accountMaxTotalValueExceeded
lessThanTransactionMinValue greaterThanTransactionMaxValue maxBalanceExceeded samePartiesError duplicateRequest
insufficientFunds incorrectState underPaymentNotAllowed overPaymentNotAllowed rateLimitError transactionTypeError
noMandateAuthority linkViolation countryofOriginNotPermitted nationalityNotPermitted idDocumentNotSupported
issuingCountryNotSupported quoteHasExpired identifierError lengthError formatError negativeValue currencyNotSupported
mandatoryValueNotSupplied invalidOffset clientAuthorisationError requestDeclined servicingPartyAuthorisationError
requestingPartyAuthorisationError
"""
DOCUMENTED = ENUM.split()


def refused(status: int, code: str | None = None, category: str | None = None, *, confirmed: bool = False) -> Kind:
    means, _ = refusal(status, code=code, category=category, unavailable_means_not_processed=confirmed)
    return means.kind


def test_every_error_code_of_the_document_is_in_the_table_and_nothing_else() -> None:
    assert sorted(CODES) == sorted(DOCUMENTED)


def test_no_error_code_means_paid_or_accepted_and_what_failed_says_whose_fault_it_is() -> None:
    assert {each.kind for each in CODES.values()} <= {
        Kind.FAILED, Kind.NOT_PROCESSED, Kind.BAD_TOKEN, Kind.DUPLICATE, Kind.AMBIGUOUS,
    }  # fmt: skip
    final = [each for each in CODES.values() if each.kind in (Kind.FAILED, Kind.NOT_PROCESSED, Kind.BAD_TOKEN)]
    assert all(each.fault is not None for each in final)


def test_what_is_refused_at_the_door_was_not_taken_and_so_is_not_failed() -> None:
    assert refused(400, "insufficientFunds") is Kind.NOT_PROCESSED
    assert refused(400, "formatError") is Kind.NOT_PROCESSED
    assert refused(401, "clientAuthorisationError") is Kind.BAD_TOKEN
    assert refused(401) is Kind.BAD_TOKEN
    assert refused(400, "duplicateRequest") is Kind.DUPLICATE


@pytest.mark.parametrize("code", [None, "genericError", "insufficientFunds", "identifierError", "rateLimitError"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_says_nothing_whatever_its_code(status: int, code: str | None) -> None:
    assert refused(status, code) is Kind.AMBIGUOUS


def test_503_means_not_processed_only_where_the_operator_has_confirmed_it() -> None:
    assert refused(503, "genericError", "serviceUnavailable") is Kind.AMBIGUOUS
    assert refused(503, "genericError", "serviceUnavailable", confirmed=True) is Kind.NOT_PROCESSED
    assert refused(503, "genericError", "internal", confirmed=True) is Kind.AMBIGUOUS
    assert refused(500, "genericError", "serviceUnavailable", confirmed=True) is Kind.AMBIGUOUS


@pytest.mark.parametrize(("status", "code"), [(400, None), (403, None), (404, None), (409, "newCode"), (302, None)])
def test_an_unlisted_refusal_is_ambiguous(status: int, code: str | None) -> None:
    assert refused(status, code) is Kind.AMBIGUOUS


def test_of_a_request_that_was_taken_and_failed_the_code_says_whose_fault_it_is() -> None:
    assert (outcome("insufficientFunds").kind, outcome("insufficientFunds").fault) == (Kind.FAILED, Fault.FLOAT)
    assert (outcome("identifierError").kind, outcome("identifierError").fault) == (Kind.FAILED, Fault.RECIPIENT)
    assert (outcome("formatError").kind, outcome("formatError").fault) == (Kind.FAILED, Fault.RAIL)
    assert outcome("genericError").kind is Kind.AMBIGUOUS
    assert outcome("duplicateRequest").kind is Kind.DUPLICATE
    assert outcome("newCode").kind is Kind.AMBIGUOUS
    assert outcome(None).kind is Kind.AMBIGUOUS
