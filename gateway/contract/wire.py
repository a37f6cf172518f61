"""What leaves us: the documented bytes and nothing else; and what may show anywhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from gateway.clock import system_clock
from gateway.contract.ground import HOLDER, Ground, Make, missing, read_or_none
from gateway.contract.harness import Inbox, Rail, free_address
from gateway.contract.requests import sort_out
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    CallsBack,
    Cancels,
    Corridor,
    HoldsBalance,
    Instruction,
    KeepsStatement,
    LooksUpNames,
    Offramp,
    Outcome,
    PaysInBulk,
)
from gateway.railsim import Scenario

AROUND = timedelta(hours=1)
SHOWN_FROM = 6
"""Part of an account shorter than this could be anything."""


class Wire(Ground):
    """Every byte to the rail is a documented one, and no secret and nobody's data shows."""

    level: ClassVar[int] = 2

    async def test_every_request_of_a_payments_life_is_a_documented_one_byte_for_byte(
        self, make: Make, rail: Rail, settings: Mapping[str, Any], inbox: Inbox, corridor: Corridor
    ) -> None:
        instruction = self.order(corridor, corridor.least)
        rows = self.requests(instruction, settings)
        if not rows:
            missing("requests, the table of what it may send")
        before = len(rail.requests())
        await self._live(make(settings), inbox, instruction)
        (paying,) = [request for row, request in sort_out(rail.requests()[before:], rows) if row.moves_money]
        self.check_payment_request(paying, instruction, settings)

    async def test_every_request_to_cancel_is_a_documented_one_byte_for_byte(
        self, adapter: Offramp, rail: Rail, settings: Mapping[str, Any], inbox: Inbox, instruction: Instruction
    ) -> None:
        if not isinstance(adapter, Cancels):
            pytest.skip("it can't cancel")
        self.play(Scenario.PENDING_FOREVER)
        before = len(rail.requests())
        await self.send(adapter, instruction)
        await adapter.cancel(self.reference(instruction))
        await self.settle(adapter, inbox, instruction)
        sort_out(rail.requests()[before:], self.requests(instruction, settings))

    async def test_every_request_in_bulk_is_a_documented_one_byte_for_byte(
        self, adapter: Offramp, rail: Rail, settings: Mapping[str, Any], corridor: Corridor
    ) -> None:
        if not isinstance(adapter, PaysInBulk):
            pytest.skip("it pays one by one")
        orders, batch = [self.order(corridor, corridor.least) for _ in range(2)], new_id("bat", now=system_clock())
        rows = self.bulk_requests(batch, orders, settings)
        if not rows:
            missing("bulk_requests, the table of what it may send in bulk")
        before = len(rail.requests())
        await adapter.pay_bulk(batch, orders)
        sorted_out = sort_out(rail.requests()[before:], rows)
        assert [row.name for row, _ in sorted_out if row.moves_money] == [row.name for row in rows if row.moves_money]

    async def _live(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> None:
        """A payment's life, and what else is asked at the rail meanwhile."""
        if isinstance(adapter, LooksUpNames):
            await adapter.look_up(instruction.to)
        await self.send(adapter, instruction)
        await self.settle(adapter, inbox, instruction)
        if isinstance(adapter, HoldsBalance):
            await adapter.balance()
        if isinstance(adapter, KeepsStatement):
            now = system_clock()
            await adapter.statement(since=now - AROUND, until=now + AROUND)

    async def test_no_secret_and_nothing_personal_shows_anywhere(
        self,
        make: Make,
        settings: Mapping[str, Any],
        inbox: Inbox,
        corridor: Corridor,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        adapter = make(settings)
        shown: list[object] = [adapter, adapter.capabilities]
        played = (Scenario.HAPPY, Scenario.FAILED, Scenario.ANSWER_LOST, Scenario.TOKEN_EXPIRED, Scenario.REFUSED)
        for scenario in (each for each in played if each not in self.absent):
            instruction = self.order(corridor, corridor.least)
            self.play(scenario)
            report = await self.send(adapter, instruction)
            shown += [instruction, report]
            if scenario is not Scenario.REFUSED and report.outcome is not Outcome.FAILED:
                shown.append(await self.settle(adapter, inbox, instruction))
            if isinstance(adapter, CallsBack):
                shown += [read_or_none(adapter, each) for each in inbox.of(instruction.attempt_id)]
            shown += await self._errors(make, settings, instruction)
            everything = "\n".join([*map(repr, shown), *map(str, shown), *caplog.messages, caplog.text])
            for secret in (*self.secrets(settings), *parts(instruction.to.account), HOLDER):
                assert secret not in everything

    async def _errors(self, make: Make, settings: Mapping[str, Any], instruction: Instruction) -> list[Exception]:
        """What the adapter raises for a dead rail and for impossible amounts."""
        dead = make(self.elsewhere(settings, free_address()))
        below = replace(instruction, deliver=Money(0, instruction.deliver.asset))
        questions = (dead.pay(instruction), dead.status(self.reference(instruction)), dead.pay(below))
        answers = await asyncio.gather(*questions, return_exceptions=True)
        return [each for each in answers if isinstance(each, Exception)]


def parts(account: str) -> list[str]:
    """What of an account may not show: the whole, and what remains without a country's code."""
    plain = account.removeprefix("+")
    return [each for each in (plain, plain[3:]) if len(each) >= SHOWN_FROM]
