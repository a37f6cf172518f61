"""What Daraja's answers mean: money is never declared unpaid, or paid, on less than the documents grant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.mpesa import verdict
from adapters.mpesa.settings import ASSUMED_STATUSES, KES
from gateway.money import Money
from gateway.offramp import Fault, ForgedCallback, NotSent, Outcome, Report
from gateway.railkit.http import Answer

OURS = "att_01JD0000000000000000000001"
OTHERS = "att_01JD0000000000000000000002"
PHONE = "254705912645"
ACK = {
    "ConversationID": "AG_20240706_20106e9209f64bebd05b",
    "OriginatorConversationID": OURS,
    "ResponseCode": "0",
    "ResponseDescription": "Accept the service request successfully.",
}


def answer(document: object, status: int = 200) -> Answer:
    return Answer(status, {}, document if isinstance(document, bytes) else json.dumps(document).encode())


def error(code: object, text: str = "", status: int = 500) -> Answer:
    return answer({"requestId": "1-2", "errorCode": code, "errorMessage": text}, status)


def body(code: object = 0, parameters: Any = None, **envelope: Any) -> bytes:
    result = {
        "ResultType": 0,
        "ResultCode": code,
        "ResultDesc": "words",
        "OriginatorConversationID": "53e3-4aa8-1",
        "ConversationID": "AG_20240706_x",
        "TransactionID": "SG632NMUAB",
        **envelope,
    }
    if parameters is not None:
        listed = (
            [{"Key": key, "Value": value} for key, value in parameters.items()]
            if isinstance(parameters, dict)
            else parameters
        )
        result["ResultParameters"] = {"ResultParameter": listed}
    return json.dumps({"Result": result}).encode()


def status(code: object = 0, *, statuses: Any = ASSUMED_STATUSES, envelope: Any = None, **parameters: Any) -> Report:
    sent = body(code, parameters or None, **(envelope or {}))
    return verdict.of_status(sent, attempt_id=OURS, statuses=statuses)


COMPLETED = {
    "DebitPartyName": "600992 - Lastmile",
    "CreditPartyName": f"{PHONE} - NICHOLAS JOHN SONGOK",
    "OriginatorConversationID": OURS,
    "TransactionStatus": "Completed",
    "Amount": 10.0,
    "ConversationID": "AG_20240706_payment",
    "ReceiptNo": "SG632NMUAB",
    "FinalisedTime": "20240706224852",
}

SUCCESS = {"TransactionAmount": 10, "TransactionReceipt": "SG632NMUAB", "ReceiverPartyPublicName": f"{PHONE} - N SONGOK"}


class TestOfPayment:
    def test_an_acknowledgement_is_pending_under_darajas_id(self):
        report = verdict.of_payment(answer(ACK), attempt_id=OURS)
        assert (report.outcome, report.provider_ref) == (Outcome.PENDING, ACK["ConversationID"])

    def test_a_numeric_response_code_is_read_too(self):
        assert verdict.of_payment(answer(ACK | {"ResponseCode": 0}), attempt_id=OURS).outcome is Outcome.PENDING

    @pytest.mark.parametrize(
        "wrong",
        [
            answer(ACK | {"ResponseCode": "1"}),
            answer(ACK | {"ResponseCode": False}),
            answer(ACK | {"OriginatorConversationID": OTHERS}),
            answer({key: value for key, value in ACK.items() if key != "ConversationID"}),
            answer({key: value for key, value in ACK.items() if key != "ResponseCode"}),
            answer(ACK, 500),
            answer(ACK, 302),
            answer({"errorCode": "400.002.02", "errorMessage": "Bad Request"}, 200),
            answer(b""),
            answer(b"<html>502</html>", 502),
            answer(b"x" * 100_000),
            answer([ACK]),
            answer({"fault": {"faultstring": "Invalid Access Token"}}, 401),
        ],
    )
    def test_whatever_is_no_acknowledgement_is_unknown(self, wrong: Answer):
        assert verdict.of_payment(wrong, attempt_id=OURS).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("code", ["26", 26, "500.003.02", "500.003.03", "100000001", "404.001.03", "401.002.01"])
    def test_what_will_pass_is_not_sent_for_now(self, code: object):
        with pytest.raises(NotSent) as refused:
            verdict.of_payment(error(code), attempt_id=OURS)
        assert refused.value.fault is Fault.TRANSIENT

    @pytest.mark.parametrize("code", ["400.002.02", "404.001.01", "404.002.01", "405.001", "24", "25", "29"])
    def test_what_is_our_mistake_is_not_sent_and_stops_the_rail(self, code: str):
        with pytest.raises(NotSent) as refused:
            verdict.of_payment(error(code, "Bad Request - Invalid Remarks", 400), attempt_id=OURS)
        assert refused.value.fault is Fault.RAIL
        assert "Invalid Remarks" in str(refused.value)

    @pytest.mark.parametrize("code", ["500.001.1001", "500.003.1001", "00.002.1001", "500.002.1001", "503", None, [], True])
    def test_every_other_error_is_unknown(self, code: object):
        assert verdict.of_payment(error(code), attempt_id=OURS).outcome is Outcome.UNKNOWN

    def test_a_duplicate_says_that_an_earlier_sending_arrived(self):
        report = verdict.of_payment(error("500.002.1001", "Duplicate OriginatorConversationID."), attempt_id=OURS)
        assert report.outcome is Outcome.UNKNOWN
        assert "arrived before" in (report.reason or "")

    def test_a_token_or_number_in_darajas_words_is_not_repeated(self):
        token = "BJGFGOXv5aZnw90KkA4TDtu4Xdyf"
        for echoed in (token, "BJGFGOXvaZnwKkATDtuXdyfAbcdE"):
            with pytest.raises(NotSent) as refused:
                verdict.of_payment(error("404.001.03", f"Invalid Access Token - {echoed}", 404), attempt_id=OURS)
            assert echoed not in str(refused.value)
        with pytest.raises(NotSent) as refused:
            verdict.of_payment(error("400.002.02", f"Invalid PartyB {PHONE} {token}\n", 400), attempt_id=OURS)
        assert "Invalid PartyB (number) (id)" in str(refused.value)
        assert "\n" not in str(refused.value)


class TestOfResult:
    def read(self, sent: bytes) -> Report:
        return verdict.of_result(sent, attempt_id=OURS)

    @pytest.mark.parametrize("code", [0, "0"])
    def test_a_success_names_amount_reference_and_receipt(self, code: object):
        report = self.read(body(code, SUCCESS))
        assert (report.outcome, report.delivered) == (Outcome.PAID, Money(1000, KES))
        assert (report.provider_ref, report.receipt) == ("AG_20240706_x", "SG632NMUAB")

    def test_one_parameter_may_come_as_an_object(self):
        assert self.read(body(0, {"Key": "TransactionAmount", "Value": 10})).outcome is Outcome.UNKNOWN
        assert self.read(body(0, [{"Key": "TransactionAmount", "Value": 10}])).delivered == Money(1000, KES)

    @pytest.mark.parametrize(("code", "fault"), [(2001, Fault.RAIL), ("SFC_IC0003", Fault.RECIPIENT), ("1", Fault.FLOAT)])
    def test_a_documented_failure_is_failed(self, code: object, fault: Fault):
        report = self.read(body(code))
        assert (report.outcome, report.fault) == (Outcome.FAILED, fault)

    @pytest.mark.parametrize("code", [15, 17, "19", 100000000, 100000004, 4711, "", "two"])
    def test_every_other_code_is_unknown(self, code: object):
        assert self.read(body(code)).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("amount", [None, "", "ten", -10, True, "1e5", "10.001", [10], {}])
    def test_a_success_without_an_amount_is_unknown(self, amount: object):
        assert self.read(body(0, SUCCESS | {"TransactionAmount": amount})).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "10.005", "9" * 40])
    def test_a_monstrous_number_is_unknown_and_quickly(self, text: str):
        sent = body(0, SUCCESS | {"TransactionAmount": 4321}).replace(b"4321", text.encode())
        assert self.read(sent).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("code", [None, True, 0.0, [], {}])
    def test_a_code_that_is_neither_number_nor_text_is_refused(self, code: object):
        with pytest.raises(ForgedCallback):
            self.read(body(code, SUCCESS))

    @pytest.mark.parametrize(
        "sent",
        [
            b'{"Result":null}',
            b'{"Result":[]}',
            b'{"Result":{}}',
            b'{"Result":{"ResultCode":NaN}}',
            b'{"Result":{"ResultCode":0,"ResultParameters":{"ResultParameter":[1]}}}',
            body(0, [{"Key": "TransactionAmount", "Value": 10}, {"Key": "TransactionAmount", "Value": 20}]),
        ],
    )
    def test_what_daraja_does_not_send_is_refused(self, sent: bytes):
        with pytest.raises(ForgedCallback):
            self.read(sent)

    def test_empty_and_missing_fields_are_no_forgery(self):
        sent = body(2001, ResultDesc=None, TransactionID=None, ConversationID=None, OriginatorConversationID=7)
        assert self.read(sent).outcome is Outcome.FAILED
        for nothing in (b'"ResultParameters":{}', b'"ResultParameters":null', b'"ResultParameters":""'):
            assert self.read(b'{"Result":{"ResultCode":"2001",' + nothing + b"}}").outcome is Outcome.FAILED

    def test_a_callback_that_names_another_attempt_is_refused(self):
        with pytest.raises(ForgedCallback):
            self.read(body(0, SUCCESS, OriginatorConversationID=OTHERS))


class TestOfStatus:
    def test_completed_is_paid_with_the_payments_own_ids(self):
        report = status(**COMPLETED)
        assert (report.outcome, report.delivered) == (Outcome.PAID, Money(1000, KES))
        assert (report.provider_ref, report.receipt) == ("AG_20240706_payment", "SG632NMUAB")

    @pytest.mark.parametrize(
        ("amount", "units"), [(10, 1000), ("10", 1000), ("10.00", 1000), (10.5, 1050), (249999.99, 24999999)]
    )
    def test_the_amount_is_exact_in_every_spelling(self, amount: object, units: int):
        assert status(**COMPLETED | {"Amount": amount}).delivered == Money(units, KES)

    @pytest.mark.parametrize("missing", ["Amount", "TransactionStatus"])
    def test_completed_without_what_proves_it_is_unknown(self, missing: str):
        assert status(**{key: value for key, value in COMPLETED.items() if key != missing}).outcome is Outcome.UNKNOWN

    def test_completed_under_the_code_of_a_failed_question_is_unknown(self):
        for code in (2001, 1, 9999):
            assert status(code, **COMPLETED).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("word", ["Failed", "Cancelled", "Declined", "Expired", "FAILED"])
    def test_a_word_for_failure_is_failed(self, word: str):
        report = status(**COMPLETED | {"TransactionStatus": word})
        assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.RECIPIENT)

    def test_reversed_is_returned_and_pending_is_pending(self):
        assert status(**COMPLETED | {"TransactionStatus": "Reversed"}).outcome is Outcome.RETURNED
        assert status(**COMPLETED | {"TransactionStatus": "Pending"}).outcome is Outcome.PENDING

    @pytest.mark.parametrize("word", ["PROCESSING2", "", None, 0, "Complete", "completed", "Failed "])
    def test_every_other_word_is_unknown(self, word: object):
        assert status(**COMPLETED | {"TransactionStatus": word}).outcome is Outcome.UNKNOWN

    def test_a_word_the_operator_took_off_the_list_is_unknown(self):
        assert status(statuses={}, **COMPLETED | {"TransactionStatus": "Failed"}).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("code", [2001, 1, 2040, "SFC_IC0003", 8006, 9999, 0.5])
    def test_a_code_under_the_questions_own_id_says_nothing_of_the_payment(self, code: object):
        if code == 0.5:
            with pytest.raises(ForgedCallback):
                status(code)
            return
        assert status(code).outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize(("code", "fault"), [(2001, Fault.RAIL), ("2040", Fault.RECIPIENT), (1, Fault.FLOAT)])
    def test_a_code_under_our_own_id_speaks_of_the_payment(self, code: object, fault: Fault):
        in_envelope = status(code, envelope={"OriginatorConversationID": OURS})
        in_parameters = status(code, OriginatorConversationID=OURS, TransactionStatus="Failed")
        for report in (in_envelope, in_parameters):
            assert (report.outcome, report.fault) == (Outcome.FAILED, fault)

    @pytest.mark.parametrize("code", [9999, 15, 17, 100000000])
    def test_an_ambiguous_code_under_our_own_id_is_unknown(self, code: int):
        assert status(code, envelope={"OriginatorConversationID": OURS}).outcome is Outcome.UNKNOWN

    def test_a_code_that_contradicts_its_word_is_unknown(self):
        report = status(2001, OriginatorConversationID=OURS, TransactionStatus="Pending")
        assert report.outcome is Outcome.UNKNOWN

    def test_an_answer_about_a_stranger_is_unknown_and_about_another_attempt_refused(self):
        assert status(**COMPLETED | {"OriginatorConversationID": "3211-416020-3"}).outcome is Outcome.UNKNOWN
        with pytest.raises(ForgedCallback):
            status(**COMPLETED | {"OriginatorConversationID": OTHERS})

    def test_evidence_keeps_codes_and_amounts_but_nobody(self):
        report = status(**COMPLETED | {"ReceiptNo": f"SG {PHONE}"})
        shown = repr(report)
        assert {
            "ResultCode": "0",
            "payment.Amount": "10.0",
            "payment.TransactionStatus": "Completed",
        }.items() <= report.evidence.items()
        assert PHONE not in json.dumps(dict(report.evidence))
        assert "SONGOK" not in shown


def test_a_queue_timeout_says_nothing_whatever_it_says():
    model = {"Result": {"ResultType": 1, "ResultCode": "1", "ResultDesc": "The service request timed out."}}
    for sent in (json.dumps(model).encode(), b"", b"ResultCode=2001", body(0, COMPLETED)):
        assert verdict.of_timeout(sent).outcome is Outcome.UNKNOWN
