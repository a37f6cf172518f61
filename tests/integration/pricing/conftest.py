"""The simulator of Open Exchange Rates, served over real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.pricing.simulator import app
from gateway.pricing.sources import OpenExchangeRates, OpenExchangeRatesSettings

APP_ID = "0123456789abcdef0123456789abcdef"


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RATES = {"KES": "129.20"}


@dataclass
class Simulator:
    client: httpx.Client
    now: datetime = NOON

    @property
    def base_url(self) -> str:
        return str(self.client.base_url)

    def tell(self, what: str, document: dict[str, Any]) -> httpx.Response:
        return self.client.put(f"/_sim/{what}", json=document)

    def source(self, **changes: Any) -> OpenExchangeRates:
        settings: dict[str, Any] = {
            "name": "oxr",
            "base_url": self.base_url,
            "app_id": APP_ID,
            "currencies": ("KES",),
            "max_age": timedelta(hours=2),
        }
        return OpenExchangeRates(OpenExchangeRatesSettings(**(settings | changes)))


@contextmanager
def served(application: Callable[..., Any]) -> Iterator[str]:
    """An ASGI application on a free port, in a thread of its own."""
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    with httpx.Client(verify=False, trust_env=False) as client:
        made = Simulator(client=client)
        with served(app(clock=lambda: made.now)) as client.base_url:
            yield made


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """As new: all well, at noon."""
    running_simulator.now = NOON
    running_simulator.tell("faults", {})
    running_simulator.tell("rates", RATES)
    return running_simulator
