"""What an operator says is told as it is; what it doesn't say is unknown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.gsma_mm import verdict, wire
from adapters.gsma_mm.profile import load
from gateway.money import Asset, Money
from gateway.offramp import Fault, ForgedCallback, NotSent, Outcome, Report
from gateway.railkit.http import Answer

RWF = Asset("RWF", 0)
PROFILE = load("sandbox")
NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
PAID = {
    "transactionReference": "REF-1",
    "requestingOrganisationTransactionReference": "att_1",
    "transactionReceipt": "R1",
    "transactionStatus": "completed",
    "amount": "500",
    "currency": "RWF",
    "debitParty": [{"key": "accountid", "value": "2999"}],
    "creditParty": [{"key": "msisdn", "value": "+250788123456"}],
}
PENDING = {
    "serverCorrelationId": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "status": "pending",
    "notificationMethod": "polling",
}


def transaction(**changes: Any) -> Report:
    return verdict.of_transaction({**PAID, **changes}, attempt_id="att_1", asset=RWF, profile=PROFILE)


def payment(status: int, body: object) -> Report:
    answer = Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    return verdict.of_payment(answer, attempt_id="att_1", asset=RWF, profile=PROFILE)


def test_a_completed_transaction_names_amount_reference_and_receipt() -> None:
    report = transaction()
    assert (report.outcome, report.delivered) == (Outcome.PAID, Money(500, RWF))
    assert (report.provider_ref, report.receipt) == ("REF-1", "R1")
    assert transaction(transactionReceipt=None).receipt == "REF-1"


@pytest.mark.parametrize("amount", ["500", "500.00", "500.0000"])
def test_an_amount_is_read_exactly(amount: str) -> None:
    assert transaction(amount=amount).delivered == Money(500, RWF)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": None}, {"amount": "500.5"}, {"amount": "-500"}, {"amount": "1e3"}, {"amount": True}, {"amount": ["500"]},
        {"currency": "GHS"}, {"currency": None}, {"transactionReference": None}, {"transactionReference": ""},
    ],
)  # fmt: skip
def test_paid_without_an_amount_of_the_currency_or_a_reference_is_unknown(changes: dict[str, Any]) -> None:
    assert transaction(**changes).outcome is Outcome.UNKNOWN


def test_a_transaction_of_another_payment_is_unknown() -> None:
    assert transaction(requestingOrganisationTransactionReference="att_2").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("word", "outcome"),
    [("completed", Outcome.PAID), ("Completed", Outcome.PAID), ("pending", Outcome.PENDING), ("failed", Outcome.FAILED),
     ("reversed", Outcome.RETURNED), ("PROCESSING2", Outcome.UNKNOWN), ("", Outcome.UNKNOWN), (None, Outcome.UNKNOWN),
     ({"a": 1}, Outcome.UNKNOWN)],
)  # fmt: skip
def test_the_profile_says_what_a_word_means(word: object, outcome: Outcome) -> None:
    assert transaction(transactionStatus=word).outcome is outcome


def test_201_is_the_payment_itself_and_202_its_beginning() -> None:
    assert payment(201, PAID).outcome is Outcome.PAID
    taken = payment(202, PENDING)
    assert (taken.outcome, taken.provider_ref) == (Outcome.PENDING, f"requeststates/{PENDING['serverCorrelationId']}")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"status": 1}'])
@pytest.mark.parametrize("status", [200, 201, 202, 204, 302, 400, 404, 500])
def test_an_answer_that_is_not_documented_is_unknown(status: int, body: bytes) -> None:
    assert payment(status, body).outcome is Outcome.UNKNOWN


def test_a_refusal_is_not_sent_and_names_the_code_without_personal_data() -> None:
    error = {
        "errorCategory": "businessRule",
        "errorCode": "maxBalanceExceeded",
        "errordescription": "+250788123456 would hold too much",
    }
    with pytest.raises(NotSent) as refused:
        payment(400, error)
    assert refused.value.fault is Fault.RECIPIENT
    assert "maxBalanceExceeded" in str(refused.value)
    assert "788123456" not in str(refused.value)


def test_a_request_that_failed_is_failed_by_its_code() -> None:
    failed = {**PENDING, "status": "failed", "error": {"errorCategory": "businessRule", "errorCode": "insufficientFunds"}}
    report = verdict.of_request_state(failed, now=NOW)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.FLOAT)
    failed["error"] = {"errorCategory": "internal", "errorCode": "genericError"}
    assert verdict.of_request_state(failed, now=NOW).outcome is Outcome.UNKNOWN
    assert verdict.of_request_state({**PENDING, "status": "failed"}, now=NOW).outcome is Outcome.UNKNOWN


def test_a_pending_request_past_its_time_or_its_last_question_is_unknown() -> None:
    later = (NOW + timedelta(minutes=1)).isoformat()
    before = (NOW - timedelta(minutes=1)).isoformat()
    assert verdict.of_request_state({**PENDING, "expiryTime": later, "pollLimit": 5}, now=NOW).outcome is Outcome.PENDING
    assert verdict.of_request_state({**PENDING, "expiryTime": before}, now=NOW).outcome is Outcome.UNKNOWN
    assert verdict.of_request_state({**PENDING, "pollLimit": 0}, now=NOW).outcome is Outcome.UNKNOWN
    assert verdict.of_request_state({**PENDING, "expiryTime": "soon"}, now=NOW).outcome is Outcome.PENDING


def test_a_completed_request_is_not_paid_until_its_transaction_says_so() -> None:
    report = verdict.of_request_state({**PENDING, "status": "completed", "objectReference": "REF-1"}, now=NOW)
    assert (report.outcome, report.provider_ref) == (Outcome.PENDING, "REF-1")


def test_evidence_holds_no_names_accounts_or_free_text() -> None:
    report = transaction(descriptionText="for Uwase", recipientKyc={"givenName": "Uwase"})
    told = repr(report)
    assert "788123456" not in told
    assert "2999" not in told
    assert "Uwase" not in told


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"amount":"1"}', b"{" * 10_000])
def test_a_callback_that_is_nothing_documented_is_forged(body: bytes) -> None:
    with pytest.raises(ForgedCallback):
        verdict.of_callback(body, attempt_id="att_1", asset=RWF, profile=PROFILE)


def test_a_callback_about_another_payment_is_forged() -> None:
    body = json.dumps({**PAID, "requestingOrganisationTransactionReference": "att_2"}).encode()
    with pytest.raises(ForgedCallback):
        verdict.of_callback(body, attempt_id="att_1", asset=RWF, profile=PROFILE)


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("/transactions/REF-1", "/transactions/REF-1"),
        ("/simulator/v1.2/passthrough/mm/transactions/REF-1", "/transactions/REF-1"),
        ("https://evil.example/requeststates/abc?x=1", "/requeststates/abc"),
        ("transactions/REF-1", "/transactions/REF-1"),
        ("/transactions/..%2Fsecret", None),
        ("/transactions/..", None),
        ("/accounts/x", None),
        ("/transactions/", None),
        ("/transactions/a/reversals", None),
    ],
)
def test_a_link_leads_to_a_transaction_or_a_state_of_the_same_operator_only(link: str, path: str | None) -> None:
    found = wire.linked(Answer(200, {}, json.dumps({"link": link}).encode()))
    assert (found and found.path) == path
