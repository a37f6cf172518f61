"""What pawaPay says is told as it is; what it doesn't say is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.pawapay import verdict, wire
from adapters.pawapay.facts import Standing, standings
from gateway.money import Asset, Money
from gateway.offramp import Fault, NotSent, Outcome, Report
from gateway.railkit.http import Answer
from gateway.railkit.keys import uuid4_of

KES = Asset("KES", 2)
ID = uuid4_of("att_1")
PAYOUT = {
    "payoutId": ID,
    "status": "COMPLETED",
    "amount": "500.00",
    "currency": "KES",
    "country": "KEN",
    "recipient": {"type": "MMO", "accountDetails": {"phoneNumber": "254712345678", "provider": "MPESA_KEN"}},
    "providerTransactionId": "MP1",
}


def payout(**changes: Any) -> Report:
    return verdict.of_payout({**PAYOUT, **changes}, attempt_id="att_1", asset=KES)


def payment(status: int, body: object) -> Report:
    return verdict.of_payment(Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode()))


def rejected(code: str | None) -> dict[str, Any]:
    return {"payoutId": ID, "status": "REJECTED", "failureReason": {"failureCode": code, "failureMessage": "+254712345678"}}


def test_a_completed_payout_names_amount_id_and_receipt() -> None:
    report = payout()
    assert (report.outcome, report.delivered) == (Outcome.PAID, Money(500_00, KES))
    assert (report.provider_ref, report.receipt) == (ID, "MP1")
    assert payout(providerTransactionId=None).outcome is Outcome.PAID


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": None}, {"amount": "500.005"}, {"amount": "-5"}, {"amount": "1e3"}, {"amount": True},
        {"currency": "UGX"}, {"currency": None}, {"payoutId": uuid4_of("att_2")}, {"payoutId": None},
        {"status": "PROCESSING2"}, {"status": None}, {"status": ["COMPLETED"]},
    ],
)  # fmt: skip
def test_what_does_not_prove_this_payment_is_unknown(changes: dict[str, Any]) -> None:
    assert payout(**changes).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", ["ACCEPTED", "ENQUEUED", "PROCESSING", "SUBMITTED", "IN_RECONCILIATION"])
def test_a_payout_under_way_is_pending(status: str) -> None:
    assert payout(status=status).outcome is Outcome.PENDING


@pytest.mark.parametrize(
    ("code", "fault"),
    [("RECIPIENT_NOT_FOUND", Fault.RECIPIENT), ("PAWAPAY_WALLET_OUT_OF_FUNDS", Fault.FLOAT), ("NEW", Fault.RECIPIENT),
     ("MANUALLY_CANCELLED", Fault.TRANSIENT), (None, Fault.RECIPIENT)],
)  # fmt: skip
def test_failed_is_final_and_its_code_says_whose_fault_it_is(code: str | None, fault: Fault) -> None:
    report = payout(status="FAILED", failureReason={"failureCode": code})
    assert (report.outcome, report.fault) == (Outcome.FAILED, fault)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [({"status": "FOUND", "data": PAYOUT}, Outcome.PAID), ({"status": "NOT_FOUND"}, Outcome.UNKNOWN), ({}, Outcome.UNKNOWN),
     ({"status": "FOUND"}, Outcome.UNKNOWN), ({"status": "FOUND", "data": [PAYOUT]}, Outcome.UNKNOWN),
     ({"status": "COMPLETED", "data": PAYOUT}, Outcome.UNKNOWN)],
)  # fmt: skip
def test_only_what_is_found_says_something(body: dict[str, Any], outcome: Outcome) -> None:
    assert verdict.of_status(body, attempt_id="att_1", asset=KES).outcome is outcome


def test_accepted_is_pending_and_a_duplicate_is_unknown() -> None:
    accepted = payment(200, {"payoutId": ID, "status": "ACCEPTED"})
    assert (accepted.outcome, accepted.provider_ref) == (Outcome.PENDING, ID)
    assert payment(200, {"payoutId": ID, "status": "DUPLICATE_IGNORED"}).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (200, "INVALID_PHONE_NUMBER", Fault.RECIPIENT), (200, "PAWAPAY_WALLET_OUT_OF_FUNDS", Fault.FLOAT),
        (200, "PROVIDER_TEMPORARILY_UNAVAILABLE", Fault.TRANSIENT), (403, "AUTHENTICATION_ERROR", Fault.RAIL),
        (403, "HTTP_SIGNATURE_ERROR", Fault.RAIL), (400, "INVALID_INPUT", Fault.RAIL),
        (401, "NO_AUTHENTICATION", Fault.RAIL),
    ],
)  # fmt: skip
def test_what_is_rejected_was_not_sent(status: int, code: str, fault: Fault) -> None:
    with pytest.raises(NotSent) as refused:
        payment(status, rejected(code))
    assert refused.value.fault is fault
    assert code in str(refused.value)
    assert "712345678" not in str(refused.value)


@pytest.mark.parametrize("code", ["NEWCODE", "UNKNOWN_ERROR", None, "INVALID_INPUT"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_says_nothing_whatever_its_code(status: int, code: str | None) -> None:
    assert payment(status, rejected(code)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"status":"NEW"}', b'{"status":"REJECTED"}'])
@pytest.mark.parametrize("status", [200, 201, 302, 400, 403, 404, 429, 500])
def test_an_answer_that_is_not_documented_is_unknown(status: int, body: bytes) -> None:
    assert payment(status, body).outcome is Outcome.UNKNOWN


def test_in_a_batch_what_is_rejected_has_failed_for_it_alone() -> None:
    report = verdict.of_bulk_item(rejected("INVALID_PHONE_NUMBER"))
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RECIPIENT)
    assert verdict.of_bulk_item(rejected("UNKNOWN_ERROR")).outcome is Outcome.UNKNOWN
    assert verdict.of_bulk_item({"status": "ACCEPTED", "payoutId": ID}).outcome is Outcome.PENDING


def test_evidence_holds_no_numbers_of_people() -> None:
    assert "712345678" not in repr(payout())
    assert "712345678" not in repr(
        payout(status="FAILED", failureReason={"failureCode": "X", "failureMessage": "712345678"})
    )


def test_the_seal_is_of_payee_wallet_amount_currency_and_attempt() -> None:
    seal = wire.seal(PAYOUT, "att_1", key=b"k")
    assert wire.seal({**PAYOUT, "amount": "500"}, "att_1", key=b"k") == seal
    others = [
        wire.seal(PAYOUT, "att_2", key=b"k"),
        wire.seal(PAYOUT, "att_1", key=b"l"),
        wire.seal({**PAYOUT, "amount": "5000"}, "att_1", key=b"k"),
        wire.seal({**PAYOUT, "currency": "UGX"}, "att_1", key=b"k"),
        wire.seal({**PAYOUT, "recipient": {}}, "att_1", key=b"k"),
    ]
    assert seal not in others


def test_amounts_are_written_without_a_point_where_the_wallet_may_refuse_one() -> None:
    assert wire.amount(Money(500_00, KES), Money(1_00, KES)) == "500"
    assert wire.amount(Money(500_50, KES), Money(50, KES)) == "500.50"
    assert wire.amount(Money(500, Asset("RWF", 0)), Money(1, Asset("RWF", 0))) == "500"


def test_metadata_is_read_as_an_object_or_a_list_and_nothing_else() -> None:
    assert wire.metadata({"metadata": {"attemptId": "a", "seal": "s", "other": "x"}}) == {"attemptId": "a", "seal": "s"}
    assert wire.metadata({"metadata": [{"attemptId": "a"}, {"seal": "s"}, 5]}) == {"attemptId": "a", "seal": "s"}
    for nothing in (None, "x", 5, [], [[]], {"attemptId": {}}):
        assert wire.metadata({"metadata": nothing}) == {}


def test_the_operators_standing_is_read_from_both_answers() -> None:
    available = [{"country": "KEN", "providers": [{"provider": "MPESA_KEN", "operationTypes": {"PAYOUT": "DELAYED"}}]}]
    assert standings(json.dumps(available).encode()) == (Standing("MPESA_KEN", None, "DELAYED"),)
    listed = [{"provider": "MPESA_KEN", "operationTypes": [{"operationType": "PAYOUT", "status": "CLOSED"}]}]
    assert standings(json.dumps([{"providers": listed}]).encode()) == (Standing("MPESA_KEN", None, "CLOSED"),)
    may = {"minAmount": "10", "maxAmount": "150000", "decimalsInAmount": "NONE", "status": "OPERATIONAL"}
    currencies = [{"currency": "KES", "operationTypes": {"PAYOUT": may, "DEPOSIT": may}}]
    active = {"countries": [{"country": "KEN", "providers": [{"provider": "MPESA_KEN", "currencies": currencies}]}]}
    assert standings(json.dumps(active).encode()) == (Standing("MPESA_KEN", "KES", "OPERATIONAL", "10", "150000", "NONE"),)
    for hostile in (b"", b"{}", b"5", b'{"countries":[5,{"providers":{}}]}', b"[" * 100_000):
        assert standings(hostile) == ()
