"""What one adapter gives to the contract suite, and what the suite makes of it."""
# ruff: noqa: ARG002 - what a subclass may override needs its arguments only there

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, ClassVar, NoReturn, cast

import pytest
from fastapi import FastAPI

from gateway.clock import system_clock
from gateway.contract.harness import Inbox, Rail, eventually, running
from gateway.contract.requests import Expected
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    RAILS_OWN,
    AdapterContext,
    Asked,
    AttemptRef,
    Callback,
    CallbackRequest,
    CallsBack,
    Corridor,
    Destination,
    ForgedCallback,
    Instruction,
    NamesAttempt,
    Offramp,
    Outcome,
    Report,
)
from gateway.payouts.send import send
from gateway.railsim import Options, Scenario

OPEN = (Outcome.PENDING, Outcome.AVAILABLE, Outcome.UNKNOWN)
HOLDER = "Wanjiku Canary-Holder"
ROUNDS = 20
"""How many questions something final may take."""
_numbers = count(1)

Make = Callable[[Mapping[str, Any]], Offramp]
"""Makes an adapter from settings; the suite closes it."""


class Ground:
    """Subclass it once per adapter. The names up to the line are all that a subclass gives."""

    factory: ClassVar[Callable[..., Any]]
    """As an entry point of group "lastmile.adapters": takes an `AdapterContext`."""
    simulator: ClassVar[Callable[..., FastAPI]]
    """As an entry point of group "lastmile.simulators": takes `Options`."""
    absent: ClassVar[Mapping[Scenario, str]] = {}
    """Scenarios that the rail can't have, each with the reason: their checks don't apply."""
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

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show."""
        raise NotImplementedError

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """Every request that the adapter may make in the life of this payment, byte for byte; one of them moves money."""
        return ()

    def bulk_requests(
        self,
        batch_id: str,
        orders: Sequence[Instruction],
        settings: Mapping[str, Any],
    ) -> Sequence[Expected]:
        """Every request that paying these in bulk may take, without questions about them; for adapters that pay in bulk."""
        return ()

    def check_payment_request(
        self, request: Mapping[str, Any], instruction: Instruction, settings: Mapping[str, Any]
    ) -> None:
        """Assert of the recorded request that moves money what no regular expression can: a signature, a digest."""

    def wrap(self, made: Any) -> Offramp:
        """What the suite speaks to: the adapter itself, or for `PaysInLegs` what drives its legs."""
        return cast("Offramp", made)

    def id_at_rail(self, attempt_id: str) -> str:
        """The id under which `/_sim/payouts` shows an attempt."""
        return attempt_id

    def account_at_rail(self, to: Destination) -> str:
        """The account that `/_sim/payouts` shows for a recipient."""
        return to.account

    async def collect(self, rail: Rail, instruction: Instruction, report: Report) -> None:
        """What the recipient does with an AVAILABLE payment: takes the cash. Override it for rails that pay cash."""

    def unknown_account(self, corridor: Corridor) -> Destination | None:
        """An account that the simulated rail doesn't know, for rails that look names up; None: it knows every one."""
        return None

    def statement_file(self, rail: Rail) -> bytes | None:
        """The simulated provider's statement as a file, for adapters that read files."""
        return None

    # -- what the tests stand on ---------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _at(self, rail: Rail) -> None:
        self._rail = rail
        self._refs: dict[str, str | None] = {}

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
    async def make(self, inbox: Inbox, rail: Rail) -> AsyncIterator[Make]:
        made: list[Offramp] = []

        def make(settings: Mapping[str, Any]) -> Offramp:
            context = AdapterContext(name="tested", settings=settings, callback_address=inbox.address, clock=system_clock)
            adapter = self.wrap(type(self).factory(context))
            if isinstance(adapter, CallsBack):
                inbox.answer = adapter.callback_answer()
            if isinstance(adapter, NamesAttempt):
                inbox.names = adapter
                for label in adapter.webhooks:
                    rail.enter_webhook(inbox.address(RAILS_OWN, label))
            made.append(adapter)
            return adapter

        yield make
        for adapter in made:
            await adapter.close()

    @pytest.fixture
    def adapter(self, make: Make, settings: Mapping[str, Any]) -> Offramp:
        return make(settings)

    @pytest.fixture
    def calls_back(self, adapter: Offramp) -> CallsBack:
        if not isinstance(adapter, CallsBack):
            pytest.skip("the rail calls nobody")
        return adapter

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

    def play(self, *scenarios: Scenario, **details: object) -> None:
        """Script the next payment; the check doesn't apply if the rail can't have one of the scenarios."""
        for scenario in scenarios:
            if scenario in self.absent:
                pytest.skip(f"no {scenario.value}: {self.absent[scenario]}")
        self._rail.script(*scenarios, **details)

    def elsewhere(self, settings: Mapping[str, Any], url: str) -> dict[str, Any]:
        """The settings with every address of the simulator's replaced by another."""
        plain = self._rail.url
        return {key: each.replace(plain, url) if isinstance(each, str) else each for key, each in settings.items()}

    def payouts(self, instruction: Instruction) -> list[dict[str, Any]]:
        """What the rail has taken for it."""
        return self._rail.payouts(self.id_at_rail(instruction.attempt_id))

    def times_paid(self, instruction: Instruction) -> int:
        """How often money moved for it."""
        return sum(each["times"] for each in self.payouts(instruction))

    def reference(self, instruction: Instruction) -> AttemptRef:
        """The attempt as the core asks about it, with the reference that the rail has told so far."""
        return AttemptRef(
            attempt_id=instruction.attempt_id,
            provider_ref=self._refs.get(instruction.attempt_id),
            deliver=instruction.deliver,
            sent_at=system_clock(),
        )

    async def send(self, adapter: Offramp, instruction: Instruction, *, again: bool = False) -> Report:
        """Send it as the core does: nothing is raised, what is unclear is UNKNOWN."""
        return self._note(instruction, await send(adapter, instruction, again=again))

    async def ask(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> Report:
        """Ask once and wait for the answer, which some rails give by callback. By the core's rule only proof counts."""
        told = len(inbox.deliveries)
        answer = await adapter.status(self.reference(instruction))
        if isinstance(answer, Report):
            return self._note(instruction, answer)
        assert isinstance(answer, Asked)
        assert isinstance(adapter, CallsBack)

        def proof() -> Callback | None:
            news = [each for each in inbox.deliveries[told:] if each.attempt_id == instruction.attempt_id]
            return next((read for each in news if (read := read_or_none(adapter, each)) is not None and read.proof), None)

        return self._note(instruction, (await eventually(proof, what="the answer to a question")).report)

    async def settle(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> Report:
        """Ask until the rail says something final; take the cash when it is there."""
        for _ in range(ROUNDS):
            report = await self.ask(adapter, inbox, instruction)
            if report.outcome not in OPEN:
                return report
            if report.outcome is Outcome.AVAILABLE:
                await self.collect(self._rail, instruction, report)
            await asyncio.sleep(0.005)
        raise AssertionError(f"nothing final: {report}")

    async def heard(self, adapter: Offramp, inbox: Inbox, instruction: Instruction, most: int = 1) -> list[CallbackRequest]:
        """Pay, and the first callbacks that arrive: about this payment, or about none that can be believed."""
        report = await self.send(adapter, instruction)
        if report.outcome is Outcome.AVAILABLE:
            await self.collect(self._rail, instruction, report)

        def enough() -> list[CallbackRequest] | None:
            arrived = [each for each in inbox.deliveries if each.attempt_id in (instruction.attempt_id, RAILS_OWN)]
            return arrived[:most] if len(arrived) >= most else None

        return await eventually(enough, what="callbacks")

    def _note(self, instruction: Instruction, report: Report) -> Report:
        if report.provider_ref is not None:
            self._refs[instruction.attempt_id] = report.provider_ref
        return report


def missing(what: str) -> NoReturn:
    """The check can't be made, because the `Contract` or the adapter doesn't say what it has to."""
    pytest.fail(f"MISSING: {what}", pytrace=False)


def read_or_none(adapter: CallsBack, delivery: CallbackRequest) -> Callback | None:
    """The callback, or None for a forged one, be it that it names no attempt or that it can't be believed."""
    if delivery.attempt_id == RAILS_OWN:
        return None
    try:
        return adapter.read_callback(delivery)
    except ForgedCallback:
        return None


def assert_refused(adapter: CallsBack, delivery: CallbackRequest) -> None:
    """Neither believed on arrival, where the rail has one address for all payments, nor when it is read."""
    if isinstance(adapter, NamesAttempt):
        with pytest.raises(ForgedCallback):
            adapter.attempt_of(replace(delivery, attempt_id=RAILS_OWN))
    if delivery.attempt_id != RAILS_OWN:
        with pytest.raises(ForgedCallback):
            adapter.read_callback(delivery)


@pytest.fixture(scope="class")
def rail(request: pytest.FixtureRequest) -> Iterator[Rail]:
    """The subclass's simulator, served for all its tests. A test module imports this fixture."""
    with running(request.cls.simulator(Options(delay_s=0))) as rail:
        yield rail
