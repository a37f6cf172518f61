"""What an adapter need not do: what it offers all the same has to be right."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from gateway.clock import system_clock
from gateway.contract.ground import OPEN, Ground, Make, missing
from gateway.contract.harness import Inbox, Rail, free_address
from gateway.contract.wire import AROUND
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import (
    Cancels,
    Corridor,
    HoldsBalance,
    Instruction,
    KeepsStatement,
    LineKind,
    LooksUpNames,
    Method,
    Offramp,
    OfframpError,
    Outcome,
    PaysInBulk,
    ReadsStatement,
    Report,
    StatementLine,
)
from gateway.railsim import Scenario

BATCH = 3


class Extras(Ground):
    """Balance, cancelling, look-up, bulk, statement, cash: right where they are offered."""

    level: ClassVar[int] = 4

    # -- balance -------------------------------------------------------------------------------------------------------

    async def test_the_balance_is_what_the_rail_holds(self, adapter: Offramp, rail: Rail) -> None:
        if not isinstance(adapter, HoldsBalance):
            pytest.skip("it tells no balance")
        told = await adapter.balance()
        assert told
        assert len({money.asset for money in told}) == len(told)
        for money in told:
            assert money.decimal() == rail.balances()[money.asset.code]
        money = told[0]
        rail.hold(money - Money(1, money.asset))
        try:
            assert money - Money(1, money.asset) in await adapter.balance()
        finally:
            rail.hold(money)

    async def test_a_balance_that_is_not_told_is_not_made_up(self, make: Make, settings: Mapping[str, Any]) -> None:
        dead = make(self.elsewhere(settings, free_address()))
        if not isinstance(dead, HoldsBalance):
            pytest.skip("it tells no balance")
        with pytest.raises(OfframpError):
            await dead.balance()

    # -- cancelling ----------------------------------------------------------------------------------------------------

    async def test_a_payment_that_waits_is_cancelled_and_never_paid(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        if not isinstance(adapter, Cancels):
            pytest.skip("it can't cancel")
        self.play(Scenario.PENDING_FOREVER)
        await self.send(adapter, instruction)
        report = await self._final(adapter, inbox, instruction, await adapter.cancel(self.reference(instruction)))
        assert (report.outcome, report.fault is None) == (Outcome.FAILED, False)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.FAILED
        assert self.times_paid(instruction) == 0

    async def test_a_cancellation_that_comes_too_late_says_paid(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        if not isinstance(adapter, Cancels):
            pytest.skip("it can't cancel")
        self.play(Scenario.CANCEL_TOO_LATE)
        await self.send(adapter, instruction)
        report = await self._final(adapter, inbox, instruction, await adapter.cancel(self.reference(instruction)))
        assert (report.outcome, report.delivered) == (Outcome.PAID, instruction.deliver)
        assert self.times_paid(instruction) == 1

    async def _final(self, adapter: Offramp, inbox: Inbox, instruction: Instruction, report: Report) -> Report:
        return await self.settle(adapter, inbox, instruction) if report.outcome in OPEN else report

    # -- look-up -------------------------------------------------------------------------------------------------------

    async def test_an_account_is_looked_up_before_anything_is_paid(self, adapter: Offramp, instruction: Instruction) -> None:
        if not isinstance(adapter, LooksUpNames):
            pytest.skip("it looks no names up")
        holder = await adapter.look_up(instruction.to)
        assert holder.name or holder.can_receive
        assert holder.can_receive is not False
        assert holder.name is None or holder.name not in repr(holder)
        assert self.payouts(instruction) == []

    async def test_another_name_than_the_sender_believes_is_told(self, adapter: Offramp, instruction: Instruction) -> None:
        if not isinstance(adapter, LooksUpNames):
            pytest.skip("it looks no names up")
        usual = await adapter.look_up(instruction.to)
        self.play(Scenario.NAME_MISMATCH, match={"account": self.account_at_rail(instruction.to)})
        other = await adapter.look_up(instruction.to)
        assert other != usual
        assert other.name != usual.name or other.can_receive is False

    async def test_an_account_that_the_rail_does_not_know_cannot_receive(self, adapter: Offramp, corridor: Corridor) -> None:
        if not isinstance(adapter, LooksUpNames):
            pytest.skip("it looks no names up")
        unknown = self.unknown_account(corridor)
        if unknown is None:
            pytest.skip("the simulated rail knows every account")
        assert (await adapter.look_up(unknown)).can_receive is False

    async def test_a_look_up_that_fails_says_nothing(
        self, make: Make, settings: Mapping[str, Any], instruction: Instruction
    ) -> None:
        dead = make(self.elsewhere(settings, free_address()))
        if not isinstance(dead, LooksUpNames):
            pytest.skip("it looks no names up")
        with pytest.raises(OfframpError) as failed:
            await dead.look_up(instruction.to)
        assert instruction.to.account not in repr(failed.value)

    # -- bulk ----------------------------------------------------------------------------------------------------------

    async def test_payments_in_bulk_each_have_an_outcome_of_their_own(
        self, adapter: Offramp, inbox: Inbox, corridor: Corridor
    ) -> None:
        if not isinstance(adapter, PaysInBulk):
            pytest.skip("it pays one by one")
        assert adapter.bulk_most > 1
        orders = [self.order(corridor, corridor.least) for _ in range(min(BATCH, adapter.bulk_most))]
        self.play(Scenario.FAILED, match={"account": self.account_at_rail(orders[0].to)})
        reports = await adapter.pay_bulk(new_id("bat", now=system_clock()), orders)
        assert set(reports) <= {each.attempt_id for each in orders}
        settled = [await self.settle(adapter, inbox, each) for each in orders]
        assert [each.outcome for each in settled] == [Outcome.FAILED] + [Outcome.PAID] * (len(orders) - 1)
        assert [self.times_paid(each) for each in orders] == [0] + [1] * (len(orders) - 1)

    # -- statement -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("scenario", "times"), [(Scenario.HAPPY, 1), (Scenario.MOVED_TWICE, 2), (Scenario.MOVED_NOTHING, 0)]
    )
    async def test_the_statement_tells_what_really_moved(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction, scenario: Scenario, times: int
    ) -> None:
        if not isinstance(adapter, KeepsStatement):
            pytest.skip("it keeps no statement that can be asked for")
        self.play(scenario)
        await self.send(adapter, instruction)
        paid = await self.settle(adapter, inbox, instruction)
        now = system_clock()
        lines = await adapter.statement(since=now - AROUND, until=now + AROUND)
        assert len({each.line_id for each in lines}) == len(lines)
        ours = [each for each in lines if _is_of(each, instruction, paid)]
        assert [(each.kind, each.amount) for each in ours] == [(LineKind.PAYOUT, instruction.deliver)] * times
        assert await adapter.statement(since=now - AROUND, until=now + AROUND) == lines
        assert not await adapter.statement(since=now + AROUND, until=now + 2 * AROUND)

    async def test_a_statement_file_tells_what_moved(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        if not isinstance(adapter, ReadsStatement):
            pytest.skip("it reads no files")
        await self.send(adapter, instruction)
        paid = await self.settle(adapter, inbox, instruction)
        content = self.statement_file(rail)
        if content is None:
            missing("statement_file")
        (ours,) = [each for each in adapter.read_statement(content) if _is_of(each, instruction, paid)]
        assert (ours.kind, ours.amount) == (LineKind.PAYOUT, instruction.deliver)

    # -- cash ----------------------------------------------------------------------------------------------------------

    async def test_cash_waits_behind_a_code_that_shows_nowhere(
        self, adapter: Offramp, inbox: Inbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        instruction = self._for_cash(adapter)
        caplog.set_level(logging.DEBUG)
        waiting = await self._available(adapter, inbox, instruction)
        assert waiting.pickup is not None
        assert waiting.pickup.code
        for shown in (repr(waiting), str(waiting), caplog.text, str(waiting.evidence), str(waiting.reason)):
            assert waiting.pickup.code not in shown
        assert self.times_paid(instruction) == 0
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_nobody_claims_another_amount(self, adapter: Offramp, inbox: Inbox) -> None:
        instruction = self._for_cash(adapter)
        self.play(Scenario.CLAIM_OF_ANOTHER_AMOUNT)
        await self._available(adapter, inbox, instruction)
        paid = await self.settle(adapter, inbox, instruction)
        assert (paid.outcome, paid.delivered) == (Outcome.PAID, instruction.deliver)
        assert self.times_paid(instruction) == 1

    def _for_cash(self, adapter: Offramp) -> Instruction:
        cash = [each for each in adapter.capabilities.corridors if each.method is Method.CASH]
        if not cash:
            pytest.skip("it pays no cash")
        return self.order(cash[0], cash[0].least + cash[0].step)

    async def _available(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> Report:
        report = await self.send(adapter, instruction)
        for _ in range(10):
            if report.outcome is Outcome.AVAILABLE:
                return report
            report = await self.ask(adapter, inbox, instruction)
        raise AssertionError(f"never there to be taken: {report.outcome}")


def _is_of(line: StatementLine, instruction: Instruction, paid: Report) -> bool:
    known = {paid.provider_ref, paid.receipt} - {None}
    return line.attempt_id == instruction.attempt_id or line.provider_ref in known
