"""What Paystack's answers, errors and webhooks mean, and that nothing else means anything."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from adapters.paystack.codes import ERRORS, EVENTS, STATUSES, error
from adapters.paystack.wire import attempt_id, event, reference, refusal, report
from gateway.offramp import Fault, ForgedCallback, Outcome
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Kind

ATTEMPT = "att_01JD0000000000000000000001"
KEY = "sk_test_" + "k" * 40


def data(**changes):
    good = {
        "reference": ATTEMPT.lower(),
        "status": "success",
        "amount": 500_000,
        "currency": "NGN",
        "transfer_code": "TRF_1",
        "id": 14,
    }
    return {**good, **changes}


def outcome(**changes):
    return report(data(**changes), attempt=ATTEMPT).outcome


def test_conclusive_and_inconclusive_statuses_are_the_documented_ones():
    conclusive = {word for word, means in STATUSES.items() if means.kind in (Kind.PAID, Kind.FAILED, Kind.RETURNED)}
    assert conclusive == {"success", "failed", "reversed", "abandoned", "blocked", "rejected"}
    assert STATUSES.keys() - conclusive == {"pending", "otp", "received"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("success", Outcome.PAID),
        ("failed", Outcome.FAILED),
        ("reversed", Outcome.RETURNED),
        ("abandoned", Outcome.FAILED),
        ("blocked", Outcome.FAILED),
        ("rejected", Outcome.FAILED),
        ("pending", Outcome.PENDING),
        ("received", Outcome.PENDING),
        ("otp", Outcome.UNKNOWN),
        ("Success", Outcome.UNKNOWN),
        ("processing2", Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
        ([], Outcome.UNKNOWN),
    ],
)
def test_a_status_means_what_is_documented(word, expected):
    assert outcome(status=word) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "500000"},
        {"amount": 5000.5},
        {"amount": -1},
        {"amount": True},
        {"amount": None},
        {"currency": "USD"},
        {"currency": None},
        {"transfer_code": ""},
        {"reference": ATTEMPT},
        {"reference": "att_01jd0000000000000000000002"},
        {"reference": None},
    ],
)
def test_paid_without_amount_code_or_our_reference_is_unknown(changes):
    assert outcome(**changes) is Outcome.UNKNOWN


def test_the_amount_is_in_kobo_and_the_receipt_is_the_banks_session():
    paid = report(data(session={"provider": "nip", "id": "0001"}), attempt=ATTEMPT)
    assert (paid.delivered.decimal(), paid.provider_ref, paid.receipt) == ("5000.00", "TRF_1", "0001")


@pytest.mark.parametrize(("text", "means"), ERRORS.items())
def test_every_error_is_found_by_the_beginning_of_its_text(text, means):
    assert text == text.casefold()
    assert error(text.upper() + ", and more") == means
    assert (means.fault is not None) == (means.kind is Kind.NOT_PROCESSED)


@pytest.mark.parametrize("text", ["", "Something new", "A transfer not found", "success"])
def test_an_unlisted_error_is_ambiguous(text):
    assert error(text).kind is Kind.AMBIGUOUS


def test_whatever_a_server_error_says_is_ambiguous():
    body = json.dumps({"status": False, "message": "Your balance is not enough to fulfil this request"}).encode()
    assert refusal(Answer(400, {}, body))[0].fault is Fault.FLOAT
    assert refusal(Answer(503, {}, body))[0].kind is Kind.AMBIGUOUS


def test_no_number_of_an_account_stays_in_a_sentence():
    body = json.dumps({"message": "Could not resolve 3000000001 of +2348012345678"}).encode()
    sentence = refusal(Answer(422, {}, body))[1]
    assert "3000000001" not in sentence
    assert "8012345678" not in sentence


def test_our_reference_goes_there_and_back():
    assert (reference(ATTEMPT), attempt_id(ATTEMPT.lower())) == (ATTEMPT.lower(), ATTEMPT)
    assert len(reference(ATTEMPT)) >= 16
    for stranger in (ATTEMPT, "att_", ATTEMPT.lower() + "0", None, 7, "trf_01jd0000000000000000000001"):
        assert attempt_id(stranger) is None


# -- webhooks --------------------------------------------------------------------------------------------------------------


def signed(body, key=KEY):
    return hmac.new(key.encode(), body, hashlib.sha512).hexdigest()


def body_of(name="transfer.success", **changes):
    return json.dumps({"event": name, "data": data(**changes)}).encode()


def test_the_signature_is_hmac_sha512_in_hexadecimal():
    """RFC 4231, section 4.3: what is signed rightly is refused only because it is no JSON."""
    vector = (
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    )
    with pytest.raises(ForgedCallback, match="not JSON"):
        event(b"what do ya want for nothing?", signature=vector, key="Jefe")


@pytest.mark.parametrize(("name", "word"), EVENTS.items())
def test_a_signed_event_is_its_transfer(name, word):
    body = body_of(name, status=word)
    read = event(body, signature=signed(body), key=KEY)
    assert read is not None
    assert (read["reference"], read["status"]) == (ATTEMPT.lower(), word)


@pytest.mark.parametrize("signature", [None, "", "0" * 128, signed(b"other"), signed(body_of(), key="sk_test_other")])
def test_another_signature_is_refused(signature):
    with pytest.raises(ForgedCallback, match="isn't signed"):
        event(body_of(), signature=signature, key=KEY)


def test_every_byte_is_signed():
    body = body_of()
    for changed in (body + b" ", body.replace(b"500000", b"500001"), body[1:]):
        with pytest.raises(ForgedCallback, match="isn't signed"):
            event(changed, signature=signed(body), key=KEY)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"event":"transfer.success"}', b'{"event":7,"data":{"a":1}}', b"null"])
def test_a_signed_body_that_is_no_event_is_refused(body):
    with pytest.raises(ForgedCallback):
        event(body, signature=signed(body), key=KEY)


def test_an_event_that_contradicts_its_transfer_is_refused():
    body = body_of("transfer.success", status="failed")
    with pytest.raises(ForgedCallback, match="don't agree"):
        event(body, signature=signed(body), key=KEY)


def test_an_event_about_something_else_is_none():
    body = body_of("charge.success")
    assert event(body, signature=signed(body), key=KEY) is None
