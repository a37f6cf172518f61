"""The one address that a rail calls about all payments is entered at its simulator, and outlives it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from adapters.airtel.simulator import app as airtel
from adapters.flutterwave.simulator import app as flutterwave
from adapters.paystack.simulator import app as paystack
from gateway.railsim import Options

APPS = pytest.mark.parametrize("make", [airtel, flutterwave, paystack])


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://rail.example")


@APPS
async def test_credentials_and_the_entered_address_outlive_a_kill(make, tmp_path: Path):
    options = Options(state=tmp_path / "state")
    first = make(options)
    assert first.desk.webhook is None
    async with client_of(first) as client:
        entered = await client.put("/_sim/webhook", json={"url": "https://pay.example/callbacks/1"})
        assert entered.status_code == 200
        settings = (await client.get("/_sim/settings")).json()
    second = make(options)
    assert second.desk.webhook == "https://pay.example/callbacks/1"
    async with client_of(second) as client:
        assert (await client.get("/_sim/settings")).json() == settings


@pytest.mark.parametrize("body", [{}, {"url": ""}, {"url": "ftp://x"}, {"url": "https://x", "more": 1}, {"url": 7}])
async def test_what_is_no_address_is_refused(body):
    made = paystack(Options())
    async with client_of(made) as client:
        assert (await client.put("/_sim/webhook", json=body)).status_code == 422
    assert made.desk.webhook is None
