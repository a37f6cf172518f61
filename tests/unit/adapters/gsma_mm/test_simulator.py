"""The simulated operator is strict: it is spoken to by hand here, not by the adapter that it is made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.clock import system_clock
from gateway.contract.harness import Rail

BASE = "/simulator/v1.2/passthrough/mm"


class Client:
    """A client of the operator's, byte by byte."""

    def __init__(self, rail: Rail) -> None:
        self.rail = rail
        self.settings = rail.settings()
        basic = (self.settings["client_id"], self.settings["client_secret"])
        form = {"grant_type": "client_credentials"}
        token = rail.client.post("/v1/oauth/accesstoken", data=form, auth=basic, headers=self.key()).json()
        self.bearer = f"Bearer {token['access_token']}"

    def key(self) -> dict[str, str]:
        return {"X-API-Key": self.settings["api_key"], "X-Date": system_clock().isoformat()}

    def body(self, **changes: Any) -> dict[str, Any]:
        return {
            "amount": "500",
            "currency": "RWF",
            "debitParty": [{"key": "accountid", "value": self.settings["account"]}],
            "creditParty": [{"key": "msisdn", "value": "+250788123456"}],
            "requestingOrganisationTransactionReference": "by-hand",
            "descriptionText": "by hand",
            **changes,
        }

    def pay(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        content = json.dumps(body).encode()
        given = {
            **self.key(),
            "Authorization": self.bearer,
            "Content-Type": "application/json",
            "X-CorrelationID": str(uuid4()),
            "X-Callback-URL": "http://127.0.0.1:9/nobody",
            "X-Content-Hash": hashlib.sha256(content).hexdigest(),
            **headers,
        }
        return self.rail.client.post(f"{BASE}/transactions/type/disbursement", content=content, headers=given)


@pytest.fixture
def client(rail: Rail) -> Client:
    return Client(rail)


def test_a_right_request_is_taken_and_found_by_its_id(client: Client) -> None:
    id_ = str(uuid4())
    taken = client.pay(client.body(), **{"X-CorrelationID": id_})
    assert (taken.status_code, taken.json()["status"]) == (202, "pending")
    again = client.pay(client.body(), **{"X-CorrelationID": id_})
    assert (again.status_code, again.json()["errorCode"]) == (400, "duplicateRequest")
    asking = {**client.key(), "Authorization": client.bearer}
    link = client.rail.client.get(f"{BASE}/responses/{id_}", headers=asking).json()["link"]
    assert client.rail.client.get(BASE + link, headers=asking).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": "Bearer wrong"}, "clientAuthorisationError"),
        ({"X-API-Key": "wrong"}, "clientAuthorisationError"),
        ({"X-Date": "yesterday"}, "formatError"),
        ({"X-Date": (system_clock() - timedelta(hours=1)).isoformat()}, "formatError"),
        ({"X-CorrelationID": "att_1"}, "formatError"),
        ({"X-Content-Hash": "0" * 64}, "formatError"),
        ({"Content-Type": "text/plain"}, "formatError"),
    ],
)
def test_a_wrong_header_is_refused(client: Client, headers: dict[str, str], code: str) -> None:
    assert client.pay(client.body(), **headers).json()["errorCode"] == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body.update(amount="500.5"), "formatError"),
        (lambda body: body.update(amount="007"), "formatError"),
        (lambda body: body.update(amount=500), "formatError"),
        (lambda body: body.update(amount="1"), "lessThanTransactionMinValue"),
        (lambda body: body.update(amount="9000000"), "greaterThanTransactionMaxValue"),
        (lambda body: body.update(currency="EUR"), "currencyNotSupported"),
        (lambda body: body.update(debitParty=[{"key": "accountid", "value": "other"}]), "identifierError"),
        (lambda body: body.update(creditParty=[{"key": "msisdn", "value": "250788123456"}]), "identifierError"),
        (lambda body: body.update(creditParty=[]), "formatError"),
        (lambda body: body.update(unheardOf=1), "formatError"),
        (lambda body: body.pop("amount"), "mandatoryValueNotSupplied"),
    ],
)
def test_a_wrong_field_is_refused(client: Client, change: Callable[[dict[str, Any]], Any], code: str) -> None:
    body = client.body()
    change(body)
    before = len(client.rail.client.get("/_sim/payouts").json())
    assert client.pay(body).json()["errorCode"] == code
    assert len(client.rail.client.get("/_sim/payouts").json()) == before


def test_a_new_token_ends_the_old_one(client: Client) -> None:
    Client(client.rail)
    assert client.pay(client.body()).status_code == 401
