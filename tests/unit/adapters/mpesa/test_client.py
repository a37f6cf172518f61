"""Tokens and connections: one fetch for many callers, one refresh, the address as it is configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from adapters.mpesa.client import Daraja
from adapters.mpesa.settings import MpesaSettings
from adapters.mpesa.simulator.checks import password_in
from gateway.contract.harness import served
from gateway.offramp import Fault, NotSent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Gateway:
    """A Daraja of few words: answers as told, and counts."""

    def __init__(self) -> None:
        self.tokens = 0
        self.posts: list[str] = []
        self.token_answer: Any = None
        self.expires_in: object = "3599"
        self.answers: list[tuple[int, Any]] = []
        self.app = FastAPI()
        self.app.get("/daraja/oauth/v1/generate")(self.token)
        self.app.post("/daraja/pay")(self.post)

    async def token(self, request: Request) -> JSONResponse:
        self.tokens += 1
        assert request.query_params["grant_type"] == "client_credentials"
        if self.token_answer is not None:
            return JSONResponse(self.token_answer[1], status_code=self.token_answer[0])
        return JSONResponse({"access_token": f"token-{self.tokens}", "expires_in": self.expires_in})

    async def post(self, request: Request) -> JSONResponse:
        self.posts.append(request.headers["authorization"])
        status, document = self.answers.pop(0) if self.answers else (200, {"ok": True})
        return JSONResponse(document, status_code=status)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def address(gateway: Gateway) -> Iterator[str]:
    with served(gateway.app) as url:
        yield f"{url}/daraja/"


@pytest.fixture
def now() -> list[datetime]:
    """The time of the client's clock, to be changed in place."""
    return [NOW]


@pytest.fixture
async def daraja(settings: dict[str, Any], address: str, now: list[datetime]) -> AsyncIterator[Daraja]:
    read = MpesaSettings.read({**settings, "base_url": address})
    client = Daraja(settings=read, clock=lambda: now[0])
    yield client
    await client.close()


async def test_many_callers_share_one_token(daraja: Daraja, gateway: Gateway):
    await asyncio.gather(*(daraja.post("/pay", {}) for _ in range(20)))
    assert gateway.tokens == 1
    assert gateway.posts == ["Bearer token-1"] * 20


@pytest.mark.parametrize(
    ("expires_in", "lasts_s"), [("3599", 3538), (3599, 3538), ("100", 49), (2, 0)], ids=["text", "number", "short", "tiny"]
)
async def test_a_token_is_renewed_before_it_ends(
    daraja: Daraja, gateway: Gateway, now: list[datetime], expires_in: object, lasts_s: int
):
    gateway.expires_in = expires_in
    await daraja.post("/pay", {})
    now[0] = NOW + timedelta(seconds=lasts_s)
    await daraja.post("/pay", {})
    assert gateway.tokens == 1
    now[0] = NOW + timedelta(seconds=lasts_s + 1)
    await daraja.post("/pay", {})
    assert gateway.tokens == 2


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (404, {"errorCode": "404.001.03", "errorMessage": "Invalid Access Token"}),
        (401, {"errorCode": "401.002.01", "errorMessage": "Invalid Access Token"}),
        (400, {"errorCode": "400.003.01", "errorMessage": "Invalid Access Token"}),
        (401, {"fault": {"faultstring": "Invalid Access Token"}}),
    ],
)
async def test_a_refused_token_is_renewed_once(daraja: Daraja, gateway: Gateway, status: int, document: object):
    gateway.answers = [(status, document)] * 3
    answer = await daraja.post("/pay", {})
    assert answer.status == status
    assert gateway.posts == ["Bearer token-1", "Bearer token-2"]


async def test_callers_with_the_same_dead_token_renew_it_once_for_all(daraja: Daraja, gateway: Gateway):
    await daraja.post("/pay", {})
    gateway.answers = [(404, {"errorCode": "404.001.03"})] * 10
    answers = await asyncio.gather(*(daraja.post("/pay", {}) for _ in range(10)))
    assert {each.status for each in answers} == {200}
    assert gateway.tokens == 2


@pytest.mark.parametrize("status", [500, 503, 404, 400])
async def test_nothing_else_is_sent_a_second_time(daraja: Daraja, gateway: Gateway, status: int):
    gateway.answers = [(status, {"errorCode": "500.003.1001", "errorMessage": "Internal Server Error"})]
    assert (await daraja.post("/pay", {})).status == status
    assert len(gateway.posts) == 1


@pytest.mark.parametrize(
    ("token_answer", "fault"),
    [
        ((400, {"errorCode": "400.008.01", "errorMessage": "Invalid Authentication passed"}), Fault.RAIL),
        ((401, {}), Fault.RAIL),
        ((500, {"errorCode": "500.003.02", "errorMessage": "Spike arrest"}), Fault.TRANSIENT),
        ((503, {}), Fault.TRANSIENT),
        ((200, {"access_token": "", "expires_in": "3599"}), Fault.TRANSIENT),
        ((200, {"access_token": "a\nb", "expires_in": "3599"}), Fault.TRANSIENT),
        ((200, {"access_token": "x", "expires_in": "soon"}), Fault.TRANSIENT),
        ((200, []), Fault.TRANSIENT),
    ],
)
async def test_without_a_token_nothing_is_sent(daraja: Daraja, gateway: Gateway, token_answer: Any, fault: Fault):
    gateway.token_answer = token_answer
    with pytest.raises(NotSent) as refused:
        await daraja.post("/pay", {})
    assert refused.value.fault is fault
    assert gateway.posts == []


async def test_a_failed_token_is_asked_for_again_by_the_next_caller(daraja: Daraja, gateway: Gateway):
    gateway.token_answer = (503, {})
    with pytest.raises(NotSent):
        await daraja.post("/pay", {})
    gateway.token_answer = None
    assert (await daraja.post("/pay", {})).status == 200


async def test_a_payment_that_finds_nobody_listening_is_not_sent(settings: dict[str, Any], gateway: Gateway):
    with served(gateway.app) as url:
        client = Daraja(settings=MpesaSettings.read({**settings, "base_url": f"{url}/daraja"}), clock=lambda: NOW)
        await client.post("/pay", {})
    with pytest.raises(NotSent) as refused:
        await client.post("/pay", {})
    assert refused.value.fault is Fault.TRANSIENT
    assert (gateway.tokens, len(gateway.posts)) == (1, 1), "it had a token, and only the payment met the closed door"
    await client.close()


async def test_the_credential_opens_with_safaricoms_key_and_differs_each_time(
    daraja: Daraja, settings: dict[str, Any], private_key: RSAPrivateKey
):
    first, second = daraja.credential(), daraja.credential()
    assert first != second
    assert {password_in(each, private_key) for each in (first, second)} == {settings["initiator_password"]}


async def test_a_proxy_in_the_environment_is_not_used(daraja: Daraja, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    read = daraja._settings
    fresh = Daraja(settings=read, clock=lambda: NOW)
    assert (await fresh.post("/pay", {})).status == 200
    await fresh.close()
