"""The rail calls us: news is read, doubled, re-ordered and lost news changes nothing, and nobody else's word counts."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from gateway.contract.ground import Ground, assert_refused, read_or_none
from gateway.contract.harness import Inbox, eventually
from gateway.offramp import CallsBack, Corridor, ForgedCallback, Instruction, Offramp, Outcome
from gateway.payouts.inbox import KEPT_HEADERS, SIGNING
from gateway.railsim import Scenario


class Callbacks(Ground):
    """Verifying and reading a callback are one act, and only what is proven counts."""

    level: ClassVar[int] = 3

    async def test_a_callback_lost_changes_nothing(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> None:
        self.play(Scenario.CALLBACK_LOST)
        await self.send(adapter, instruction)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_callback_is_proof_only_where_the_rail_documents_it(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        (told,) = await self.heard(adapter, inbox, instruction)
        read = calls_back.read_callback(told)
        assert read.attempt_id == instruction.attempt_id
        assert read.proof is adapter.capabilities.callbacks_are_proof
        if read.proof:
            assert (read.report.outcome, read.report.delivered) == (Outcome.PAID, instruction.deliver)

    async def test_a_callback_reads_the_same_from_the_inbox(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        (told,) = await self.heard(adapter, inbox, instruction)
        kept = {name: value for name, value in told.headers.items() if name in KEPT_HEADERS or name.endswith(SIGNING)}
        on_arrival, later = calls_back.read_callback(told), calls_back.read_callback(replace(told, headers=kept))
        assert (later.event_id, later.attempt_id) == (on_arrival.event_id, on_arrival.attempt_id)
        if adapter.capabilities.callbacks_are_proof:
            assert later == on_arrival

    async def test_a_callback_before_the_answer_is_read(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.CALLBACK_EARLY)
        await self.send(adapter, instruction)
        early, *_ = inbox.of(instruction.attempt_id)
        assert calls_back.read_callback(early).attempt_id == instruction.attempt_id

    async def test_a_callback_sent_twice_is_one_event(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.CALLBACK_TWICE)
        first, second = await self.heard(adapter, inbox, instruction, 2)
        assert calls_back.read_callback(first) == calls_back.read_callback(second)

    async def test_different_news_are_different_events_in_any_order(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, corridor: Corridor
    ) -> None:
        one, two = self.order(corridor, corridor.least), self.order(corridor, corridor.least)
        self.play(Scenario.FAILED)
        (bad,) = await self.heard(adapter, inbox, one)
        (good,) = await self.heard(adapter, inbox, two)
        forwards = [calls_back.read_callback(each) for each in (bad, good)]
        backwards = [calls_back.read_callback(each) for each in (good, bad)]
        assert forwards == backwards[::-1]
        assert len({each.event_id for each in forwards}) == 2

    async def test_a_forged_success_is_no_proof_and_pays_nobody(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.CALLBACK_FORGED, Scenario.FAILED)
        (forged, *_) = await self.heard(adapter, inbox, instruction)
        read = read_or_none(calls_back, forged)
        assert read is None or not read.proof
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.FAILED
        assert self.times_paid(instruction) == 0

    @pytest.mark.parametrize("scenario", [Scenario.CALLBACK_UNSIGNED, Scenario.CALLBACK_STALE])
    async def test_a_callback_without_a_fresh_signature_is_refused(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        self.play(scenario)
        bad, *_ = await self.heard(adapter, inbox, instruction)
        assert_refused(calls_back, bad)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_proof_is_bound_to_every_byte_and_to_its_signature(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        if not adapter.capabilities.callbacks_are_proof:
            pytest.skip("its callbacks only make us ask")
        (whole,) = await self.heard(adapter, inbox, instruction)
        plain = {name: value for name, value in whole.headers.items() if name in ("content-type", "content-length", "host")}
        changed = whole.body.replace(b'"', b' "', 1)
        for bad in (replace(whole, headers=plain), replace(whole, body=changed)):
            assert_refused(calls_back, bad)

    async def test_a_callback_about_another_payment_is_refused(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        self.play(Scenario.CALLBACK_WRONG_ID)
        report = await self.send(adapter, instruction)
        if report.outcome is Outcome.AVAILABLE:
            await self.collect(self._rail, instruction, report)
        stranger = (await eventually(lambda: inbox.deliveries[:], what="a callback"))[0]
        # At an address for all payments it names somebody else's attempt; the core knows that it never sent that one.
        assert read_or_none(calls_back, replace(stranger, attempt_id=instruction.attempt_id)) is None

    @pytest.mark.parametrize("scenario", [Scenario.CALLBACK_WRONG_AMOUNT, Scenario.CALLBACK_WRONG_PAYEE])
    async def test_a_callback_with_wrong_facts_proves_no_payment(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        self.play(scenario)
        (wrong,) = await self.heard(adapter, inbox, instruction)
        read = read_or_none(calls_back, wrong)
        if (
            scenario is Scenario.CALLBACK_WRONG_AMOUNT
        ):  # the port doesn't tell an adapter the payee: the question settles that
            assert read is None or not read.proof or read.report.delivered != instruction.deliver
        assert (await self.settle(adapter, inbox, instruction)).delivered == instruction.deliver

    async def test_a_mutilated_callback_is_refused(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        (whole,) = await self.heard(adapter, inbox, instruction)
        bodies = [b"", b"{}", b"[]", b"null", b"\xff\xfe", whole.body[:-1], b"[" * 100_000, whole.body + b"x"]
        for body in bodies:
            assert_refused(calls_back, replace(whole, body=body))

    async def test_a_callback_at_an_address_never_given_is_refused(
        self, adapter: Offramp, calls_back: CallsBack, inbox: Inbox, instruction: Instruction
    ) -> None:
        (whole,) = await self.heard(adapter, inbox, instruction)
        with pytest.raises(ForgedCallback):
            calls_back.read_callback(replace(whole, label="elsewhere"))
