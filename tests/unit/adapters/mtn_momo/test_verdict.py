"""What MTN's answers mean: money is never declared unpaid, or paid, on less than the documents grant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.mtn_momo import verdict
from adapters.mtn_momo.wire import Transfer
from gateway.money import Asset, Money
from gateway.offramp import Fault, NotSent, Outcome, Report
from gateway.railkit.documents import Unreadable
from gateway.railkit.http import Answer

UGX, EUR = Asset("UGX", 0), Asset("EUR", 2)
OURS, REFERENCE, PHONE = "att_01JD0000000000000000000001", "9b2f0a52-7f44-4d5d-8a53-3a0f8f3a9b11", "256770000001"
PAID = {
    "amount": "500",
    "currency": "UGX",
    "financialTransactionId": "363440463",
    "externalId": OURS,
    "payee": {"partyIdType": "MSISDN", "partyId": PHONE},
    "payerMessage": f"for {PHONE}",
    "status": "SUCCESSFUL",
}


def answer(status: int, document: object = None) -> Answer:
    body = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
    return Answer(status, {}, body)


def payment(status: int, document: object = None) -> Report:
    return verdict.of_payment(answer(status, document), reference=REFERENCE)


def transfer(asset: Asset = UGX, **changes: Any) -> Report:
    read = Transfer.read(json.dumps({key: each for key, each in {**PAID, **changes}.items() if each is not ...}).encode())
    return verdict.of_transfer(read, reference=REFERENCE, attempt_id=OURS, asset=asset)


class TestOfPayment:
    def test_accepted_is_pending_under_our_reference(self):
        report = payment(202)
        assert (report.outcome, report.provider_ref) == (Outcome.PENDING, REFERENCE)

    @pytest.mark.parametrize("status", [200, 201, 204, 302])
    def test_no_other_success_is_an_acceptance(self, status: int):
        assert payment(status).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("document", [{"code": "RESOURCE_ALREADY_EXIST"}, None])
    def test_a_duplicate_says_that_an_earlier_sending_arrived(self, document: object):
        report = payment(409, document)
        assert report.outcome is Outcome.UNKNOWN
        assert "arrived before" in (report.reason or "")

    @pytest.mark.parametrize(
        ("status", "document", "fault"),
        [
            (400, None, Fault.RAIL),
            (403, {"code": "FORBIDDEN_IP"}, Fault.RAIL),
            (401, {"statusCode": 401, "message": "Access denied due to invalid subscription key."}, Fault.RAIL),
            (429, {"statusCode": 429}, Fault.TRANSIENT),
            (500, {"code": "NOT_ALLOWED_TARGET_ENVIRONMENT"}, Fault.RAIL),
            (500, {"code": "INVALID_CALLBACK_URL_HOST"}, Fault.RAIL),
            (500, {"code": "INVALID_CURRENCY"}, Fault.RAIL),
            (500, {"code": "NOT_ENOUGH_FUNDS"}, Fault.FLOAT),
            (404, {"code": "PAYEE_NOT_FOUND"}, Fault.RECIPIENT),
        ],
    )
    def test_what_was_not_taken_is_not_sent(self, status: int, document: object, fault: Fault):
        with pytest.raises(NotSent) as refused:
            payment(status, document)
        assert refused.value.fault is fault

    @pytest.mark.parametrize(
        ("status", "document"),
        [
            (500, None),
            (500, {"code": "INTERNAL_PROCESSING_ERROR"}),
            (503, {"code": "SERVICE_UNAVAILABLE"}),
            (500, {"code": "NEW_WORD"}),
            (500, {"code": ["NOT_ALLOWED"]}),
            (500, b"<html>"),
            (502, b"\xff"),
            (404, {"statusCode": 404, "message": "Resource not found"}),
        ],
    )
    def test_every_other_answer_is_unknown(self, status: int, document: object):
        assert payment(status, document).outcome is Outcome.UNKNOWN

    def test_mtns_own_words_are_not_repeated(self):
        report = payment(500, {"code": f"X {PHONE}", "message": f"{PHONE} token abcdefghijklmnop1234"})
        assert PHONE not in repr(report)


class TestOfTransfer:
    def test_successful_is_paid_with_mtns_transaction(self):
        report = transfer()
        assert (report.outcome, report.delivered) == (Outcome.PAID, Money(500, UGX))
        assert (report.provider_ref, report.receipt) == ("363440463", "363440463")

    @pytest.mark.parametrize(
        ("amount", "asset", "units"),
        [("500.0", UGX, 500), (500, UGX, 500), ("6.0", EUR, 600), ("6", EUR, 600), ("6.05", EUR, 605), (6.05, EUR, 605)],
    )
    def test_the_amount_is_exact_in_every_spelling(self, amount: object, asset: Asset, units: int):
        assert transfer(asset, amount=amount, currency=asset.code).delivered == Money(units, asset)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"amount": ...},
            {"amount": "500.5"},
            {"amount": "-500"},
            {"amount": "1e3"},
            {"currency": "EUR"},
            {"currency": ...},
            {"financialTransactionId": ...},
            {"financialTransactionId": ""},
            {"externalId": "att_01JD0000000000000000000002"},
        ],
    )
    def test_successful_without_what_proves_it_is_unknown(self, wrong: dict[str, Any]):
        assert transfer(**wrong).outcome is Outcome.UNKNOWN

    def test_external_id_may_be_missing_from_the_answer_to_a_question(self):
        assert transfer(externalId=...).outcome is Outcome.PAID

    @pytest.mark.parametrize("reason", [{"code": "PAYER_NOT_FOUND", "message": "Payee does not exist"}, "PAYER_NOT_FOUND"])
    def test_a_reason_comes_as_an_object_or_as_a_text(self, reason: object):
        report = transfer(status="FAILED", reason=reason)
        assert (report.outcome, report.fault, report.provider_ref) == (Outcome.FAILED, Fault.RECIPIENT, REFERENCE)

    @pytest.mark.parametrize("reason", ["ONGOING", "PAYEE_DELAYED"])
    def test_failed_because_it_is_delayed_is_still_pending(self, reason: str):
        assert transfer(status="FAILED", reason=reason).outcome is Outcome.PENDING

    @pytest.mark.parametrize("reason", ["NEW_WORD", 5, {"code": "NEW_WORD"}])
    def test_failed_for_a_reason_in_no_document_is_unknown(self, reason: object):
        assert transfer(status="FAILED", reason=reason).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("word", ["PROCESSING2", "", None, 5, "successful"])
    def test_a_status_in_no_document_is_unknown(self, word: object):
        assert transfer(status=word).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("reason", ["INTERNAL_PROCESSING_ERROR", "SERVICE_UNAVAILABLE", ..., None, {}])
    def test_mtns_own_failure_and_a_failure_without_a_reason_must_be_held(self, reason: object):
        document = {key: each for key, each in {**PAID, "status": "FAILED", "reason": reason}.items() if each is not ...}
        read = Transfer.read(json.dumps(document).encode())
        assert verdict.must_be_held(read)
        report = verdict.of_transfer(read, reference=REFERENCE, attempt_id=OURS, asset=UGX)
        assert verdict.held(report).outcome is Outcome.UNKNOWN

    def test_evidence_keeps_codes_and_amounts_but_nobody(self):
        report = transfer(status="FAILED", reason={"code": "PAYEE_NOT_FOUND", "message": f"{PHONE} not found"})
        assert {"status": "FAILED", "reason": "PAYEE_NOT_FOUND", "amount": "500"}.items() <= report.evidence.items()
        assert PHONE not in repr(report)
        assert PHONE not in repr(transfer(status="FAILED", reason=f"no {PHONE}"))

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a": NaN}', b"[" * 100_000])
    def test_what_is_no_document_is_unreadable(self, body: bytes):
        with pytest.raises(Unreadable):
            Transfer.read(body)


def test_a_transfer_that_mtn_does_not_know_is_unknown_unless_the_operator_waited_long_enough():
    nothing = answer(404, {"code": "RESOURCE_NOT_FOUND"})
    assert verdict.not_found(nothing, failed=False).outcome is Outcome.UNKNOWN
    assert verdict.not_found(nothing, failed=True).fault is Fault.TRANSIENT
