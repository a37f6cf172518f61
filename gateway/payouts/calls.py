"""One call to an adapter, and the rule what its failure means. Forty adapter authors need not know it.

Nothing that an adapter does comes out of here as an exception, but for the cancellation of whoever called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from gateway.offramp import (
    Asked,
    AttemptRef,
    Fault,
    Instruction,
    NotSent,
    Offramp,
    Outcome,
    OutsideLimits,
    PaysInBulk,
    Report,
)
from gateway.payouts.reports import OUTSIDE_LIMITS, checked_answer, checked_report

log = structlog.get_logger()

# SystemExit too: a library that gives up by it must not take the process along.
_RAISED = (Exception, SystemExit)


async def pay(adapter: Offramp, instruction: Instruction, *, again: bool = False) -> Report:
    """Send one instruction.

    `NotSent` and `OutsideLimits` are FAILED: provably nothing took effect. Every other exception is UNKNOWN. Of an
    instruction that is sent `again` even those two prove nothing about the first sending.
    """
    try:
        return checked_report(await adapter.pay(instruction))
    except asyncio.CancelledError as error:
        _reraise_if_ours(error)
        return _failed(error, again=again)
    except _RAISED as error:
        log.warning("pay_raised", attempt=instruction.attempt_id, error=type(error).__name__)
        return _failed(error, again=again)


async def pay_bulk(adapter: PaysInBulk, batch_id: str, instructions: Sequence[Instruction]) -> dict[str, Report]:
    """Send instructions as one. Every one of them gets a report: UNKNOWN if the answer doesn't name it."""
    ids = [instruction.attempt_id for instruction in instructions]
    try:
        answer = await adapter.pay_bulk(batch_id, instructions)
        return {attempt_id: _of_batch(answer.get(attempt_id)) for attempt_id in ids}
    except asyncio.CancelledError as error:
        _reraise_if_ours(error)
        return dict.fromkeys(ids, _failed(error, again=False))
    except _RAISED as error:
        log.warning("pay_bulk_raised", batch=batch_id, error=type(error).__name__)
        return dict.fromkeys(ids, _failed(error, again=False))


async def question(adapter: Offramp, attempt: AttemptRef) -> Report | Asked | str:
    """Ask about an attempt. A text is why there is no answer: that tells nothing of the payment."""
    try:
        return checked_answer(await adapter.status(attempt))
    except asyncio.CancelledError as error:
        _reraise_if_ours(error)
        return "the adapter gave up"
    except _RAISED as error:
        log.warning("status_raised", attempt=attempt.attempt_id, error=type(error).__name__)
        return f"the adapter raised {type(error).__name__}"


def _of_batch(answer: object) -> Report:
    if answer is None:
        return Report(outcome=Outcome.UNKNOWN, reason="the answer to the batch doesn't name this payment")
    return checked_report(answer)


def _failed(error: BaseException, *, again: bool) -> Report:
    if type(error) is NotSent:
        fault, reason = error.fault, f"not sent: {error}"
    elif type(error) is OutsideLimits:
        fault, reason = Fault.RAIL, f"{OUTSIDE_LIMITS}: {error}"
    else:
        return Report(outcome=Outcome.UNKNOWN, reason=f"the adapter raised {type(error).__name__}"[:100])
    if again:
        return checked_report(Report(outcome=Outcome.UNKNOWN, reason=f"sent again: {reason}"))
    return checked_report(Report(outcome=Outcome.FAILED, fault=fault, reason=reason))


def _reraise_if_ours(error: asyncio.CancelledError) -> None:
    """A cancellation that nobody asked of this task is the adapter's own: a task of its that was cancelled."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise error
