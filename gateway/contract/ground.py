"""What one adapter gives to the contract suite, and what the suite makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import count
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI

from gateway.clock import system_clock
from gateway.contract.harness import Inbox, Rail, eventually, running
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    AdapterContext,
    AdapterFactory,
    Asked,
    AttemptRef,
    Callback,
    CallbackRequest,
    CallsBack,
    Corridor,
    Destination,
    ForgedCallback,
    Instruction,
    Offramp,
    Outcome,
    Report,
)
from gateway.payouts.send import send
from gateway.railsim import Options, Scenario

OPEN = (Outcome.PENDING, Outcome.AVAILABLE, Outcome.UNKNOWN)
HOLDER = "Wanjiku Canary-Holder"
_numbers = count(1)


class Ground:
    """Subclass it once per adapter. The names below are all that a subclass gives."""

    factory: ClassVar[AdapterFactory]
    simulator: ClassVar[Callable[[Options], FastAPI]]
    absent: ClassVar[Mapping[Scenario, str]] = {}
    answer_within_setting: ClassVar[Mapping[str, object]]
    """The setting with which one call may take half a second."""

    def account(self, number: int) -> str:
        """A recipient's account of the first corridor, another for every number."""
        raise NotImplementedError

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A recipient in a corridor, another for every number. Override it where corridors differ in their accounts."""
        return Destination(
            country=corridor.country,
            method=corridor.method,
            account=self.account(number),
            holder=HOLDER,
            institution=corridor.institutions[0].code if corridor.institutions else None,
        )

    async def collect(self, rail: Rail, instruction: Instruction, report: Report) -> None:
        """What the recipient does with an AVAILABLE payment: takes the cash. Override it for rails that pay cash."""

    def check_payment_request(
        self, request: Mapping[str, Any], instruction: Instruction, settings: Mapping[str, Any]
    ) -> None:
        """Assert every byte of the recorded request for payment: method, target, headers, body."""
        raise NotImplementedError

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show."""
        raise NotImplementedError

    # -- what the tests stand on ---------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _at(self, rail: Rail) -> None:
        self._rail = rail

    @pytest.fixture
    def inbox(self) -> Iterator[Inbox]:
        inbox = Inbox()
        yield inbox
        inbox.close()

    @pytest.fixture
    def settings(self, rail: Rail) -> dict[str, Any]:
        rail.forget_scripts()
        return rail.settings()

    @pytest.fixture
    async def make(self, inbox: Inbox) -> AsyncIterator[Callable[[Mapping[str, Any]], Offramp]]:
        made: list[Offramp] = []

        def make(settings: Mapping[str, Any]) -> Offramp:
            context = AdapterContext(name="tested", settings=settings, callback_address=inbox.address, clock=system_clock)
            adapter = type(self).factory(context)
            if isinstance(adapter, CallsBack):
                inbox.answer = adapter.callback_answer()
            made.append(adapter)
            return adapter

        yield make
        for adapter in made:
            await adapter.close()

    @pytest.fixture
    def adapter(self, make: Callable[[Mapping[str, Any]], Offramp], settings: Mapping[str, Any]) -> Offramp:
        return make(settings)

    @pytest.fixture
    def corridor(self, adapter: Offramp) -> Corridor:
        return adapter.capabilities.corridors[0]

    @pytest.fixture
    def instruction(self, corridor: Corridor) -> Instruction:
        return self.order(corridor, corridor.least)

    def order(self, corridor: Corridor, deliver: Money) -> Instruction:
        """A new attempt, for a recipient of its own."""
        attempt_id = new_id("att", now=system_clock())
        return Instruction(attempt_id=attempt_id, deliver=deliver, to=self.destination(corridor, next(_numbers)))

    async def ask(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> Report:
        """Ask once and wait for the answer, which some rails give by callback. By the core's rule only proof counts."""
        told = len(inbox.deliveries)
        answer = await adapter.status(reference(instruction))
        if isinstance(answer, Report):
            return answer
        assert isinstance(answer, Asked)
        assert isinstance(adapter, CallsBack)

        def proof() -> Callback | None:
            news = [each for each in inbox.deliveries[told:] if each.attempt_id == instruction.attempt_id]
            return next((read for each in news if (read := read_or_none(adapter, each)) is not None and read.proof), None)

        return (await eventually(proof, what="the answer to a question")).report

    async def settle(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> Report:
        """Ask until the rail says something final."""
        for _ in range(20):
            report = await self.ask(adapter, inbox, instruction)
            if report.outcome not in OPEN:
                return report
            if report.outcome is Outcome.AVAILABLE:
                await self.collect(self._rail, instruction, report)
        raise AssertionError(f"nothing final: {report}")

    async def heard(self, adapter: Offramp, inbox: Inbox, instruction: Instruction, most: int = 1) -> list[Any]:
        """Pay, and the first callbacks that arrive."""
        await send(adapter, instruction)

        def enough() -> list[CallbackRequest] | None:
            arrived = inbox.of(instruction.attempt_id)
            return arrived[:most] if len(arrived) >= most else None

        return await eventually(enough, what="callbacks")


def reference(instruction: Instruction) -> AttemptRef:
    """The attempt as the core asks about it when it has heard nothing yet."""
    return AttemptRef(
        attempt_id=instruction.attempt_id, provider_ref=None, deliver=instruction.deliver, sent_at=system_clock()
    )


def read_or_none(adapter: Any, delivery: CallbackRequest) -> Callback | None:
    """The callback, or None for a forged one."""
    try:
        return adapter.read_callback(delivery)
    except ForgedCallback:
        return None


@pytest.fixture(scope="class")
def rail(request: pytest.FixtureRequest) -> Iterator[Rail]:
    """The subclass's simulator, served for all its tests. A test module imports this fixture."""
    with running(request.cls.simulator(Options(delay_s=0))) as rail:
        yield rail
