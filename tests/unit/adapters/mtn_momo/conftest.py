"""A simulated MTN, and an adapter whose clock a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.mtn_momo import MtnMomo
from adapters.mtn_momo.simulator import app
from gateway.contract.harness import Inbox, Rail, running
from gateway.offramp import AdapterContext
from gateway.railsim import Options

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Make = Callable[..., MtnMomo]


@pytest.fixture(scope="module")
def served() -> Iterator[Rail]:
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
def rail(served: Rail) -> Rail:
    served.forget_scripts()
    return served


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def now() -> list[datetime]:
    """The time of the adapter's clock, to be changed in place."""
    return [NOW]


@pytest.fixture
async def make(rail: Rail, inbox: Inbox, now: list[datetime]) -> AsyncIterator[Make]:
    made: list[MtnMomo] = []

    def make(**changes: Any) -> MtnMomo:
        settings = {**rail.settings(), **changes}
        context = AdapterContext(name="uganda", settings=settings, callback_address=inbox.address, clock=lambda: now[0])
        made.append(MtnMomo(context))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def adapter(make: Make) -> MtnMomo:
    return make()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings that would work, had MTN this key."""
    return {
        "base_url": "https://sandbox.momodeveloper.mtn.invalid",
        "subscription_key": "SUBSCRIPTION-CANARY",
        "api_user": "d4b1f0a2-5c7e-4b6f-9a31-0c2d3e4f5a6b",
        "api_key": "KEY-CANARY",
        "target_environment": "mtnuganda",
    }
