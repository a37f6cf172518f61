"""The one contract that every adapter keeps, checked over real HTTP against its rail's simulator.

A subclass of `OfframpContract` gives what `Ground` asks for; see `test_mpesa`. Scenarios that a rail cannot have stand in
`absent`, each with the reason.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.contract.ground import HOLDER, OPEN, Ground, read_or_none, reference
from gateway.contract.harness import Inbox, Rail, free_address
from gateway.money import Asset, Money
from gateway.offramp import (
    Corridor,
    Fault,
    ForgedCallback,
    Instruction,
    NotSent,
    Offramp,
    OfframpError,
    Outcome,
    OutsideLimits,
    Resend,
)
from gateway.payouts.send import send
from gateway.railsim import Scenario


class OfframpContract(Ground):
    """Subclass it once per adapter."""

    # -- money moves, once, exactly ------------------------------------------------------------------------------------

    async def test_a_payment_is_paid_and_proved(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        report = await send(adapter, instruction)
        assert report.outcome in (Outcome.PENDING, Outcome.AVAILABLE, Outcome.PAID)
        paid = await self.settle(adapter, inbox, instruction)
        assert (paid.outcome, paid.delivered) == (Outcome.PAID, instruction.deliver)
        assert paid.provider_ref
        (payout,) = rail.payouts(instruction.attempt_id)
        assert (payout["account"], payout["amount"]) == (instruction.to.account, instruction.deliver.decimal())
        assert payout["receipt"] == paid.receipt

    async def test_every_step_of_every_corridor_is_paid_to_the_unit(
        self, adapter: Offramp, rail: Rail, inbox: Inbox
    ) -> None:
        for corridor in adapter.capabilities.corridors:
            for deliver in (corridor.least, corridor.least + corridor.step, corridor.most - corridor.step, corridor.most):
                instruction = self.order(corridor, deliver)
                await send(adapter, instruction)
                assert (await self.settle(adapter, inbox, instruction)).delivered == deliver
                assert [each["amount"] for each in rail.payouts(instruction.attempt_id)] == [deliver.decimal()]

    async def test_one_id_sent_twice_moves_money_once(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        reports = await asyncio.gather(send(adapter, instruction), send(adapter, instruction))
        again = await send(adapter, instruction, again=True)
        assert Outcome.FAILED not in {each.outcome for each in (*reports, again)}
        await self.settle(adapter, inbox, instruction)
        if adapter.capabilities.resend is Resend.DEDUPED:
            assert rail.times_paid(instruction.attempt_id) == 1
        else:
            assert rail.times_paid(instruction.attempt_id) > 1, "the rail drops doubles: declare DEDUPED"

    async def test_a_duplicate_answer_means_that_an_earlier_sending_arrived(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.DUPLICATE_ANSWER)
        assert (await send(adapter, instruction)).outcome in OPEN
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_short_payment_is_told_as_it_is(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, corridor: Corridor
    ) -> None:
        instruction = self.order(corridor, corridor.most)
        rail.script(Scenario.PAID_SHORT)
        await send(adapter, instruction)
        report = await self.settle(adapter, inbox, instruction)
        assert report.delivered is not None
        assert report.delivered < instruction.deliver

    # -- the request for payment is not answered, or not as it should be -----------------------------------------------

    @pytest.mark.parametrize("scenario", [Scenario.ANSWER_LOST, Scenario.ERROR_AFTER_ACCEPT])
    async def test_a_payment_without_an_answer_is_unknown_and_found_later(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        rail.script(scenario)
        assert (await send(adapter, instruction)).outcome is Outcome.UNKNOWN
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert rail.times_paid(instruction.attempt_id) == 1

    @pytest.mark.parametrize("scenario", [Scenario.CUT_BEFORE_ACCEPT, Scenario.ERROR_BEFORE_ACCEPT])
    async def test_a_payment_that_may_have_arrived_stays_unknown_though_it_is_not_found(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        rail.script(scenario)
        assert (await send(adapter, instruction)).outcome is Outcome.UNKNOWN
        assert (await self.ask(adapter, inbox, instruction)).outcome is Outcome.UNKNOWN
        assert rail.times_paid(instruction.attempt_id) == 0

    async def test_a_rail_slower_than_our_patience_is_unknown_and_found_later(
        self,
        make: Callable[[Mapping[str, Any]], Offramp],
        settings: Mapping[str, Any],
        rail: Rail,
        inbox: Inbox,
        corridor: Corridor,
    ) -> None:
        hasty = make({**settings, **self.answer_within_setting})
        warm_up = self.order(corridor, corridor.least)
        await send(hasty, warm_up)  # so that the half second goes to the slow answer, not to a token
        rail.script(Scenario.SLOW_ACCEPT, seconds=5)
        instruction = self.order(corridor, corridor.least)
        assert (await send(hasty, instruction)).outcome is Outcome.UNKNOWN
        assert (await self.settle(hasty, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_refused_connection_is_a_clean_failure(
        self, make: Callable[[Mapping[str, Any]], Offramp], settings: Mapping[str, Any], rail: Rail, instruction: Instruction
    ) -> None:
        before = len(rail.requests())
        adapter = make({**settings, "base_url": free_address()})
        with pytest.raises(NotSent) as refused:
            await adapter.pay(instruction)
        assert refused.value.fault is Fault.TRANSIENT
        assert len(rail.requests()) == before

    async def test_a_throttled_payment_is_not_sent_and_the_same_id_pays_later(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.RATE_LIMITED)
        with pytest.raises(NotSent) as throttled:
            await adapter.pay(instruction)
        assert throttled.value.fault is Fault.TRANSIENT
        assert rail.payouts(instruction.attempt_id) == []
        await send(adapter, instruction)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_token_that_dies_in_flight_is_renewed_once_for_the_same_id(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.TOKEN_EXPIRED)
        assert (await send(adapter, instruction)).outcome in (Outcome.PENDING, Outcome.AVAILABLE, Outcome.PAID)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        assert rail.times_paid(instruction.attempt_id) == 1

    async def test_what_is_outside_the_limits_is_refused_before_any_request(
        self, adapter: Offramp, rail: Rail, corridor: Corridor
    ) -> None:
        good = self.order(corridor, corridor.least)
        unit = Money(1, corridor.asset)
        foreign = Money(corridor.least.units, Asset("XTS", corridor.asset.decimals))
        amounts = [corridor.least - unit, corridor.most + corridor.step, foreign]
        if corridor.step != unit:
            amounts.append(corridor.least + unit)
        wrong = [replace(good, deliver=amount) for amount in amounts]
        wrong += [replace(good, to=replace(good.to, country="AQ")), replace(good, to=replace(good.to, account="nobody"))]
        before = len(rail.requests())
        for instruction in wrong:
            with pytest.raises(OutsideLimits) as refused:
                await adapter.pay(instruction)
            assert instruction.to.account not in str(refused.value)
        assert len(rail.requests()) == before

    # -- what becomes of it --------------------------------------------------------------------------------------------

    async def test_a_failure_says_whose_fault_it_is_and_moves_nothing(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.FAILED)
        await send(adapter, instruction)
        failed = await self.settle(adapter, inbox, instruction)
        assert (failed.outcome, failed.fault is None) == (Outcome.FAILED, False)
        assert rail.times_paid(instruction.attempt_id) == 0

    async def test_too_little_float_fails_and_a_new_id_pays_after_a_top_up(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, corridor: Corridor
    ) -> None:
        first, second = self.order(corridor, corridor.least), self.order(corridor, corridor.least)
        rail.hold(corridor.least - Money(1, corridor.asset))
        try:
            await send(adapter, first)
            assert (await self.settle(adapter, inbox, first)).outcome is Outcome.FAILED
        finally:
            rail.hold(Money(10**9, corridor.asset))
        await send(adapter, second)
        assert (await self.settle(adapter, inbox, second)).outcome is Outcome.PAID
        assert (rail.times_paid(first.attempt_id), rail.times_paid(second.attempt_id)) == (0, 1)

    async def test_a_pending_payment_is_asked_about_until_it_is_paid(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.PENDING_POLLS, polls=2)
        await send(adapter, instruction)
        outcomes = [(await self.ask(adapter, inbox, instruction)).outcome for _ in range(3)]
        assert outcomes[0] in OPEN
        assert outcomes[1] in OPEN
        assert outcomes[2] is Outcome.PAID

    async def test_a_payment_pending_for_ever_never_becomes_final(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.PENDING_FOREVER)
        await send(adapter, instruction)
        outcomes = {(await self.ask(adapter, inbox, instruction)).outcome for _ in range(4)}
        assert outcomes <= set(OPEN)

    async def test_not_found_is_not_failed_and_may_be_found_later(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.NOT_FOUND, Scenario.CALLBACK_LOST, polls=2)
        await send(adapter, instruction)
        outcomes = [(await self.ask(adapter, inbox, instruction)).outcome for _ in range(3)]
        assert outcomes[0] in OPEN
        assert outcomes[1] in OPEN
        assert outcomes[2] is Outcome.PAID
        assert rail.times_paid(instruction.attempt_id) == 1

    async def test_a_status_in_no_document_is_unknown(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.UNLISTED_STATUS, status="PROCESSING2")
        await send(adapter, instruction)
        assert (await self.ask(adapter, inbox, instruction)).outcome is Outcome.UNKNOWN

    async def test_a_question_that_fails_says_nothing_of_the_payment(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.QUESTION_FAILS)
        await send(adapter, instruction)
        try:
            report = await self.ask(adapter, inbox, instruction)
        except OfframpError as error:
            assert not isinstance(error, NotSent)
        else:
            assert report.outcome in OPEN
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_payment_that_comes_back_is_returned(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.PAID_THEN_RETURNED, polls=1)
        await send(adapter, instruction)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID
        returned = await self.ask(adapter, inbox, instruction)
        assert (returned.outcome, returned.fault is None) == (Outcome.RETURNED, False)

    # -- callbacks -----------------------------------------------------------------------------------------------------

    async def test_a_callback_lost_changes_nothing(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.CALLBACK_LOST)
        await send(adapter, instruction)
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.PAID

    async def test_a_callback_before_the_answer_is_read(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.CALLBACK_EARLY)
        await send(adapter, instruction)
        (early,) = inbox.of(instruction.attempt_id)
        assert adapter.read_callback(early).attempt_id == instruction.attempt_id

    async def test_a_callback_sent_twice_is_one_event(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.CALLBACK_TWICE)
        first, second = await self.heard(adapter, inbox, instruction, 2)
        assert adapter.read_callback(first) == adapter.read_callback(second)

    async def test_different_news_are_different_events_in_any_order(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, corridor: Corridor
    ) -> None:
        one, two = self.order(corridor, corridor.least), self.order(corridor, corridor.least)
        rail.script(Scenario.FAILED)
        (bad,) = await self.heard(adapter, inbox, one)
        (good,) = await self.heard(adapter, inbox, two)
        forwards = [adapter.read_callback(each) for each in (bad, good)]
        backwards = [adapter.read_callback(each) for each in (good, bad)]
        assert forwards == backwards[::-1]
        assert len({each.event_id for each in forwards}) == 2

    async def test_a_forged_success_is_no_proof_and_pays_nobody(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.CALLBACK_FORGED, Scenario.FAILED)
        (forged, *_) = await self.heard(adapter, inbox, instruction)
        read = read_or_none(adapter, forged)
        assert read is None or not read.proof
        assert (await self.settle(adapter, inbox, instruction)).outcome is Outcome.FAILED
        assert rail.times_paid(instruction.attempt_id) == 0

    async def test_a_callback_about_another_payment_is_refused(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction
    ) -> None:
        rail.script(Scenario.CALLBACK_WRONG_ID)
        (stranger,) = await self.heard(adapter, inbox, instruction)
        with pytest.raises(ForgedCallback):
            adapter.read_callback(stranger)

    @pytest.mark.parametrize("scenario", [Scenario.CALLBACK_WRONG_AMOUNT, Scenario.CALLBACK_WRONG_PAYEE])
    async def test_a_callback_with_wrong_facts_proves_no_payment(
        self, adapter: Offramp, rail: Rail, inbox: Inbox, instruction: Instruction, scenario: Scenario
    ) -> None:
        rail.script(scenario)
        (wrong,) = await self.heard(adapter, inbox, instruction)
        read = read_or_none(adapter, wrong)
        assert read is None or not read.proof or read.report.delivered != instruction.deliver
        assert (await self.settle(adapter, inbox, instruction)).delivered == instruction.deliver

    async def test_a_mutilated_callback_is_refused(self, adapter: Offramp, inbox: Inbox, instruction: Instruction) -> None:
        (whole,) = await self.heard(adapter, inbox, instruction)
        bodies = [b"", b"{}", b"[]", b"null", b"\xff\xfe", whole.body[:-1], b"[" * 100_000, whole.body + b"x"]
        for body in bodies:
            with pytest.raises(ForgedCallback):
                adapter.read_callback(replace(whole, body=body))

    async def test_a_callback_at_an_address_never_given_is_refused(
        self, adapter: Offramp, inbox: Inbox, instruction: Instruction
    ) -> None:
        (whole,) = await self.heard(adapter, inbox, instruction)
        with pytest.raises(ForgedCallback):
            adapter.read_callback(replace(whole, label="elsewhere"))

    # -- on the wire, and in the logs ----------------------------------------------------------------------------------

    async def test_the_request_for_payment_is_the_documented_one_byte_for_byte(
        self, adapter: Offramp, rail: Rail, settings: Mapping[str, Any], instruction: Instruction
    ) -> None:
        before = len(rail.requests())
        await send(adapter, instruction)
        requests = [each for each in rail.requests()[before:] if instruction.attempt_id in json.dumps(each)]
        assert len(requests) == 1
        self.check_payment_request(requests[0], instruction, settings)

    async def test_no_secret_and_nothing_personal_shows_anywhere(
        self, make: Any, settings: Mapping[str, Any], rail: Rail, inbox: Inbox, corridor: Corridor, caplog: Any
    ) -> None:
        caplog.set_level(logging.DEBUG)
        adapter = make(settings)
        shown: list[object] = [adapter, adapter.capabilities]
        for scenario in (Scenario.HAPPY, Scenario.FAILED, Scenario.ANSWER_LOST, Scenario.TOKEN_EXPIRED, Scenario.REFUSED):
            instruction = self.order(corridor, corridor.least)
            rail.script(scenario)
            shown += [instruction, await send(adapter, instruction)]
            if scenario is not Scenario.REFUSED:
                shown.append(await self.settle(adapter, inbox, instruction))
            shown += [read_or_none(adapter, each) for each in inbox.of(instruction.attempt_id)]
            shown += [repr(error) for error in await self.errors(make, settings, instruction)]
            everything = "\n".join([*map(repr, shown), *caplog.messages, caplog.text])
            account = instruction.to.account.removeprefix("+")
            for secret in (*self.secrets(settings), account, account[3:], HOLDER):
                assert secret not in everything

    async def errors(self, make: Any, settings: Mapping[str, Any], instruction: Instruction) -> list[Exception]:
        """What the adapter raises for a dead rail and for impossible amounts."""
        dead = make({**settings, "base_url": free_address()})
        below = replace(instruction, deliver=Money(0, instruction.deliver.asset))
        questions = (dead.pay(instruction), dead.status(reference(instruction)), dead.pay(below))
        answers = await asyncio.gather(*questions, return_exceptions=True)
        return [each for each in answers if isinstance(each, Exception)]

    # -- the adapter says what is true of it ---------------------------------------------------------------------------

    def test_the_capabilities_agree_with_each_other(self, adapter: Offramp) -> None:
        capabilities = adapter.capabilities
        assert capabilities.name == "tested"
        assert capabilities.corridors
        assert capabilities == adapter.capabilities
        for corridor in capabilities.corridors:
            amounts = (corridor.least, corridor.most, corridor.step)
            assert {each.asset for each in amounts} == {corridor.asset}
            assert corridor.step.units > 0
            assert Money(0, corridor.asset) < corridor.least <= corridor.most
            assert corridor.least.floor_to(corridor.step) == corridor.least
            assert corridor.most.floor_to(corridor.step) == corridor.most

    def test_the_simulator_plays_every_scenario_that_the_rail_can_have(self, rail: Rail) -> None:
        assert rail.scenarios() | set(self.absent) == set(Scenario)
        assert not rail.scenarios() & set(self.absent)
