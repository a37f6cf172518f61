"""The simulated other side is as strict as its contract."""

from __future__ import annotations

import hashlib
import hmac
import json
from uuid import uuid4

import pytest

from adapters.partner.simulator import app
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.railsim import Options

PATH = "/v1/fill-orders"


@pytest.fixture(scope="module")
def rail():
    with running(app(Options(delay_s=0))) as rail:
        yield rail


def offer(rail, **changes: object) -> dict[str, object]:
    to = {"country": "KE", "method": "mobile_money", "account": "+254712345678", "holder": "Wanjiku"}
    return {
        "reference": f"att_{uuid4().hex[:10]}",
        "partner_id": rail.settings()["partner_id"],
        "amount": "150.00",
        "currency": "KES",
        "destination": to,
        "offered_for_s": 300,
        "fulfil_within_s": 3600,
    } | changes


def send(rail, body, *, late_s: int = 0, signed: bytes | None = None, kind: str = "application/json"):
    settings, content = rail.settings(), json.dumps(body).encode()
    seconds = str(int(system_clock().timestamp()) - late_s)
    message = f"{seconds}\nPOST\n{PATH}\n".encode() + (content if signed is None else signed)
    signature = hmac.new(settings["client_secret"].encode(), message, hashlib.sha256).hexdigest()
    headers = {"Authorization": f"HMAC {settings['client_id']}:{seconds}:{signature}", "Content-Type": kind}
    return rail.client.post(PATH, content=content, headers=headers)


def test_every_field_and_the_signature_are_looked_at(rail):
    wrong = [
        (send(rail, offer(rail), signed=b"{}"), 401, "invalid_signature"),
        (send(rail, offer(rail), late_s=301), 401, "stale_signature"),
        (send(rail, offer(rail), kind="text/plain"), 415, "unsupported_media_type"),
        (send(rail, offer(rail, partner_id="par_x")), 404, "fill_partner_not_found"),
        (send(rail, offer(rail, amount="150.001")), 422, "invalid_fields"),
        (send(rail, offer(rail, amount=150)), 422, "invalid_fields"),
        (send(rail, offer(rail, currency="XTS")), 422, "invalid_fields"),
        (send(rail, offer(rail, surprise=1)), 422, "invalid_fields"),
        (send(rail, offer(rail, offered_for_s=1)), 422, "invalid_fields"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer, *_ in wrong] == [(each[1], each[2]) for each in wrong]
    assert rail._get("payouts") == []


def test_one_reference_is_one_fill(rail):
    body = offer(rail)
    first, again = send(rail, body), send(rail, body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert send(rail, body | {"amount": "151.00"}).json()["code"] == "fill_reference_reused"
    assert len(rail.payouts(body["reference"])) == 1
