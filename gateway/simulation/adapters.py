"""Adapters of the simulated rails: the port as a process has it, with a network in between that loses and delays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.money import Money
from gateway.offramp import (
    Asked,
    AttemptRef,
    Callback,
    CallbackRequest,
    Capabilities,
    Fault,
    ForgedCallback,
    Instruction,
    NotSent,
    Outcome,
    Report,
    Resend,
    StatementLine,
)
from gateway.simulation.rails import ANSWER_WITHIN, DAY_S, SIGNATURE, WINDOW_S, Payment, SimRail
from gateway.simulation.scheduler import START, Process, Scheduler

NEVER_S = 1e12
FREEZES_S = (60, 60, 300, 1800)
"""How long a machine stands still at most: leases end in less than a minute."""
_FAR_S = ANSWER_WITHIN.total_seconds() + 10
FAULTS = {fault.value: fault for fault in Fault}


class SimAdapter:
    """A rail as one process reaches it. `leaving` is told of each instruction that is about to leave."""

    def __init__(
        self,
        *,
        rail: SimRail,
        process: Process,
        scheduler: Scheduler,
        leaving: Callable[[SimRail, Instruction], None],
    ) -> None:
        self._rail, self._process, self._scheduler, self._leaving = rail, process, scheduler, leaving
        self._capabilities = rail.capabilities()
        self._name = rail.kind.name

    @property
    def capabilities(self) -> Capabilities:
        """As of every adapter."""
        return self._capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Send, through a network with faults."""
        self._leaving(self._rail, instruction)
        said = self._process.clock()
        await self._travels(f"{self._name} pay {instruction.attempt_id}", instruction, said=said)
        if not self._in_time(said):
            raise NotSent("the request's time stamp is too far from the rail's time")
        payment = self._rail.arrive(instruction)
        return await self._answer(payment, f"{self._name} answer {instruction.attempt_id}")

    async def status(self, attempt: AttemptRef) -> Report | Asked:
        """Ask. What isn't found may yet be on its way."""
        dice = self._rail.dice
        delay_s = _FAR_S if dice.happens("status_slow") else 0
        if not dice.calm:  # in a calm world nothing comes between a question and its answer
            await self._scheduler.gate(self._process, f"{self._name} status {attempt.attempt_id}", delay_s=delay_s)
        if self._rail.down or dice.happens("status_raises"):
            raise ConnectionResetError
        if dice.happens("status_unlisted"):
            return Report(outcome=Outcome.UNKNOWN, reason="PROCESSING2")
        payment = self._rail.payments.get(attempt.attempt_id)
        if self._rail.never_arrives(attempt):
            return Report(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="never arrived")
        if self._rail.kind.resend is Resend.BLIND or payment is None or payment.visible_s > self._rail.outside.now_s:
            return Report(outcome=Outcome.UNKNOWN, reason="not found")
        return self._rail.answer(payment)

    async def balance(self) -> tuple[Money, ...]:
        """What is left there."""
        if not self._rail.dice.calm:
            await self._scheduler.gate(self._process, f"{self._name} balance")
        if self._rail.down:
            raise ConnectionResetError
        assets = {asset.code: asset for _, _, asset in self._rail.kind.corridors}
        return tuple(Money(units, assets[code]) for code, units in sorted(self._rail.balance.items()))

    async def statement(self, *, since: datetime, until: datetime) -> Sequence[StatementLine]:
        """Everything that moved our money there."""
        return [line for line in self._rail.statement if since <= line.at < until]

    async def close(self) -> None:
        """Nothing to close."""

    def read_callback(self, request: CallbackRequest) -> Callback:
        """Verify and read."""
        try:
            said: dict[str, Any] = json.loads(request.body)
        except ValueError:
            raise ForgedCallback("not JSON") from None
        signs = self._rail.kind.signs
        if signs and said.get("signature") != SIGNATURE:
            raise ForgedCallback("not signed")
        if said["attempt"] != request.attempt_id:
            raise ForgedCallback("about another payment")
        return Callback(event_id=said["event"], attempt_id=request.attempt_id, report=_report(said, self._rail), proof=signs)

    def callback_answer(self) -> tuple[int, Mapping[str, object]]:
        """As of every adapter."""
        return 200, {}

    def _in_time(self, said: datetime) -> bool:
        """Whether the rail takes a request with this time stamp of ours: one that can be asked refuses what is too old."""
        off_s = abs((said - START).total_seconds() - self._rail.outside.now_s)
        return self._rail.kind.resend is not Resend.FINDABLE or off_s <= WINDOW_S

    async def _travels(self, label: str, *instructions: Instruction, said: datetime) -> None:
        """The way to the rail. Raises what the way does to the request."""
        dice, rail = self._rail.dice, self._rail
        if dice.calm:  # nothing comes between
            return
        fate = dice.first("refused_connection", "request_lost", "request_slow", "machine_freezes")
        if fate == "request_slow":
            for instruction in instructions:
                self._arrives_late(instruction, said)
            await self._scheduler.gate(self._process, label, delay_s=NEVER_S)
        if fate == "machine_freezes":
            self._freeze(dice.between(10, dice.pick(FREEZES_S)))
        await self._scheduler.gate(self._process, label)
        if rail.down or fate == "refused_connection":
            if dice.between(0, 1):
                raise NotSent("connection refused")
            raise ConnectionResetError
        if fate == "request_lost":
            raise ConnectionResetError

    def _freeze(self, seconds: int) -> None:
        """The machine stands still. When it wakes, answers that came meanwhile may be seen before the time is."""
        process = self._process
        process.frozen_until_s = self._rail.outside.now_s + seconds
        self._scheduler.note(f"{process.name} freezes for {seconds} s")

        def wake() -> None:
            process.frozen_until_s = 0
            if self._rail.dice.between(0, 1):
                self._scheduler.open_all(process)

        self._rail.outside.later(seconds, f"{process.name} wakes", wake)

    def _arrives_late(self, instruction: Instruction, said: datetime) -> None:
        """The request is on its way, and arrives when nobody waits for the answer any more; what is too old is refused."""
        delay_s = self._rail.dice.between(int(_FAR_S), WINDOW_S - 5)

        def arrive() -> None:
            if self._in_time(said):
                self._rail.arrive(instruction)

        self._rail.outside.later(delay_s, f"{self._name} receives {instruction.attempt_id} late", arrive)

    async def _answer(self, payment: Payment, label: str) -> Report:
        dice = self._rail.dice
        match dice.first("answer_lost", "answer_slow", "unlisted_status", "answers_late"):
            case "answer_lost":
                raise ConnectionResetError
            case "answer_slow":
                await self._scheduler.gate(self._process, label, delay_s=dice.between(int(_FAR_S), DAY_S))
            case "unlisted_status":
                return Report(outcome=Outcome.UNKNOWN, reason="PROCESSING2")
            case "answers_late":
                report = self._rail.report(payment)
                await self._scheduler.gate(self._process, label, delay_s=dice.between(0, 20))
                return report
        return self._rail.report(payment)


