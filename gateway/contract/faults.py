"""The request for payment isn't answered, or not as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from gateway.contract.ground import OPEN, Ground, Make
from gateway.contract.harness import Inbox, Rail, free_address
from gateway.contract.pays import UNDER_WAY
from gateway.money import Money
from gateway.offramp import Corridor, Fault, Instruction, NotSent, Offramp, Outcome, Resend
from gateway.railsim import Scenario

SLOW_S = 2


class Faults(Ground):
    """Whatever happens to a request, no money is lost and nobody is paid twice."""

    level: ClassVar[int] = 2

    @pytest.mark.parametrize("scenario", [Scenario.ANSWER_LOST, Scenario.ERROR_AFTER_ACCEPT])
    async def test_a_payment_without_an_answer_is_unknown_and_found_later(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        self.play(scenario)
        assert (await self.send(adapter, instruction)).outcome is Outcome.UNKNOWN
        if adapter.capabilities.resend is Resend.BLIND:
            assert (await self.ask(adapter, inbox, instruction)).outcome in (*OPEN, Outcome.PAID)
        else:
            assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    @pytest.mark.parametrize("scenario", [Scenario.CUT_BEFORE_ACCEPT, Scenario.ERROR_BEFORE_ACCEPT])
    async def test_a_payment_that_may_have_arrived_stays_unknown_though_it_is_not_found(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        self.play(scenario)
        assert (await self.send(adapter, instruction)).outcome is Outcome.UNKNOWN
        assert (await self.ask(adapter, inbox, instruction)).outcome is Outcome.UNKNOWN
        assert self.times_paid(instruction) == 0

    async def test_a_rail_slower_than_our_patience_is_unknown_and_found_later(
        self, make: Make, settings: Mapping[str, Any], inbox: Inbox, corridor: Corridor
    ) -> None:
        hasty = make({**settings, **self.answer_within_setting})
        warm_up = self.order(corridor, corridor.least)
        await self.send(hasty, warm_up)  # so that the half second goes to the slow answer, not to a token
        self.play(Scenario.SLOW_ACCEPT, seconds=SLOW_S)
        instruction = self.order(corridor, corridor.least)
        assert (await self.send(hasty, instruction)).outcome is Outcome.UNKNOWN
        assert (await self.settle(hasty, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_a_refused_connection_is_a_clean_failure(
        self, make: Make, settings: Mapping[str, Any], rail: Rail, instruction: Instruction
    ) -> None:
        before = len(rail.requests())
        adapter = make(self.elsewhere(settings, free_address()))
        with pytest.raises(NotSent) as refused:
            await adapter.pay(instruction)
        assert refused.value.fault is Fault.TRANSIENT
        assert len(rail.requests()) == before

    async def test_a_throttled_payment_is_not_sent_and_the_same_id_pays_later(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.RATE_LIMITED)
        with pytest.raises(NotSent) as throttled:
            await adapter.pay(instruction)
        assert throttled.value.fault is Fault.TRANSIENT
        assert self.payouts(instruction) == []
        await self.send(adapter, instruction)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_a_token_that_dies_in_flight_is_renewed_once_for_the_same_id(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.TOKEN_EXPIRED)
        assert (await self.send(adapter, instruction)).outcome in UNDER_WAY
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_a_quote_that_runs_out_moves_nothing_and_a_new_id_pays(
        self, adapter: Offramp, inbox: Inbox, corridor: Corridor
    ) -> None:
        first, second = self.order(corridor, corridor.least), self.order(corridor, corridor.least)
        self.play(Scenario.QUOTE_EXPIRED)
        failed = await self.send(adapter, first)
        if failed.outcome in OPEN:
            failed = await self.settle(adapter, inbox, first)
        assert (failed.outcome, failed.fault) == (Outcome.FAILED, Fault.TRANSIENT)
        await self.send(adapter, second)
        assert (await self.settle(adapter, inbox, second)).outcome is Outcome.PAID
        assert (self.times_paid(first), self.times_paid(second)) == (0, 1)

    async def test_a_refusal_is_final_and_says_whose_fault_it_is(self, adapter: Offramp, instruction: Instruction) -> None:
        self.play(Scenario.REFUSED)
        report = await self.send(adapter, instruction)
        assert report.outcome not in (Outcome.PAID, Outcome.AVAILABLE)
        assert report.outcome is not Outcome.FAILED or report.fault is not None
        assert self.times_paid(instruction) == 0

    async def test_too_little_float_fails_and_a_new_id_pays_after_a_top_up(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, corridor: Corridor
    ) -> None:
        first, second = self.order(corridor, corridor.least), self.order(corridor, corridor.least)
        held = rail.balances().get(corridor.asset.code)
        if held is None:
            self.play(Scenario.LOW_FLOAT)
        else:
            rail.hold(corridor.least - Money(1, corridor.asset))
        try:
            failed = await self.send(adapter, first)
            if failed.outcome in OPEN:
                failed = await self.settle(adapter, inbox, first)
            assert failed.outcome is Outcome.FAILED
        finally:
            if held is not None:
                rail.hold(Money.parse(held, corridor.asset))
        await self.send(adapter, second)
        assert (await self.settle(adapter, inbox, second)).outcome is Outcome.PAID
        assert (self.times_paid(first), self.times_paid(second)) == (0, 1)
