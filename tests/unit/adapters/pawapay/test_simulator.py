"""The simulated pawaPay is strict: it is spoken to by hand here, not by the adapter that it is made for."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.clock import system_clock
from gateway.contract.harness import Rail

COVERED = ("@method", "@authority", "@path", "signature-date", "content-digest", "content-type")


class Client:
    """A merchant, byte by byte."""

    def __init__(self, rail: Rail) -> None:
        self.rail = rail
        self.settings = rail.settings()
        self.key: Any = load_pem_private_key(self.settings["signing_key"].encode(), password=None)

    def body(self, **changes: Any) -> dict[str, Any]:
        return {
            "payoutId": str(uuid4()),
            "amount": "500",
            "currency": "RWF",
            "recipient": {
                "type": "MMO",
                "accountDetails": {"phoneNumber": "250788123456", "provider": "MTN_MOMO_RWA"},
            },
            "clientReferenceId": "by-hand",
            "customerMessage": "by hand",
            "metadata": [{"attemptId": "by-hand"}],
            **changes,
        }

    def pay(self, body: Any, *, covered: tuple[str, ...] = COVERED, age_s: int = 0, **headers: str) -> httpx.Response:
        content = json.dumps(body).encode()
        url = httpx.URL(self.rail.url)
        values = {
            "@method": "POST",
            "@authority": f"{url.host}:{url.port}",
            "@path": "/v2/payouts",
            "signature-date": system_clock().isoformat(),
            "content-digest": f"sha-512=:{base64.b64encode(hashlib.sha512(content).digest()).decode()}:",
            "content-type": "application/json",
        }
        created = int(system_clock().timestamp()) - age_s
        quoted = " ".join(f'"{each}"' for each in covered)
        parameters = f'({quoted});alg="ecdsa-p256-sha256";keyid="LASTMILE:1";created={created};expires={created + 60}'
        lines = [f'"{each}": {values[each]}' for each in covered]
        signed = self.key.sign("\n".join([*lines, f'"@signature-params": {parameters}']).encode(), ECDSA(SHA256()))
        given = {
            "authorization": f"Bearer {self.settings['api_token']}",
            **{name: value for name, value in values.items() if not name.startswith("@")},
            "signature-input": f"sig-pp={parameters}",
            "signature": f"sig-pp=:{base64.b64encode(signed).decode()}:",
            **headers,
        }
        return self.rail.client.post("/v2/payouts", content=content, headers=given)


@pytest.fixture
def client(rail: Rail) -> Client:
    return Client(rail)


def code_of(answer: httpx.Response) -> str:
    return answer.json()["failureReason"]["failureCode"]


def test_a_right_request_is_taken_once(client: Client) -> None:
    body = client.body()
    assert client.pay(body).json()["status"] == "ACCEPTED"
    assert client.pay(body).json() == {"payoutId": body["payoutId"], "status": "DUPLICATE_IGNORED"}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": "Bearer wrong"}, 403, "AUTHENTICATION_ERROR"),
        ({"signature": "sig-pp=:AAAA:"}, 403, "HTTP_SIGNATURE_ERROR"),
        ({"content-digest": "sha-512=:AAAA:"}, 403, "HTTP_SIGNATURE_ERROR"),
        ({"signature-date": "2026-01-01T00:00:00Z"}, 403, "HTTP_SIGNATURE_ERROR"),
        ({"content-type": "text/plain"}, 403, "HTTP_SIGNATURE_ERROR"),
    ],
)
def test_a_wrong_header_is_refused(client: Client, headers: dict[str, str], status: int, code: str) -> None:
    answer = client.pay(client.body(), **headers)
    assert (answer.status_code, code_of(answer)) == (status, code)


def test_a_signature_of_less_or_of_long_ago_is_refused(client: Client) -> None:
    assert code_of(client.pay(client.body(), covered=COVERED[:-1])) == "HTTP_SIGNATURE_ERROR"
    assert code_of(client.pay(client.body(), age_s=300)) == "HTTP_SIGNATURE_ERROR"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body.pop("amount"), "MISSING_PARAMETER"),
        (lambda body: body.update(unheardOf=1), "UNSUPPORTED_PARAMETER"),
        (lambda body: body.update(payoutId="f4401bd2-1568-1140-bf2d-eb77d2b2b639"), "INVALID_PARAMETER"),
        (lambda body: body.update(amount="00.5"), "INVALID_PARAMETER"),
        (lambda body: body.update(amount="5.555"), "INVALID_PARAMETER"),
        (lambda body: body.update(amount="5.50"), "INVALID_AMOUNT"),
        (lambda body: body.update(customerMessage="no"), "INVALID_PARAMETER"),
        (lambda body: body.update(currency="KES"), "INVALID_CURRENCY"),
        (lambda body: body.update(metadata=[{"a": 1}, {"a": 2}]), "DUPLICATE_METADATA_FIELD"),
        (lambda body: body["recipient"].update(type="BANK"), "INVALID_PARAMETER"),
        (lambda body: body["recipient"]["accountDetails"].update(provider="NO_SUCH"), "INVALID_PROVIDER"),
        (lambda body: body["recipient"]["accountDetails"].update(phoneNumber="254712345678"), "INVALID_PHONE_NUMBER"),
    ],
)
def test_a_wrong_field_is_refused(client: Client, change: Callable[[dict[str, Any]], Any], code: str) -> None:
    body = client.body()
    change(body)
    assert code_of(client.pay(body)) == code
