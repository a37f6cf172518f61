"""What a decision about a payout is about, as a person reads it before they decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.offramp import Fault
from gateway.payouts.casework import AttemptCase, read_attempt
from gateway.payouts.dossier import ResolutionView, read_resolution
from gateway.payouts.errors import AttemptNotFound
from gateway.payouts.evidence import Verdict
from gateway.payouts.files import list_files
from gateway.payouts.holds import held_orders
from gateway.web.console.decide import Facts
from gateway.web.console.looks import look_at_order
from gateway.web.services import WebServices

VERDICTS: Mapping[str, str] = {
    Verdict.PAID: "Paid: the recipient has what was ordered",
    Verdict.PAID_IN_PART: "Paid in part: they have less, the rest is still owed",
    Verdict.FAILED: "Failed: it was not and never will be paid",
    Verdict.RETURNED: "Returned: it was paid, and the money came back to our account",
    Verdict.DISCHARGED: "Discharged: the rest has been paid",
}
FAULTS: Mapping[str, str] = {
    Fault.RECIPIENT: "The recipient's: a wrong number, a full wallet",
    Fault.RAIL: "The rail's, or our account there",
    Fault.FLOAT: "Our float there was too low",
    Fault.TRANSIENT: "Nobody's: it may be tried again",
}


async def look_at_attempt(connection: AsyncConnection, _services: WebServices, subject: str) -> Facts | None:
    """An attempt by its id."""
    try:
        return facts_of(await read_attempt(connection, attempt_id=subject))
    except AttemptNotFound:
        return None


async def look_at_evidence(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    """A proposal by its id: the attempt, and all that was given to show what became of it."""
    found = await read_resolution(connection, resolution_id=subject)
    if found is None:
        return None
    attempt_id, resolution = found
    facts = await look_at_attempt(connection, services, attempt_id)
    files = await list_files(connection, attempt_id=attempt_id)
    kept = {f"File: {one.name}": f"{one.size} bytes, SHA-256 {one.sha256}, by {one.added_by}" for one in files}
    return {**(facts or {}), **evidence_facts(resolution), **kept}


async def look_at_held(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    """An order, and why it is held."""
    facts = await look_at_order(connection, services, subject)
    held = await held_orders(connection, order_id=subject)
    if facts is None or not held:
        return facts
    more = {"Its last rail said": held[0].said, "What to do": held[0].advice}
    said = {name: words for name, words in more.items() if words is not None}
    return {**facts, "Held because": held[0].reason.replace("_", " "), "Held since": moment(held[0].since), **said}


def facts_of(case: AttemptCase) -> Facts:
    """An attempt in words. Nothing that changes by being asked about."""
    known = {
        "Its reference": case.provider_ref,
        "Its receipt": case.receipt,
        "Still owed": str(case.owed) if case.owed.units else None,
        "Closed": case.closed_at and moment(case.closed_at),
    }
    return {
        "Attempt": case.attempt_id,
        "Order": case.order_id,
        "Rail": case.adapter,
        "Outcome": case.outcome,
        "To deliver": str(case.ordered),
        "Sent for it": str(case.sent),
        "Instructed": moment(case.sent_at),
        **{label: value for label, value in known.items() if value},
    }


def evidence_facts(resolution: ResolutionView) -> Facts:
    """What a person said, and what shows it."""
    known = {
        "The provider's reference": resolution.provider_ref,
        "Receipt": resolution.receipt,
        "Delivered": resolution.delivered and str(resolution.delivered),
        "Whose fault": resolution.fault and FAULTS[resolution.fault],
    }
    return {
        "Verdict": VERDICTS[resolution.verdict],
        "What the provider said": resolution.said,
        "Where it was seen": resolution.place,
        "When it was seen": moment(resolution.seen_at),
        **{label: value for label, value in known.items() if value},
        "Proposed by": resolution.proposed_by,
        "Proposed at": moment(resolution.proposed_at),
        "The proposal is": resolution.outcome,
    }


def moment(at: datetime) -> str:
    """A time as decisions show it."""
    return at.strftime("%Y-%m-%d %H:%M UTC")
