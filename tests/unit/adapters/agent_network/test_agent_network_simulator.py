"""The simulated network is as strict as its contract, and pays a code whole, once."""

from __future__ import annotations

import hashlib
import json
from uuid import uuid4

import pytest

from adapters.agent_network.simulator import app
from gateway.contract.harness import running
from gateway.railsim import Options, Scenario


@pytest.fixture(scope="module")
def rail():
    with running(app(Options(delay_s=0))) as rail:
        yield rail


def wanted(**changes: object) -> dict[str, object]:
    told = {
        "reference": f"att_{uuid4().hex[:10]}",
        "recipientName": "Wanjiku",
        "recipientMsisdn": "+254712345678",
        "receivingCountry": "KE",
    }
    return {
        "amount": "150.00",
        "currency": "KES",
        "amountType": "exact",
        "codeLifetime": 600,
        "holdFundsIndicator": True,
        "redemptionChannels": [{"channelType": "agent"}],
        "redemptionTransactionTypes": [{"transactionType": "withdrawal"}],
        "customData": [{"key": key, "value": value} for key, value in told.items()],
    } | changes


def ask(rail, body, **headers):
    settings = rail.settings()
    content = json.dumps(body).encode()
    sent = {
        "X-Client-Id": settings["client_id"],
        "X-API-Key": settings["api_key"],
        "X-CorrelationID": str(uuid4()),
        "Content-Type": "application/json",
        "X-Content-Hash": hashlib.sha256(content).hexdigest(),
    } | headers
    account = settings["counters"][0]["account"]
    return rail.client.post(f"/accounts/accountid/{account}/authorisationcodes", content=content, headers=sent)


def test_every_field_and_header_is_looked_at(rail):
    wrong = {
        "amountType": wanted(amountType="maximum"),
        "hold": wanted(holdFundsIndicator=False),
        "amount": wanted(amount="150.001"),
        "number": wanted(amount=150),
        "unknown": wanted(surprise=1),
        "lifetime": wanted(codeLifetime=0),
        "who": wanted(customData=[]),
    }
    assert {name: ask(rail, body).status_code for name, body in wrong.items()} == dict.fromkeys(wrong, 400)
    assert ask(rail, wanted(currency="UGX")).status_code == 404
    for header, status in (("X-Client-Id", 401), ("X-API-Key", 401), ("X-CorrelationID", 400), ("X-Content-Hash", 400)):
        assert ask(rail, wanted(), **{header: "x"}).status_code == status
    assert rail._get("payouts") == []


def test_one_id_makes_one_code(rail):
    body, correlation = wanted(), str(uuid4())
    assert ask(rail, body, **{"X-CorrelationID": correlation}).status_code == 201
    for again in (ask(rail, wanted(), **{"X-CorrelationID": correlation}), ask(rail, body)):
        assert (again.status_code, again.json()["errorCode"]) == (400, "duplicateRequest")


def test_a_code_is_claimed_whole_and_confirmed_once(rail):
    rail.script(Scenario.CLAIM_OF_ANOTHER_AMOUNT)
    code = ask(rail, wanted()).json()["authorisationCode"]

    def claim(**changes):
        return rail.client.post("/_sim/claims", json={"code": code} | changes)

    assert claim(amount="149.99").json()["errorCode"] == "underPaymentNotAllowed"
    assert claim(amount="150.01").json()["errorCode"] == "overPaymentNotAllowed"
    claimed = claim(amount="150.00").json()
    assert (claimed["name"], claimed["amount"]) == ("Wanjiku", "150.00")
    assert claim().json()["errorCode"] == "incorrectState"
    first = rail.client.post(f"/_sim/claims/{claimed['claim']}/confirm").json()
    assert first["status"] == "paid"
    assert rail.client.post(f"/_sim/claims/{claimed['claim']}/confirm").json() == first
    refused = [each["refused"] for each in rail.client.get("/_sim/claims").json()]
    assert refused.count("underPaymentNotAllowed") >= 2
    assert rail.client.post("/_sim/claims/clm_none/confirm").status_code == 404


def test_the_recipient_comes_by_himself_where_there_is_a_delay():
    with running(app(Options(delay_s=0.01))) as rail:
        assert ask(rail, wanted()).status_code == 201
        for _ in range(200):
            (payout,) = rail._get("payouts")
            if payout["status"] == "paid":
                return
        raise AssertionError(payout)
