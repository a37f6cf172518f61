"""Ask a rail to stop a payment that it hasn't made yet, where it can. Until it answers, the attempt stays what it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.offramp import AttemptRef, Cancels, Outcome, Report
from gateway.operators.actions import record_action
from gateway.payouts.casework import AttemptCase, open_attempt, read_attempt
from gateway.payouts.errors import AttemptClosed, CannotCancel
from gateway.payouts.holds import hold_stopped, stop_order
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.reports import checked_report

log = structlog.get_logger()

STOPPABLE = frozenset({Outcome.PENDING, Outcome.AVAILABLE})
"""Of these the rail has said that it has the payment. Of others nobody knows what a cancellation would mean."""


class Cancelled(NamedTuple):
    """What came of asking."""

    attempt_id: str
    outcome: str
    """The attempt's now: failed if it was stopped, paid if it was too late, else what it was."""
    answered: bool
    """Whether the rail said anything."""


async def cancel(
    engine: AsyncEngine, *, attempt_id: str, rails: Rails, operator: str, reason: str, clock: Clock
) -> Cancelled:
    """Ask the rail to stop it. If it does, now or later, the order is held for a person and not sent again by itself.

    Raises `AttemptNotFound`, `AttemptClosed`, `CannotCancel`, and as `record_action` does; then the rail wasn't asked.
    """
    async with transaction(engine, point="cancel.ask") as connection:
        case = await open_attempt(connection, attempt_id=attempt_id)
        adapter = _stoppable(case, rails)
        now = clock()
        await record_action(
            connection,
            operator=operator,
            action="payouts.cancel",
            subject=case.order_id,
            reason=reason,
            detail={"attempt": attempt_id, "adapter": case.adapter},
            now=now,
        )
        await stop_order(connection, order_id=case.order_id, operator=operator, now=now)
    report = await _ask(adapter, case, limit=rails.capabilities[case.adapter].answer_within)
    if report is not None:
        async with transaction(engine, point="cancel.record") as connection:
            now = clock()
            news = [News(attempt_id=attempt_id, report=report)]
            await record(connection, news=news, now=now, capabilities=rails.capabilities)
            await hold_stopped(connection, order_id=case.order_id, now=now)
    async with reading(engine) as connection:
        after = await read_attempt(connection, attempt_id=attempt_id)
    return Cancelled(attempt_id, after.outcome, answered=report is not None)


def _stoppable(case: AttemptCase, rails: Rails) -> Cancels:
    """The rail that can stop it. Raises `AttemptClosed` and `CannotCancel`."""
    if case.closed_at is not None:
        raise AttemptClosed(case.attempt_id, outcome=case.outcome, at=case.closed_at, reason=case.reason)
    adapter = rails.get(case.adapter)
    if not isinstance(adapter, Cancels):
        raise CannotCancel(f"{case.adapter} can't stop a payment; ask its people, and give their answer as evidence.")
    if case.outcome not in STOPPABLE:
        raise CannotCancel(
            f"{case.attempt_id} is {case.outcome}: whether {case.adapter} has it isn't known yet, so it can't be stopped. "
            "It is being asked about; look again soon."
        )
    return adapter


async def _ask(adapter: Cancels, case: AttemptCase, *, limit: timedelta) -> Report | None:
    """The rail's answer; None if it gave none that tells anything. Whatever it was, polling goes on."""
    ref = AttemptRef(attempt_id=case.attempt_id, provider_ref=case.provider_ref, deliver=case.ordered, sent_at=case.sent_at)
    try:
        async with asyncio.timeout(limit.total_seconds()):
            report = checked_report(await adapter.cancel(ref))
    except Exception as error:  # noqa: BLE001 - a question that failed tells nothing of the payment
        log.warning("cancel_raised", attempt=case.attempt_id, error=type(error).__name__)
        return None
    return None if report.outcome is Outcome.UNKNOWN else report
