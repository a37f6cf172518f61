"""What becomes of a payment that the rail has taken."""

from __future__ import annotations

from typing import ClassVar

from gateway.contract.ground import OPEN, Ground
from gateway.contract.harness import Inbox
from gateway.offramp import Instruction, NotSent, Offramp, OfframpError, Outcome
from gateway.railsim import Scenario


class Course(Ground):
    """What the rail says of a payment is told as it is, and what it doesn't say is unknown."""

    level: ClassVar[int] = 2

    async def test_a_failure_says_whose_fault_it_is_and_moves_nothing(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.FAILED)
        failed = await self.send(adapter, instruction)
        if failed.outcome is not Outcome.FAILED:
            failed = await self.settle(adapter, inbox, instruction)
        assert (failed.outcome, failed.fault is None) == (Outcome.FAILED, False)
        assert self.times_paid(instruction) == 0

    async def test_a_pending_payment_is_asked_about_until_it_is_paid(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.PENDING_POLLS, polls=2)
        assert (await self.send(adapter, instruction)).outcome in OPEN
        for _ in range(2):
            assert (await self.ask(adapter, inbox, instruction)).outcome in OPEN
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_payment_pending_for_ever_never_becomes_final(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.PENDING_FOREVER)
        await self.send(adapter, instruction)
        outcomes = {(await self.ask(adapter, inbox, instruction)).outcome for _ in range(4)}
        assert outcomes <= set(OPEN)

    async def test_not_found_is_not_failed_and_may_be_found_later(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        calls = [Scenario.CALLBACK_LOST] if Scenario.CALLBACK_LOST not in self.absent else []
        self.play(Scenario.NOT_FOUND, *calls, polls=2)
        await self.send(adapter, instruction)
        for _ in range(2):
            assert (await self.ask(adapter, inbox, instruction)).outcome in OPEN
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert self.times_paid(instruction) == 1

    async def test_a_status_in_no_document_is_unknown(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.UNLISTED_STATUS, status="PROCESSING2")
        await self.send(adapter, instruction)
        assert (await self.ask(adapter, inbox, instruction)).outcome is Outcome.UNKNOWN

    async def test_a_question_that_fails_says_nothing_of_the_payment(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.QUESTION_FAILS)
        await self.send(adapter, instruction)
        try:
            report = await self.ask(adapter, inbox, instruction)
        except OfframpError as error:
            assert not isinstance(error, NotSent)
        else:
            assert report.outcome in OPEN
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_payment_that_comes_back_is_returned(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.PAID_THEN_RETURNED, polls=2)
        await self.send(adapter, instruction)
        seen = []
        for _ in range(6):
            report = await self.ask(adapter, inbox, instruction)
            seen.append(report.outcome)
            if report.outcome is Outcome.AVAILABLE:
                await self.collect(self._rail, instruction, report)
        assert Outcome.PAID in seen
        assert (report.outcome, report.fault is None) == (Outcome.RETURNED, False)
        assert seen.index(Outcome.RETURNED) > seen.index(Outcome.PAID)
