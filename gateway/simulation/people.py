"""Operators who look up at the rail what became of a payment, and say so: one proposes, another agrees."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import transaction
from gateway.money import Asset, Money
from gateway.offramp import Fault
from gateway.operators.accounts import add_operator
from gateway.payouts.evidence import Evidence, ResolutionRules, Verdict
from gateway.payouts.resolutions import approve, propose
from gateway.simulation.chain import USDC
from gateway.simulation.rails import Payment, SimRail

FIRST, SECOND = "amina", "brian"
TWO_PERSONS_ABOVE = Money(100_00, Asset("USD", 2))
REASON = "seen on the provider's statement"


async def hire(connection: AsyncConnection, *, now: datetime) -> None:
    """Add the two who decide."""
    for name in (FIRST, SECOND):
        await add_operator(connection, name=name, password_hash="none", now=now)  # noqa: S106 - nobody signs in


async def resolve(engine: AsyncEngine, *, rail: SimRail, attempt_id: str, now: datetime) -> None:
    """Say of an attempt what its rail's own books say."""
    evidence = _evidence(rail.payments.get(attempt_id), now=now)
    rules = ResolutionRules(above=TWO_PERSONS_ABOVE, dollars=[USDC.code], capabilities={rail.kind.name: rail.capabilities()})
    async with transaction(engine) as connection:
        made = await propose(
            connection, attempt_id=attempt_id, evidence=evidence, rules=rules, operator=FIRST, reason=REASON, now=now
        )
    if made.recorded:
        return
    async with transaction(engine) as connection:
        await approve(connection, resolution_id=made.resolution_id, operator=SECOND, reason=REASON, rules=rules, now=now)


def _evidence(payment: Payment | None, *, now: datetime) -> Evidence:
    said, place = "a line of the statement", "the provider's portal"
    if payment is None or payment.phase in ("processing", "failed"):
        fault = (payment and payment.fault) or Fault.TRANSIENT
        return Evidence(verdict=Verdict.FAILED, said=said, place=place, seen_at=now, fault=fault)
    reference = f"statement {payment.instruction.attempt_id}"
    if payment.phase == "returned":
        return Evidence(
            verdict=Verdict.RETURNED,
            said=said,
            place=place,
            seen_at=now,
            fault=Fault.RECIPIENT,
        )
    ordered = payment.instruction.deliver
    return Evidence(
        verdict=Verdict.PAID if payment.paid_units == ordered.units else Verdict.PAID_IN_PART,
        said=said,
        place=place,
        seen_at=now,
        provider_ref=reference,
        delivered=Money(payment.paid_units, ordered.asset),
    )
