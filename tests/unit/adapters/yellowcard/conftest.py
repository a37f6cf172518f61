"""Settings that would work, and a server that answers what it is told."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from adapters.yellowcard import YellowCard
from gateway.contract.harness import served
from gateway.offramp import AdapterContext

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CHANNEL = {
    "id": "channel-1", "country": "NG", "currency": "NGN", "status": "active", "apiStatus": "active", "channelType": "bank",
    "rampType": "withdraw", "min": 1000, "max": 400000,
}  # fmt: skip
NETWORK = {
    "id": "network-1", "code": "044", "name": "Access Bank", "status": "active", "accountNumberType": "bank",
    "country": "NG", "channelIds": ["channel-1"],
}  # fmt: skip


class Scripted:
    """Answers in order: a payment's requests only; channels and networks are always there."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, Any]] = deque()
        self.seen: list[tuple[str, str, bytes]] = []
        self.app = FastAPI()
        self.app.api_route("/{path:path}", methods=["GET", "POST"])(self._answer)

    def will(self, *answers: tuple[int, Any]) -> None:
        self.answers.extend(answers)

    @property
    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.seen]

    async def _answer(self, request: Request, path: str) -> Response:
        if path in ("business/channels", "business/networks"):
            return Response(json.dumps({"channels": [CHANNEL], "networks": [NETWORK]}))
        self.seen.append((request.method, "/" + path, await request.body()))
        status, body = self.answers.popleft()
        return Response(body if isinstance(body, bytes) else json.dumps(body), status_code=status)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Scripted, str]]:
    scripted = Scripted()
    with served(scripted.app) as url:
        yield scripted, url


@pytest.fixture
def rail(server: tuple[Scripted, str]) -> Scripted:
    scripted, _ = server
    scripted.answers.clear()
    scripted.seen.clear()
    return scripted


@pytest.fixture
def url(server: tuple[Scripted, str]) -> str:
    return server[1]


@pytest.fixture
def settings() -> dict[str, Any]:
    return {
        "base_url": "https://sandbox.invalid",
        "api_key": "key-canary",
        "secret_key": "secret-canary",
        "business_name": "Lastmile Limited",
        "business_id": "C-1",
        "customer_uid": "us",
        "countries": ["NG", "KE"],
    }


@pytest.fixture
async def adapter(url: str, settings: dict[str, Any]) -> AsyncIterator[YellowCard]:
    made = make({**settings, "base_url": url})
    yield made
    await made.close()


def make(settings: dict[str, Any], clock: Callable[[], datetime] = lambda: NOW) -> YellowCard:
    context = AdapterContext(
        name="tested", settings=settings, callback_address=lambda *_: "https://us.invalid/c", clock=clock
    )
    return YellowCard(context)
