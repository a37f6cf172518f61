"""Tokens and keys: one fetch for many callers, one renewal, nothing sent twice that may have been taken."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from adapters.mtn_momo.client import Momo
from adapters.mtn_momo.settings import MtnMomoSettings
from gateway.contract.harness import served
from gateway.offramp import Fault, NotSent
from tests.unit.adapters.mtn_momo.conftest import NOW


class Gateway:
    """An MTN of few words: answers as told, and counts."""

    def __init__(self) -> None:
        self.tokens: list[dict[str, str]] = []
        self.requests: list[dict[str, str]] = []
        self.token_answer: Any = (200, {"access_token": "token-{}", "token_type": "access_token", "expires_in": 3600})
        self.answers: list[int] = []
        self.app = FastAPI()
        self.app.post("/momo/disbursement/token/")(self.token)
        self.app.post("/momo/pay")(self.pay)

    async def token(self, request: Request) -> JSONResponse:
        self.tokens.append(dict(request.headers))
        status, document = self.token_answer
        if isinstance(document, dict) and "{}" in str(document.get("access_token")):
            document = {**document, "access_token": f"token-{len(self.tokens)}"}
        return JSONResponse(document, status_code=status)

    async def pay(self, request: Request) -> JSONResponse:
        self.requests.append(dict(request.headers))
        return JSONResponse({}, status_code=self.answers.pop(0) if self.answers else 202)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def momo(settings: dict[str, Any], gateway: Gateway, now: list[datetime]) -> AsyncIterator[Momo]:
    with served(gateway.app) as url:
        read = MtnMomoSettings.read({**settings, "base_url": f"{url}/momo/"})
        client = Momo(settings=read, clock=lambda: now[0])
        yield client
        await client.close()


async def test_many_callers_share_one_token_and_every_request_has_all_keys(
    momo: Momo, gateway: Gateway, settings: dict[str, Any]
):
    await asyncio.gather(*(momo.call("POST", "/pay", json={}) for _ in range(20)))
    (fetched,) = gateway.tokens
    basic = base64.b64encode(f"{settings['api_user']}:KEY-CANARY".encode()).decode()
    assert (fetched["authorization"], fetched["ocp-apim-subscription-key"]) == (f"Basic {basic}", "SUBSCRIPTION-CANARY")
    keys = ("authorization", "ocp-apim-subscription-key", "x-target-environment")
    sent = {tuple(each[key] for key in keys) for each in gateway.requests}
    assert sent == {("Bearer token-1", "SUBSCRIPTION-CANARY", "mtnuganda")}


@pytest.mark.parametrize(("expires_in", "lasts_s"), [(3600, 3539), ("3600", 3539), (100, 49)])
async def test_a_token_is_renewed_before_it_ends(
    momo: Momo, gateway: Gateway, now: list[datetime], expires_in: object, lasts_s: int
):
    gateway.token_answer[1]["expires_in"] = expires_in
    await momo.call("POST", "/pay")
    now[0] = NOW + timedelta(seconds=lasts_s)
    await momo.call("POST", "/pay")
    assert len(gateway.tokens) == 1
    now[0] = NOW + timedelta(seconds=lasts_s + 1)
    await momo.call("POST", "/pay")
    assert len(gateway.tokens) == 2


async def test_a_refused_token_is_renewed_once(momo: Momo, gateway: Gateway):
    gateway.answers = [401] * 3
    assert (await momo.call("POST", "/pay", headers={"x-reference-id": "same"})).status == 401
    assert [each["authorization"] for each in gateway.requests] == ["Bearer token-1", "Bearer token-2"]
    assert {each["x-reference-id"] for each in gateway.requests} == {"same"}


async def test_callers_with_the_same_dead_token_renew_it_once_for_all(momo: Momo, gateway: Gateway):
    await momo.call("POST", "/pay")
    gateway.answers = [401] * 10
    answers = await asyncio.gather(*(momo.call("POST", "/pay") for _ in range(10)))
    assert {each.status for each in answers} == {202}
    assert len(gateway.tokens) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 503])
async def test_nothing_else_is_sent_a_second_time(momo: Momo, gateway: Gateway, status: int):
    gateway.answers = [status]
    assert (await momo.call("POST", "/pay")).status == status
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("token_answer", "fault"),
    [
        ((401, {"error": "login_failed"}), Fault.RAIL),
        ((403, {}), Fault.RAIL),
        ((429, {"statusCode": 429}), Fault.TRANSIENT),
        ((500, {"code": "INTERNAL_PROCESSING_ERROR"}), Fault.TRANSIENT),
        ((200, {"access_token": "", "expires_in": 3600}), Fault.TRANSIENT),
        ((200, {"access_token": "a\nb", "expires_in": 3600}), Fault.TRANSIENT),
        ((200, {"access_token": "x", "expires_in": "soon"}), Fault.TRANSIENT),
        ((200, {"access_token": "x", "expires_in": -1}), Fault.TRANSIENT),
        ((200, []), Fault.TRANSIENT),
    ],
)
async def test_without_a_token_nothing_is_sent(momo: Momo, gateway: Gateway, token_answer: Any, fault: Fault):
    gateway.token_answer = token_answer
    with pytest.raises(NotSent) as refused:
        await momo.call("POST", "/pay")
    assert refused.value.fault is fault
    assert gateway.requests == []
    assert "CANARY" not in str(refused.value)


async def test_a_payment_that_finds_nobody_listening_is_not_sent(settings: dict[str, Any], gateway: Gateway):
    with served(gateway.app) as url:
        client = Momo(settings=MtnMomoSettings.read({**settings, "base_url": f"{url}/momo"}), clock=lambda: NOW)
        await client.call("POST", "/pay")
    with pytest.raises(NotSent):
        await client.call("POST", "/pay")
    await client.close()