class SimBulkAdapter(SimAdapter):
    """The same of a rail that takes many payments in one instruction."""

    @property
    def bulk_most(self) -> int:
        """How many at once."""
        return self._rail.kind.bulk_most

    async def pay_bulk(self, batch_id: str, instructions: Sequence[Instruction]) -> Mapping[str, Report]:
        """Send them in one; now and then the answer tells only of some."""
        for instruction in instructions:
            self._leaving(self._rail, instruction)
        said = self._process.clock()
        await self._travels(f"{self._name} bulk {batch_id} of {len(instructions)}", *instructions, said=said)
        if not self._in_time(said):
            raise NotSent("the request's time stamp is too far from the rail's time")
        payments = {each.attempt_id: self._rail.arrive(each) for each in instructions}
        told = {attempt_id: self._rail.report(payment) for attempt_id, payment in payments.items()}
        if self._rail.dice.happens("answer_lost"):
            told = dict(list(told.items())[: len(told) // 2])
        return told


def _report(said: Mapping[str, Any], rail: SimRail) -> Report:
    state, reference = said["state"], f"{rail.kind.name}-{said['attempt']}"
    if state == "paid":
        payment = rail.payments.get(said["attempt"])
        asset = payment.instruction.deliver.asset if payment else rail.kind.corridors[0][2]
        paid = Money(int(said["units"]), asset)
        return Report(outcome=Outcome.PAID, provider_ref=reference, receipt=reference[-10:], delivered=paid)
    if state == "failed":
        return Report(outcome=Outcome.FAILED, fault=FAULTS[said["fault"]], reason="called back: failed")
    if state == "returned":
        return Report(outcome=Outcome.RETURNED, fault=Fault.RECIPIENT, reason="called back: sent back")
    return Report(outcome=Outcome.PENDING, provider_ref=reference)
