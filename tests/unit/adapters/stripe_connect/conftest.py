"""Stripe's simulators, served; adapters on them; and one clock for both sides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from adapters.stripe_connect import StripeConnect
from adapters.stripe_connect.currencies import asset_of
from adapters.stripe_connect.simulator import app, outbound_app
from gateway.clock import system_clock
from gateway.contract.harness import Rail, running
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import AdapterContext, AttemptRef, Destination, Instruction, Method, Report
from gateway.railsim import Options, RailApp, Scenario

USD = asset_of("USD")
_numbers = count(1)


@dataclass
class World:
    """A simulator and an adapter on it, hours later if a test says so."""

    rail: Rail
    app: RailApp
    later: timedelta = timedelta(0)
    made: list[Any] = field(default_factory=list)

    def now(self) -> datetime:
        return system_clock() + self.later

    def adapter(self, **settings: object) -> Any:
        given: Mapping[str, Any] = {**self.rail.settings(), **settings}
        context = AdapterContext(name="stripe", settings=given, callback_address=lambda *_: "", clock=self.now)
        self.made.append(StripeConnect(context))
        return self.made[-1]

    def order(self, units: int = 12_50, *, to: str | None = None, method: Method = Method.BANK) -> Instruction:
        number = next(_numbers)
        account = to or f"acct_1Unit{number:010}/ba_1Unit{number:016}"
        where = Destination(country="US", method=method, account=account, holder="Canary Holder")
        return Instruction(attempt_id=new_id("att", now=system_clock()), deliver=Money(units, USD), to=where)

    def ref(self, instruction: Instruction, **more: Any) -> AttemptRef:
        plain = AttemptRef(
            attempt_id=instruction.attempt_id, provider_ref=None, deliver=instruction.deliver, sent_at=system_clock()
        )
        return replace(plain, **more)

    async def ask(self, adapter: Any, instruction: Instruction, *, until: str | None = None) -> Report:
        """Ask once; or, with `until`, as long as the simulator's own course needs."""
        for _ in range(50):
            report: Report = await adapter.status(self.ref(instruction))
            if until is None or report.outcome == until:
                return report
        raise AssertionError(f"never {until}: {report}")

    def break_payout(self, *scenarios: Scenario, **more: object) -> None:
        """Script the request for the next payout, the second of the two."""
        body = {"scenarios": [each.value for each in scenarios], **more}
        self.rail.client.post("/_sim/payout_faults", json=body).raise_for_status()

    def posts(self, path: str) -> list[dict[str, Any]]:
        return [each for each in self.rail.requests() if each["method"] == "POST" and each["target"] == path]

    def held(self) -> int:
        return Money.parse(self.rail.balances()["USD"], USD).units


@pytest.fixture(scope="module")
def _connect() -> Iterator[tuple[Rail, RailApp]]:
    made = app(Options(delay_s=0))
    with running(made) as rail:
        yield rail, made


@pytest.fixture(scope="module")
def _outbound() -> Iterator[tuple[Rail, RailApp]]:
    made = outbound_app(Options(delay_s=0))
    with running(made) as rail:
        yield rail, made


async def _world(rail: Rail, made: RailApp) -> AsyncIterator[World]:
    world = World(rail, made)
    made.desk.clock = world.now
    rail.forget_scripts()
    yield world
    for adapter in world.made:
        await adapter.close()
    made.state.stripe.page_most = 100
    made.state.stripe.stuck = False


@pytest.fixture
async def world(_connect: tuple[Rail, RailApp]) -> AsyncIterator[World]:
    """Transfers and payouts."""
    async for each in _world(*_connect):
        yield each


@pytest.fixture
async def v2(_outbound: tuple[Rail, RailApp]) -> AsyncIterator[World]:
    """Outbound payments."""
    async for each in _world(*_outbound):
        yield each
