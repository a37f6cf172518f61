"""The simulator insists on what Yellow Card insists on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.yellowcard.client import signature, timestamp
from adapters.yellowcard.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import Rail, running
from gateway.railsim import Options


@pytest.fixture(scope="module")
def rail() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


def call(rail: Rail, method: str, target: str, body: Any = None, *, age: timedelta = timedelta(0), **changes: str):
    settings = rail.settings()
    raw = b"" if body is None else json.dumps(body).encode()
    at = timestamp(system_clock() - age)
    path = target.partition("?")[0]
    signed = signature(secret=settings["secret_key"], at=at, path=path, method=method, body=raw)
    headers = {"X-YC-Timestamp": at, "Authorization": f"YcHmacV1 {settings['api_key']}:{signed}", **changes}
    return rail.client.request(method, target, content=raw, headers=headers)


def submission(rail: Rail, number: int) -> dict[str, Any]:
    channels = call(rail, "GET", "/business/channels?country=KE").json()["channels"]
    networks = call(rail, "GET", "/business/networks?country=KE").json()["networks"]
    channel = next(each for each in channels if each["rampType"] == "withdraw" and each["apiStatus"] == "active")
    network = next(each for each in networks if each["status"] == "active")
    return {
        "channelId": channel["id"],
        "sequenceId": f"att_sim_{number}",
        "localAmount": 1000,
        "reason": "other",
        "sender": {"businessName": "We", "businessId": "1"},
        "destination": {
            "accountName": "Ada",
            "accountNumber": f"+2547{number:08}",
            "accountType": "momo",
            "networkId": network["id"],
        },
        "forceAccept": False,
        "customerType": "institution",
        "customerUID": "us",
    }


def is_refused(answer: httpx.Response, status: int, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (status, code)


def test_unsigned_stale_and_wrongly_signed_requests_are_refused(rail: Rail) -> None:
    for answer in (
        rail.client.get("/business/account"),
        call(rail, "GET", "/business/account", age=timedelta(minutes=6)),
        call(rail, "GET", "/business/account", age=timedelta(minutes=-6)),
        call(rail, "GET", "/business/account", Authorization="YcHmacV1 a:b"),
        call(rail, "GET", "/business/account", **{"X-YC-Timestamp": "now"}),
    ):
        assert is_refused(answer, 401, "AuthenticationError")


@pytest.mark.parametrize(
    "change",
    [
        {"localAmount": 1000.5}, {"localAmount": "1000"}, {"localAmount": 999}, {"localAmount": 50001}, {"amount": 10},
        {"forceAccept": True}, {"customerType": "retail"}, {"sender": {"name": "Ada"}}, {"channelId": "x"},
    ],
)  # fmt: skip
def test_a_submission_that_is_not_the_documented_one_is_refused(rail: Rail, change: dict[str, Any]) -> None:
    assert is_refused(call(rail, "POST", "/business/payments", submission(rail, 1) | change), 400, "PaymentValidationError")


def test_a_phone_number_needs_its_plus(rail: Rail) -> None:
    body = submission(rail, 1)
    body["destination"]["accountNumber"] = "254700000001"
    assert is_refused(call(rail, "POST", "/business/payments", body), 400, "InvalidPhoneNumberFormat")


def test_nothing_is_paid_before_it_is_accepted_and_nothing_twice(rail: Rail) -> None:
    body = submission(rail, 2)
    offer = call(rail, "POST", "/business/payments", body).json()
    assert (offer["status"], offer["convertedAmount"], offer["amount"]) == ("created", 1000, 8)
    assert rail.payouts("att_sim_2") == []
    assert is_refused(call(rail, "POST", "/business/payments", body), 400, "PaymentValidationError")
    assert call(rail, "POST", f"/business/send/{offer['id']}/accept").json()["status"] == "process"
    assert is_refused(call(rail, "POST", f"/business/payments/{offer['id']}/accept"), 400, "PaymentInvalidState")
    assert is_refused(call(rail, "POST", f"/business/payments/{offer['id']}/deny"), 400, "PaymentInvalidState")
    assert rail.times_paid("att_sim_2") == 1


def test_what_is_denied_is_never_accepted(rail: Rail) -> None:
    offer = call(rail, "POST", "/business/payments", submission(rail, 3)).json()
    assert call(rail, "POST", f"/business/payments/{offer['id']}/deny").json()["status"] == "denied"
    assert is_refused(call(rail, "POST", f"/business/payments/{offer['id']}/accept"), 400, "PaymentInvalidState")
    assert call(rail, "GET", "/business/payments/sequence-id/att_sim_3").json()["status"] == "denied"
    assert rail.payouts("att_sim_3") == []


def test_what_nobody_submitted_is_not_found(rail: Rail) -> None:
    for target in ("/business/payments/x", "/business/payments/sequence-id/x"):
        assert is_refused(call(rail, "GET", target), 404, "PaymentNotFound")


def test_rates_are_listed(rail: Rail) -> None:
    (rate,) = call(rail, "GET", "/business/rates?currency=KES").json()["rates"]
    assert (rate["code"], rate["buy"]) == ("KES", 125)
