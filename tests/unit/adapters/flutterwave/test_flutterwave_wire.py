"""What Flutterwave's answers, errors and webhooks mean, and that nothing else means anything."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from adapters.flutterwave.codes import ERRORS, FAILURES, HTTP, STATUSES, error, transfer
from adapters.flutterwave.routes import ROUTES
from adapters.flutterwave.wire import attempt_id, event, number_of, report
from gateway.money import Asset, Money
from gateway.offramp import Fault, ForgedCallback, Outcome
from gateway.railkit.meanings import Kind

ATTEMPT = "att_01JD0000000000000000000001"
NGN, UGX = Asset("NGN", 2), Asset("UGX", 0)


def data(**changes):
    good = {"id": 33286, "reference": ATTEMPT, "status": "SUCCESSFUL", "amount": 30020, "currency": "NGN", "fee": 26}
    return {**good, **changes}


def told(**changes):
    return report(data(**changes), attempt=ATTEMPT)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("NEW", Outcome.PENDING),
        ("PENDING", Outcome.PENDING),
        ("SUCCESSFUL", Outcome.PAID),
        ("FAILED", Outcome.FAILED),
        ("REVERSED", Outcome.RETURNED),
        ("successful", Outcome.UNKNOWN),
        ("SUCCEEDED", Outcome.UNKNOWN),
        ("", Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
    ],
)
def test_a_status_means_what_is_documented(word, expected):
    assert told(status=word).outcome is expected


def test_the_statuses_are_all_in_the_table():
    assert STATUSES.keys() == {"NEW", "PENDING", "SUCCESSFUL", "FAILED", "REVERSED"}


def test_a_failure_for_lack_of_our_own_money_is_told_apart():
    failed = told(status="FAILED", complete_message="DISBURSE FAILED: Insufficient funds in customer wallet")
    assert (failed.outcome, failed.fault) == (Outcome.FAILED, Fault.FLOAT)
    assert told(status="FAILED", complete_message="DISBURSE FAILED: other").fault is Fault.RECIPIENT
    assert all(part == part.casefold() for part in FAILURES)
    # A text about money never makes a failure of what isn't one.
    assert transfer("PENDING", "insufficient funds in customer wallet").kind is Kind.ACCEPTED


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": None},
        {"amount": True},
        {"amount": "x"},
        {"amount": Decimal("1.001")},
        {"currency": "USD"},
        {"currency": None},
        {"id": None},
        {"reference": ATTEMPT.lower()},
        {"reference": None},
    ],
)
def test_paid_without_amount_id_or_our_reference_is_unknown(changes):
    assert told(**changes).outcome is Outcome.UNKNOWN


def test_the_delivered_amount_is_theirs():
    paid = told(amount=Decimal("30020.50"))
    assert (paid.delivered, paid.provider_ref) == (Money(3_002_050, NGN), "33286")


def test_an_amount_is_sent_as_a_number_without_needless_digits():
    assert number_of(Money(50_00, NGN)) == 50
    assert str(number_of(Money(50_05, NGN))) == "50.05"
    assert number_of(Money(500, UGX)) == 500


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_after_28_seconds_nothing_is_certain(status):
    for text in (*ERRORS, "An error occurred. Please contact support", "reference already exists"):
        assert error(status, text, refusals={}).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(("part", "means"), ERRORS.items())
def test_an_error_that_took_nothing_is_known_by_its_text_and_says_whose_fault_it_is(part, means):
    assert means.kind is Kind.NOT_PROCESSED
    assert means.fault is not None
    assert error(400, f"Sorry: {part.upper()}!", refusals={}) == means


@pytest.mark.parametrize(("status", "means"), HTTP.items())
def test_a_status_that_took_nothing_needs_no_text(status, means):
    assert error(status, "", refusals={}) == means


@pytest.mark.parametrize(
    "text", ["Duplicate reference", "Transfer with reference x already exists", "This REFERENCE has been used before"]
)
def test_a_reference_that_was_there_before_is_asked_about(text):
    assert error(400, text, refusals={"reference": Fault.RAIL}).kind is Kind.DUPLICATE


def test_an_unlisted_error_is_ambiguous_until_the_operator_lists_it():
    assert error(400, "Something new", refusals={}).kind is Kind.AMBIGUOUS
    listed = error(400, "Something NEW", refusals={"something new": Fault.TRANSIENT})
    assert (listed.kind, listed.fault) == (Kind.NOT_PROCESSED, Fault.TRANSIENT)


def test_a_webhook_is_read_by_its_transfers_status():
    body = json.dumps({"event": "transfer.completed", "data": data(status="FAILED")}).encode()
    read = event(body)
    assert read is not None
    assert report(read, attempt=ATTEMPT).outcome is Outcome.FAILED
    assert event(body.replace(b"transfer.completed", b"charge.completed")) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"event":"transfer.completed"}', b'{"event":1,"data":{"a":1}}'])
def test_a_body_that_is_no_event_is_refused(body):
    with pytest.raises(ForgedCallback):
        event(body)


def test_only_our_own_references_name_an_attempt():
    assert attempt_id(ATTEMPT) == ATTEMPT
    for stranger in (ATTEMPT.lower(), ATTEMPT + "_PMCKDU_1", "", None, 7):
        assert attempt_id(stranger) is None


def test_the_wallets_codes_are_the_documented_ones():
    codes = {route.country: sorted({each.code for each in route.codes.values()}) for route in ROUTES[1:]}
    assert codes == {
        "KE": ["MPS"],
        "GH": ["AIRTELTIGO", "MTN", "VODAFONE"],
        "UG": ["AIRTEL", "MTN"],
        "RW": ["AIRTEL", "MTN"],
        "TZ": ["AIRTEL", "HALOPESA", "TIGO", "VODACOM"],
        "ZM": ["MPS"],
        "CM": ["MTN", "ORANGEMONEY"],
        "CI": ["MOOV", "MTN", "ORANGE", "WAVE"],
        "SN": ["ORANGEMONEY", "WAVE"],
        "ET": ["AMOLEMONEY"],
    }
