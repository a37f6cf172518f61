"""Every status and code has one meaning, and what isn't listed is unknown."""

from __future__ import annotations

import pytest

from adapters.stripe_connect import codes
from gateway.offramp import Fault
from gateway.railkit.meanings import UNLISTED, Kind

TABLES = (
    codes.HTTP,
    codes.ERRORS,
    codes.PAYOUTS,
    codes.PAYOUT_FAILURES,
    codes.OUTBOUND,
    codes.OUTBOUND_REASONS,
)
DOCUMENTED_FAILURES = [
    "account_closed",
    "account_frozen",
    "bank_account_restricted",
    "bank_ownership_changed",
    "could_not_process",
    "debit_not_authorized",
    "insufficient_funds",
    "invalid_account_number",
    "invalid_currency",
    "no_account",
    "unsupported_card",
]
DOCUMENTED_REASONS = [
    "payout_method_declined",
    "payout_method_does_not_exist",
    "payout_method_expired",
    "payout_method_unsupported",
    "payout_method_amount_limit_exceeded",
    "payout_method_usage_frequency_limit_exceeded",
    "fx_rate_drift_exceeded_after_review",
    "review_rejected",
    "unknown_failure",
    "payout_method_canceled_by_customer",
    "payout_method_closed",
    "payout_method_currency_unsupported",
    "payout_method_holder_address_incorrect",
    "payout_method_holder_details_incorrect",
    "payout_method_holder_name_incorrect",
    "payout_method_invalid_account_number",
    "payout_method_restricted",
    "recalled",
]


def test_all_documented_codes_are_listed() -> None:
    assert set(codes.PAYOUT_FAILURES) >= set(DOCUMENTED_FAILURES)
    assert set(codes.OUTBOUND_REASONS) == set(DOCUMENTED_REASONS)
    assert set(codes.PAYOUTS) == {"pending", "in_transit", "paid", "failed", "canceled"}
    assert set(codes.OUTBOUND) == {"processing", "posted", "failed", "returned", "canceled"}


def test_what_was_not_taken_says_whose_matter_it_is() -> None:
    for table in TABLES:
        for means in table.values():
            assert means.kind is not Kind.NOT_PROCESSED or means.fault is not None
    assert all(means.fault is not None for means in codes.PAYOUT_FAILURES.values())


@pytest.mark.parametrize(
    ("status", "kind", "code", "means", "fault"),
    [
        (400, "invalid_request_error", "balance_insufficient", Kind.NOT_PROCESSED, Fault.FLOAT),
        (402, "card_error", "expired_card", Kind.NOT_PROCESSED, Fault.RECIPIENT),
        (404, "invalid_request_error", "resource_missing", Kind.NOT_PROCESSED, Fault.RECIPIENT),
        (400, "invalid_request_error", None, Kind.NOT_PROCESSED, Fault.RAIL),
        (400, "invalid_request_error", "tomorrows_code", Kind.AMBIGUOUS, None),
        (400, "tomorrows_error", None, Kind.AMBIGUOUS, None),
        (400, None, None, Kind.AMBIGUOUS, None),
        (400, "idempotency_error", None, Kind.DUPLICATE, None),
        (401, "invalid_request_error", None, Kind.NOT_PROCESSED, Fault.RAIL),
        (403, "invalid_request_error", "account_invalid", Kind.NOT_PROCESSED, Fault.RAIL),
        (409, "invalid_request_error", "idempotency_key_in_use", Kind.DUPLICATE, None),
        (429, "invalid_request_error", "lock_timeout", Kind.NOT_PROCESSED, Fault.TRANSIENT),
        (500, "invalid_request_error", "balance_insufficient", Kind.AMBIGUOUS, None),
        (503, "api_error", None, Kind.AMBIGUOUS, None),
        (None, None, None, Kind.AMBIGUOUS, None),
        (302, None, None, Kind.AMBIGUOUS, None),
        # v2: the type says it, whatever code stands beside it
        (400, "insufficient_funds", "outbound_payment_insufficient_funds", Kind.NOT_PROCESSED, Fault.FLOAT),
        (400, "invalid_payout_method", None, Kind.NOT_PROCESSED, Fault.RECIPIENT),
        (400, "cannot_proceed", None, Kind.AMBIGUOUS, None),
    ],
)
def test_an_error_means(status: int | None, kind: str | None, code: str | None, means: Kind, fault: Fault | None) -> None:
    read = codes.of_error(status=status, kind=kind, code=code)
    assert (read.kind, read.fault) == (means, fault)


def test_an_unlisted_reason_leaves_the_failure_to_the_status() -> None:
    failed, canceled = codes.PAYOUTS["failed"], codes.PAYOUTS["canceled"]
    assert codes.fault_of("tomorrows_code", codes.PAYOUT_FAILURES, failed) is Fault.RECIPIENT
    assert codes.fault_of(None, codes.PAYOUT_FAILURES, canceled) is Fault.TRANSIENT
    assert codes.fault_of("could_not_process", codes.PAYOUT_FAILURES, failed) is Fault.TRANSIENT


def test_unlisted_is_ambiguous() -> None:
    assert UNLISTED.kind is Kind.AMBIGUOUS
