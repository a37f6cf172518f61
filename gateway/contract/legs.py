"""An adapter whose payments take several steps, as the suite can speak to it: `in_legs` drives its legs in memory.

The core drives them by rows (gateway.sagas). Here they are driven as far as they go by each sending and each question, under
the same ids and with the same rules of what a leg's report means for its attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from gateway.clock import system_clock
from gateway.legs import CoinTransfer, Leg, LegReport, PaysInLegs, leg_id
from gateway.offramp import AttemptRef, Capabilities, Fault, Instruction, NotSent, Offramp, Outcome, Report
from gateway.sagas.verdict import attempt_report, checked_leg

SendCoins = Callable[[CoinTransfer], Awaitable[str]]
"""Sends coins on a chain; gives the hash of the transaction when they have arrived."""
OPTIONAL = (
    *("read_callback", "callback_answer", "webhooks", "attempt_of", "balance", "look_up", "statement", "read_statement"),
    "cancel",
)
"""What of the optional protocols' surfaces is passed on as it is."""


@dataclass(slots=True)
class _Course:
    """How far a payment has come."""

    instruction: Instruction
    number: int = 0
    """Of the current leg, from 0."""
    done: dict[str, LegReport] = field(default_factory=dict)
    sent_at: datetime | None = None
    ref: str | None = None


_courses: dict[str, _Course] = {}
"""By attempt id, for all adapters of this process: a second adapter goes on where the first one stopped."""


class InLegs:
    """Makes an adapter that pays in legs look like any other. Use `in_legs`."""

    def __init__(self, adapter: PaysInLegs, coins: SendCoins | None) -> None:
        self._adapter = adapter
        self._coins = coins

    @property
    def capabilities(self) -> Capabilities:
        """The adapter's."""
        return cast("Offramp", self._adapter).capabilities

    async def pay(self, instruction: Instruction) -> Report:
        """Make one leg after the other until one isn't PAID at once. Raises what the adapter raises."""
        course = _courses.setdefault(instruction.attempt_id, _Course(instruction))
        try:
            return await self._drive(course, await self._send(course))
        except NotSent:
            course.sent_at = None
            raise

    async def status(self, attempt: AttemptRef) -> Report:
        """Ask about the leg that is under way, and make those after it."""
        course = _courses.get(attempt.attempt_id)
        if course is None:
            return Report(outcome=Outcome.UNKNOWN, reason="never sent")
        if course.sent_at is None and course.number:
            return await self.pay(course.instruction)
        answer = await self._adapter.leg_status(self._leg(course))
        return await self._drive(course, answer)

    async def close(self) -> None:
        """Close the adapter's connections."""
        await cast("Offramp", self._adapter).close()

    async def _drive(self, course: _Course, answer: LegReport) -> Report:
        plans = self._adapter.legs
        while True:
            last = course.number == len(plans) - 1
            report = checked_leg(answer, last=last)
            course.ref = report.provider_ref or course.ref
            if last or report.outcome is not Outcome.PAID:
                following = None if last else plans[course.number + 1]
                return attempt_report(plans[course.number], report, following=following)
            course.done[plans[course.number].name] = report
            course.number, course.sent_at, course.ref = course.number + 1, None, None
            answer = await self._send(course)

    async def _send(self, course: _Course) -> LegReport:
        leg = self._leg(course)
        course.sent_at = course.sent_at or system_clock()
        if not self._adapter.legs[course.number].on_chain:
            return await self._adapter.pay_leg(leg)
        wanted = self._adapter.coins(leg)
        if wanted.before is not None and system_clock() >= wanted.before:
            return LegReport(outcome=Outcome.FAILED, fault=Fault.TRANSIENT, reason="too late to send")
        assert self._coins is not None, "an adapter with a leg on chain needs `coins`, which sends them"
        tx_hash = await self._coins(wanted)
        return LegReport(outcome=Outcome.PAID, provider_ref=tx_hash, gave=wanted.amount, got=wanted.amount)

    def _leg(self, course: _Course) -> Leg:
        return Leg(
            leg_id=leg_id(course.instruction.attempt_id, course.number + 1),
            name=self._adapter.legs[course.number].name,
            payment=course.instruction,
            done=dict(course.done),
            provider_ref=course.ref,
            sent_at=course.sent_at,
        )


def in_legs(adapter: PaysInLegs, *, coins: SendCoins | None = None) -> Offramp:
    """The adapter with `pay` and `status`, and with those optional protocols that it has itself."""
    assert isinstance(adapter, PaysInLegs), "it lacks a part of PaysInLegs: the core would treat it as a plain adapter"
    passed_on = {name: _passed_on(name) for name in OPTIONAL if hasattr(type(adapter), name)}
    made: Offramp = type("InLegs", (InLegs,), passed_on)(adapter, coins)
    return made


def _passed_on(name: str) -> Any:
    return property(lambda self: getattr(self._adapter, name))  # what the suite looks for, the type has
