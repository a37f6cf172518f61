"""One call about a leg, and what its failure means. Nothing that an adapter does comes out of here as an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from gateway.clock import Clock
from gateway.failpoints import failpoint
from gateway.legs import Leg, LegPlan, LegReport, PaysInLegs
from gateway.offramp import Capabilities, Fault, NotSent, Outcome, OutsideLimits, Resend
from gateway.payouts.reports import OUTSIDE_LIMITS
from gateway.sagas.due import DueLeg, plan_of
from gateway.sagas.verdict import checked_leg, not_sent

log = structlog.get_logger()

# SystemExit too: a library that gives up by it must not take the process along.
_RAISED = (Exception, SystemExit)
_abandoned: set[asyncio.Task[Any]] = set()
"""Calls that were told to stop and haven't yet. Only a reference keeps a task alive."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """Provably nothing of the leg has left us: the same leg may be sent another time."""

    reason: str
    tried: bool = True
    """Whether the rail was spoken to at all."""


Heard = LegReport | Unsent | None
"""What is known of a leg after a call; None: nothing new."""


async def hear(adapter: PaysInLegs, item: DueLeg, *, capabilities: Capabilities, clock: Clock) -> Heard:
    """Send a leg that was never sent, ask about any other, or send its id again where doubles are dropped."""
    now, plan = clock(), plan_of(adapter, item.number)
    last = item.number == len(adapter.legs)
    late = now + capabilities.answer_within > item.until
    if item.first and item.over:
        return not_sent("the payment was over", Fault.TRANSIENT)
    if late or (item.first and item.doubted):
        return Unsent("the lease ran out" if late else "a person has doubts", tried=False) if item.first else None
    if item.first:
        failpoint("legs.send:before")
        heard = await _send(adapter, item, last=last, limit_s=capabilities.answer_within.total_seconds(), again=False)
        failpoint("legs.send:after_reply")
        return heard
    if _may_resend(plan, item, capabilities, now=now):
        return await _send(adapter, item, last=last, limit_s=capabilities.answer_within.total_seconds(), again=True)
    return await _ask(adapter, item.leg, last=last, limit_s=capabilities.answer_within.total_seconds())


def settled(heard: Heard, item: DueLeg, *, capabilities: Capabilities, now: datetime) -> Heard:
    """Of a leg that wasn't sent, whether that is the end of it.

    A first leg fails at once, for another rail may pay. Of a later one the legs before it are made, so that giving up costs
    more than time: it is tried again for as long as a payment may take.
    """
    if not isinstance(heard, Unsent) or not heard.tried:
        return heard
    waits = item.number > 1 and now - item.begun_at <= capabilities.settles_within
    return heard if waits else not_sent(heard.reason, Fault.TRANSIENT)


def _may_resend(plan: LegPlan, item: DueLeg, capabilities: Capabilities, *, now: datetime) -> bool:
    """As for payments: every other time, for as long as it will surely arrive while the provider remembers the id."""
    return (
        item.outcome in ("sending", Outcome.UNKNOWN)
        and plan.resend is Resend.DEDUPED
        and not (item.doubted or item.over or item.closed)
        and item.leg.sent_at is not None
        and now + capabilities.answer_within < item.leg.sent_at + capabilities.resend_within
        and item.asks % 2 == (0 if item.outcome == "sending" else 1)
    )


async def _send(adapter: PaysInLegs, item: DueLeg, *, last: bool, limit_s: float, again: bool) -> Heard:
    try:
        return checked_leg(await _within(adapter.pay_leg(item.leg), limit_s=limit_s), last=last)
    except TimeoutError as error:
        return LegReport(outcome=Outcome.UNKNOWN, reason=str(error))
    except asyncio.CancelledError as error:
        _reraise_if_ours(error)
        return LegReport(outcome=Outcome.UNKNOWN, reason="the adapter gave up")
    except _RAISED as error:
        log.warning("pay_leg_raised", leg=item.leg.leg_id, error=type(error).__name__)
        return _failed(error, again=again)


async def _ask(adapter: PaysInLegs, leg: Leg, *, last: bool, limit_s: float) -> LegReport | None:
    try:
        return checked_leg(await _within(adapter.leg_status(leg), limit_s=limit_s), last=last)
    except asyncio.CancelledError as error:
        _reraise_if_ours(error)
        return None
    except _RAISED as error:
        log.warning("leg_status_raised", leg=leg.leg_id, error=type(error).__name__)
        return None


def _failed(error: BaseException, *, again: bool) -> Heard:
    if type(error) is NotSent and not again:
        return Unsent(str(error)) if error.fault is Fault.TRANSIENT else not_sent(str(error), error.fault)
    if type(error) is OutsideLimits and not again:
        return LegReport(outcome=Outcome.FAILED, fault=Fault.RAIL, reason=f"{OUTSIDE_LIMITS}: {error}")
    return LegReport(outcome=Outcome.UNKNOWN, reason=f"the adapter raised {type(error).__name__}"[:100])


async def _within(call: Coroutine[Any, Any, LegReport], *, limit_s: float) -> LegReport:
    """The call's result. Raises TimeoutError after so long, even if the adapter won't be told to stop."""
    task = asyncio.get_running_loop().create_task(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit_s)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise TimeoutError(f"no answer within {limit_s:g} s")
    return task.result()


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_abandoned.discard)


def _reraise_if_ours(error: asyncio.CancelledError) -> None:
    """A cancellation that nobody asked of this task is the adapter's own: a task of its that was cancelled."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise error
