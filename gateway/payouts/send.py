"""One call to an adapter, and the rule what its failure means. Forty adapter authors need not know it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from gateway.offramp import Asked, AttemptRef, Fault, Instruction, NotSent, Offramp, Outcome, OutsideLimits, Report

log = structlog.get_logger()


async def send(adapter: Offramp, instruction: Instruction, *, again: bool = False) -> Report:
    """Send an instruction; never raises but for cancellation.

    `NotSent` and `OutsideLimits` are FAILED: provably nothing took effect. Every other exception, and no answer within
    the adapter's `answer_within`, is UNKNOWN. Of an instruction that is sent `again` even those two prove nothing about
    the first sending.
    """
    limit = adapter.capabilities.answer_within
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await adapter.pay(instruction)
    except NotSent as refusal:
        fault, reason = refusal.fault, f"not sent: {refusal}"
    except OutsideLimits as refusal:
        fault, reason = Fault.RAIL, f"outside the rail's limits: {refusal}"
    except TimeoutError:
        return Report(outcome=Outcome.UNKNOWN, reason=f"no answer within {limit.total_seconds():g} s")
    except Exception as error:  # noqa: BLE001 - whatever it was, the money may have moved
        log.warning("pay_raised", attempt=instruction.attempt_id, error=type(error).__name__)
        return Report(outcome=Outcome.UNKNOWN, reason=f"the adapter raised {type(error).__name__}")
    if again:
        return Report(outcome=Outcome.UNKNOWN, reason=f"sent again: {reason}")
    return Report(outcome=Outcome.FAILED, fault=fault, reason=reason)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A question that failed: it tells nothing, so nothing changes but the time of the next one."""

    reason: str


async def ask(adapter: Offramp, attempt: AttemptRef) -> Report | Asked | NoAnswer:
    """Ask about an attempt; never raises but for cancellation."""
    limit = adapter.capabilities.answer_within
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await adapter.status(attempt)
    except TimeoutError:
        return NoAnswer(f"no answer within {limit.total_seconds():g} s")
    except Exception as error:  # noqa: BLE001 - whatever it was, it is no news of the payment
        log.warning("status_raised", attempt=attempt.attempt_id, error=type(error).__name__)
        return NoAnswer(f"the adapter raised {type(error).__name__}")
