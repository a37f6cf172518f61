"""Money moves, once, exactly, and nothing moves that shouldn't."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar

import pytest

from gateway.contract.ground import Ground
from gateway.contract.harness import Inbox, Rail
from gateway.money import Asset, Money
from gateway.offramp import Corridor, Instruction, Offramp, Outcome, OutsideLimits, Resend
from gateway.railsim import Scenario

UNDER_WAY = (Outcome.PENDING, Outcome.AVAILABLE, Outcome.PAID)
NO_COUNTRY = "AQ"
NO_ACCOUNT = "nobody"


class Pays(Ground):
    """A payment is made, exactly as ordered, and what can't be made is refused at once."""

    level: ClassVar[int] = 1

    async def test_a_payment_is_paid_and_proved(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> None:
        report = await self.send(adapter, instruction)
        assert report.outcome in UNDER_WAY
        paid = await self.settle(adapter, inbox, instruction)
        assert (paid.outcome, paid.delivered) == (Outcome.PAID, instruction.deliver)
        assert paid.provider_ref
        (payout,) = self.payouts(instruction)
        assert (payout["account"], payout["amount"]) == (
            self.account_at_rail(instruction.to),
            instruction.deliver.decimal(),
        )
        assert payout["times"] == 1
        assert payout["receipt"] == paid.receipt

    async def test_every_step_of_every_corridor_is_paid_to_the_unit(
        self, adapter: Offramp, rail: Rail, inbox: Inbox
    ) -> None:
        seen: set[tuple[Money, ...]] = set()
        for corridor in adapter.capabilities.corridors:
            if corridor.asset.code in rail.balances():
                rail.hold(Money(corridor.most.units * 10, corridor.asset))
            amounts = (corridor.least, corridor.least + corridor.step, corridor.most - corridor.step, corridor.most)
            for deliver in amounts if amounts not in seen else amounts[:1]:
                instruction = self.order(corridor, deliver)
                await self.send(adapter, instruction)
                assert (await self.settle(adapter, inbox, instruction)).delivered == deliver
                assert [each["amount"] for each in self.payouts(instruction)] == [deliver.decimal()]
            seen.add(amounts)

    async def test_one_id_sent_twice_moves_money_once(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        if adapter.capabilities.resend is not Resend.DEDUPED:
            pytest.skip(f"it declares {adapter.capabilities.resend.name}: no id is ever sent twice")
        reports = await asyncio.gather(self.send(adapter, instruction), self.send(adapter, instruction))
        again = await self.send(adapter, instruction, again=True)
        assert Outcome.FAILED not in {each.outcome for each in (*reports, again)}
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_a_duplicate_answer_means_that_an_earlier_sending_arrived(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.DUPLICATE_ANSWER)
        assert (await self.send(adapter, instruction)).outcome is not Outcome.FAILED
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_a_short_payment_is_told_as_it_is(self, adapter: Offramp, inbox: Inbox, corridor: Corridor) -> None:
        instruction = self.order(corridor, corridor.most)
        self.play(Scenario.PAID_SHORT)
        await self.send(adapter, instruction)
        report = await self.settle(adapter, inbox, instruction)
        assert report.delivered is not None
        assert report.delivered < instruction.deliver
        moved = self._rail.movements(self.id_at_rail(instruction.attempt_id))
        assert [each["amount"] for each in moved] == [report.delivered.decimal()]

    async def test_what_is_outside_the_limits_is_refused_before_any_request(self, adapter: Offramp, rail: Rail) -> None:
        before = len(rail.requests())
        for corridor in adapter.capabilities.corridors:
            for instruction in self._outside(corridor):
                with pytest.raises(OutsideLimits) as refused:
                    await adapter.pay(instruction)
                assert instruction.to.account not in str(refused.value)
        assert len(rail.requests()) == before

    def _outside(self, corridor: Corridor) -> list[Instruction]:
        good, unit = self.order(corridor, corridor.least), Money(1, corridor.asset)
        foreign = Money(corridor.least.units, Asset("XTS", corridor.asset.decimals))
        amounts = [corridor.least - unit, corridor.most + corridor.step, Money(0, corridor.asset), foreign]
        if corridor.step != unit:
            amounts.append(corridor.least + unit)
        places = [replace(good.to, country=NO_COUNTRY), replace(good.to, account=NO_ACCOUNT)]
        if corridor.institutions:
            places += [replace(good.to, institution=None), replace(good.to, institution="no_such_bank")]
        return [*(replace(good, deliver=each) for each in amounts), *(replace(good, to=each) for each in places)]
