"""Airtel's codes and words: what they prove, and that nothing else proves anything."""

from __future__ import annotations

import json

import pytest

from adapters.airtel.codes import CODES, meaning
from adapters.airtel.wire import amount_in, attempt_id, called, report, said, transaction_id
from gateway.money import Asset, Money
from gateway.offramp import Fault, ForgedCallback, Outcome
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Kind

ZMW = Asset("ZMW", 2)
TEN = Money(10_00, ZMW)
ATTEMPT = "att_01JD0000000000000000000001"
WIRE = "att01JD0000000000000000000001"


def answer(code, *, http=200, message="", **transaction):
    document = {"status": {"response_code": code, "message": message, "result_code": "ESB000010"}}
    if transaction:
        document["data"] = {"transaction": {"id": WIRE, **transaction}}
    return Answer(http, {}, json.dumps(document).encode())


def read(given):
    return report(said(given), attempt=ATTEMPT, ordered=TEN)


@pytest.mark.parametrize(("code", "means"), CODES.items())
def test_a_code_that_fails_or_refuses_says_whose_fault_it_is(code, means):
    assert (means.fault is not None) == (means.kind in (Kind.FAILED, Kind.NOT_PROCESSED, Kind.BAD_TOKEN)), code


def test_the_table_is_what_is_documented():
    kinds = {code[-3:]: means.kind for code, means in CODES.items() if code.startswith("DP00900001")}
    assert kinds == {
        "000": Kind.AMBIGUOUS,
        "001": Kind.PAID,
        **dict.fromkeys(("003", "004", "005", "007", "009", "010", "012", "013"), Kind.FAILED),
        "006": Kind.ACCEPTED,
        "011": Kind.DUPLICATE,
        "014": Kind.AMBIGUOUS,
        "015": Kind.AMBIGUOUS,
        "016": Kind.NOT_PROCESSED,
        "017": Kind.DUPLICATE,
        "018": Kind.NOT_PROCESSED,
    }
    assert CODES["DP00900001007"].fault is Fault.FLOAT


@pytest.mark.parametrize("code", ["DP00900001099", "DP0090000100", "", None, "TS"])
def test_an_unlisted_code_is_ambiguous(code):
    assert meaning(code, word="TS").kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(
    ("code", "word", "outcome"),
    [
        ("DP00900001001", "TS", Outcome.PAID),
        ("DP00900001001", "TF", Outcome.UNKNOWN),
        ("DP00900001001", "TIP", Outcome.UNKNOWN),
        ("DP00900001001", "NEW WORD", Outcome.UNKNOWN),
        ("DP00900001005", "TF", Outcome.FAILED),
        ("DP00900001005", "TS", Outcome.UNKNOWN),
        ("DP00900001006", "TIP", Outcome.PENDING),
        ("DP00900001006", "TS", Outcome.UNKNOWN),
        ("DP00900001015", "TS", Outcome.UNKNOWN),
    ],
)
def test_a_word_that_contradicts_the_code_makes_it_unknown(code, word, outcome):
    assert read(answer(code, status=word, airtel_money_id="CI1")).outcome is outcome


def test_the_amount_is_the_one_that_airtel_names():
    told = answer("DP00900001001", message="You have sent ZMW 1,009.50 to 971234567 X Y", status="TS", airtel_money_id="C")
    assert read(told).delivered == Money(1_009_50, ZMW)
    assert read(answer("DP00900001001", message="Success", status="TS", airtel_money_id="C")).delivered == TEN


@pytest.mark.parametrize("message", ["", "You have sent UGX 10 to", "sent ZMW ten", "sent ZMW 10.005 to", "10.00"])
def test_a_message_without_an_amount_names_none(message):
    assert amount_in(message, ZMW) is None


def test_paid_without_a_reference_is_unknown():
    assert read(answer("DP00900001001", status="TS")).outcome is Outcome.UNKNOWN


def test_an_answer_about_another_payment_says_nothing():
    stranger = answer("DP00900001001", status="TS", airtel_money_id="C", id="att01JD0000000000000000000002")
    assert read(stranger).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("http", [500, 502, 503, 504])
def test_whatever_a_server_error_says_is_unknown(http):
    assert read(answer("DP00900001005", http=http, status="TF")).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'{"status":7}', b'{"status":{"response_code":[]}}'])
def test_a_body_that_is_none_is_unknown(body):
    assert read(Answer(200, {}, body)).outcome is Outcome.UNKNOWN


def test_the_result_code_counts_only_where_it_stands_alone():
    alone = Answer(200, {}, b'{"status":{"code":"400","result_code":"ESB000008","message":"Missing header"}}')
    assert said(alone).means.kind is Kind.NOT_PROCESSED
    assert said(answer("DP00900001000")).means.kind is Kind.AMBIGUOUS


def test_our_id_goes_there_and_back():
    assert (transaction_id(ATTEMPT), attempt_id(WIRE)) == (WIRE, ATTEMPT)
    for stranger in ("", "att01", WIRE.lower(), WIRE + "0", None, 7, "ord01JD0000000000000000000001"):
        assert attempt_id(stranger) is None


def test_a_callback_names_its_payment():
    body = json.dumps({"transaction": {"id": WIRE, "status_code": "TS"}}).encode()
    assert called(body)[0] == ATTEMPT
    assert called(body.replace(b"att01", b"xyz01"))[0] is None
    for bad in (b"", b"{}", b'{"transaction":[]}', b"\xff", b"[" * 100_000):
        with pytest.raises(ForgedCallback):
            called(bad)


def test_neither_number_nor_name_stays_in_what_is_kept():
    told = answer("DP00900001001", message="sent ZMW 10.00 to 971234567 Mary", status="TS", airtel_money_id="C")
    kept = read(told)
    assert "971234567" not in repr(kept)
    assert "Mary" not in repr(kept)
