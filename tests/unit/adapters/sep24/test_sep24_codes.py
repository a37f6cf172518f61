"""Every word of the documents has its meaning, and any other one is unknown."""

from __future__ import annotations

import pytest

from adapters.sep24.codes import RESULTS, STATUSES, Place, refusal_meaning, result_meaning, status_meaning
from gateway.offramp import Fault
from gateway.railkit.meanings import Kind

DOCUMENTED = (
    "incomplete pending_user_transfer_start pending_user_transfer_complete pending_external pending_anchor on_hold "
    "pending_stellar pending_trust pending_user completed refunded expired no_market too_small too_large error"
)
OVER = ("expired", "no_market", "too_small", "too_large", "error")


def test_the_table_has_every_status_of_the_sep_and_no_other():
    assert set(STATUSES) == set(DOCUMENTED.split())


@pytest.mark.parametrize("status", ["COMPLETED", "paid", "", "pending_receiver"])
@pytest.mark.parametrize("place", Place)
def test_any_other_status_is_unknown(place: Place, status: str):
    assert status_meaning(place, status).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize("status", OVER)
def test_an_end_without_our_coins_costs_nothing_and_one_with_them_is_a_matter_for_a_person(status: str):
    unpaid = status_meaning(Place.UNPAID, status)
    assert (unpaid.kind, unpaid.fault) == (Kind.FAILED, Fault.TRANSIENT)
    assert status_meaning(Place.PAID_FOR, status).kind is Kind.AMBIGUOUS


def test_only_one_status_lets_us_pay_and_only_one_says_that_the_cash_was_taken():
    assert [each for each, (unpaid, _) in STATUSES.items() if unpaid.kind is Kind.PAID] == ["pending_user_transfer_start"]
    assert [each for each, (_, paid) in STATUSES.items() if paid.kind is Kind.PAID] == ["completed"]
    assert [each for each, (_, paid) in STATUSES.items() if paid.kind is Kind.FAILED] == ["refunded"]


def test_what_says_delivered_before_we_paid_is_unknown():
    for status in ("completed", "pending_user_transfer_complete"):
        assert status_meaning(Place.UNPAID, status).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(
    ("codes", "kind", "fault"),
    [
        (("tx_failed", "op_underfunded"), Kind.FAILED, Fault.FLOAT),
        (("tx_failed", "op_no_trust"), Kind.FAILED, Fault.RAIL),
        (("tx_insufficient_balance",), Kind.FAILED, Fault.FLOAT),
        (("tx_too_late",), Kind.FAILED, Fault.TRANSIENT),
        (("tx_bad_seq",), Kind.DUPLICATE, None),
        (("tx_internal_error",), Kind.AMBIGUOUS, None),
        (("tx_failed",), Kind.AMBIGUOUS, None),
        (("tx_failed", "op_new_in_protocol_30"), Kind.AMBIGUOUS, None),
        (("tx_success",), Kind.AMBIGUOUS, None),
        ((), Kind.AMBIGUOUS, None),
    ],
)
def test_a_result_of_stellars_means_what_it_says(codes: tuple[str, ...], kind: Kind, fault: Fault | None):
    assert (result_meaning(codes).kind, result_meaning(codes).fault) == (kind, fault)


def test_every_failure_says_whose_matter_it_is():
    assert all((each.fault is None) == (each.kind is not Kind.FAILED) for each in RESULTS.values())


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302, 409])
def test_an_http_status_that_proves_nothing_is_unknown(status: int):
    assert refusal_meaning(status).kind is Kind.AMBIGUOUS
