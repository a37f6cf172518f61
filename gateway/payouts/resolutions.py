"""Resolve attempts of which no rail says what became of them: a person gives evidence, a second one agrees.

There is no way to set a state. Evidence goes to `record()`, as a rail's own answer does, under the same locks and guards: of
a person and a rail that speak at once the first is heard, the other is told what happened meanwhile, and a rail that
contradicts a person later opens an incident.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import wake
from gateway.ids import new_id
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money
from gateway.offramp import Fault
from gateway.operators.actions import record_action
from gateway.payouts.casework import AttemptCase, open_attempt, read_attempt
from gateway.payouts.errors import (
    AttemptClosed,
    NothingOwed,
    NotRecorded,
    ProposalDecided,
    ProposalNotFound,
    ProposalOpen,
    ProposalVoid,
    ProposerDisabled,
    SamePerson,
    StillRunning,
)
from gateway.payouts.evidence import LOSES, BadEvidence, Evidence, ResolutionRules, Verdict, check_evidence, report_of
from gateway.payouts.record import OPERATOR, News, record

DISCHARGED, OVERPAID = "discharged", "overpaid"
"""Templates of the entries that are made here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of a person's evidence."""

    resolution_id: str
    attempt_id: str
    order_id: str
    recorded: bool
    """False: it waits for a second person."""


_WAITING = text("SELECT id, proposed_by, standing FROM resolutions WHERE attempt_id = :attempt_id AND outcome IS NULL")
_PROPOSE = text("""
INSERT INTO resolutions (id, attempt_id, order_id, verdict, said, place, seen_at, provider_ref, receipt, asset, units, fault,
    standing, persons, proposed_by, proposed_at)
VALUES (:id, :attempt_id, :order_id, :verdict, :said, :place, :seen_at, :provider_ref, :receipt, :asset, :units, :fault,
    CAST(:standing AS jsonb), :persons, :operator, :now)
""")
_FIND = text("""
SELECT r.*, a.decimals FROM resolutions AS r LEFT JOIN assets AS a ON a.code = r.asset WHERE r.id = :resolution_id
""")
_DECIDE = text("UPDATE resolutions SET outcome = :outcome, decided_by = :by, decided_at = :now WHERE id = :resolution_id")
# Held until the end, so that nobody is disabled while their word is being used.
_MAY = text("SELECT FROM operators WHERE name = :name AND disabled_at IS NULL FOR SHARE")


async def propose(
    connection: AsyncConnection,
    *,
    attempt_id: str,
    evidence: Evidence,
    rules: ResolutionRules,
    operator: str,
    reason: str,
    now: datetime,
) -> Decision:
    """Say what became of an attempt, in the caller's transaction. Recorded at once where one person is enough.

    Raises `AttemptNotFound`, `AttemptClosed`, `StillRunning`, `NothingOwed`, `BadEvidence`, `ProposalOpen`, `NotRecorded`,
    and as `record_action` does. Then nothing may be committed.
    """
    case = await open_attempt(connection, attempt_id=attempt_id)
    _check_open_to(evidence.verdict, case, rules=rules, now=now)
    sent_at = case.last_sent_at if evidence.verdict in LOSES else case.sent_at
    check_evidence(evidence, ordered=case.ordered, sent_at=sent_at, now=now)
    if evidence.verdict is Verdict.DISCHARGED and evidence.delivered is not None and case.owed < evidence.delivered:
        raise BadEvidence(f"{case.owed} are owed still; more than that can't be discharged", field="amount")
    await _make_room(connection, case, now=now)
    resolution_id, persons = new_id("res", now=now), rules.persons(case.sent)
    delivered = evidence.delivered
    values = {
        "id": resolution_id,
        "attempt_id": attempt_id,
        "order_id": case.order_id,
        "verdict": evidence.verdict,
        "said": evidence.said.strip(),
        "place": evidence.place.strip(),
        "seen_at": evidence.seen_at,
        "provider_ref": evidence.provider_ref,
        "receipt": evidence.receipt,
        "asset": delivered and delivered.asset.code,
        "units": delivered and delivered.units,
        "fault": evidence.fault,
        "standing": json.dumps(dict(case.standing)),
        "persons": persons,
        "operator": operator,
        "now": now,
    }
    action = "resolve" if persons == 1 else "propose"
    await _write_down(connection, action, case, resolution_id, evidence, operator=operator, reason=reason, now=now)
    await connection.execute(_PROPOSE, values)
    if persons == 1:
        await _decide(connection, resolution_id, outcome="recorded", by=operator, now=now)
        await _carry_out(connection, case, resolution_id, evidence, rules=rules, now=now)
    return Decision(resolution_id=resolution_id, attempt_id=attempt_id, order_id=case.order_id, recorded=persons == 1)


async def approve(
    connection: AsyncConnection,
    *,
    resolution_id: str,
    operator: str,
    reason: str,
    rules: ResolutionRules,
    now: datetime,
) -> Decision:
    """Agree, as a second person, to what another proposed: it is recorded, in the caller's transaction and once.

    Raises `ProposalNotFound`, `ProposalDecided`, `SamePerson`, `ProposerDisabled`, `ProposalVoid`, `NotRecorded`, and as
    `record_action` does. Then nothing may be committed.
    """
    case, proposal = await _open_proposal(connection, resolution_id=resolution_id)
    if proposal.proposed_by == operator:
        raise SamePerson(operator)
    if (await connection.execute(_MAY, {"name": proposal.proposed_by})).first() is None:
        raise ProposerDisabled(proposal.proposed_by)
    if proposal.standing != case.standing:
        raise ProposalVoid(resolution_id, attempt_id=case.attempt_id, outcome=case.outcome, reason=case.reason)
    evidence = _evidence(proposal)
    await _write_down(connection, "approve", case, resolution_id, evidence, operator=operator, reason=reason, now=now)
    await _decide(connection, resolution_id, outcome="recorded", by=operator, now=now)
    await _carry_out(connection, case, resolution_id, evidence, rules=rules, now=now)
    return Decision(resolution_id=resolution_id, attempt_id=case.attempt_id, order_id=case.order_id, recorded=True)


async def refuse(connection: AsyncConnection, *, resolution_id: str, operator: str, reason: str, now: datetime) -> None:
    """Refuse a proposal, or withdraw one's own: nothing is recorded, and another may be made.

    Raises `ProposalNotFound`, `ProposalDecided`, and as `record_action` does.
    """
    case, proposal = await _open_proposal(connection, resolution_id=resolution_id)
    evidence = _evidence(proposal)
    await _write_down(connection, "refuse", case, resolution_id, evidence, operator=operator, reason=reason, now=now)
    await _decide(connection, resolution_id, outcome="refused", by=operator, now=now)


def _check_open_to(verdict: Verdict, case: AttemptCase, *, rules: ResolutionRules, now: datetime) -> None:
    """Whether anything is left to say, and whether it is a person's turn to say it."""
    if verdict is Verdict.DISCHARGED:
        if case.owed.units == 0:
            raise NothingOwed(case.order_id)
        return
    if case.closed_at is not None:
        if verdict is Verdict.RETURNED and case.outcome == "paid":
            return
        raise AttemptClosed(case.attempt_id, outcome=case.outcome, at=case.closed_at, reason=case.reason)
    settles_by = case.sent_at + rules.settles_within(case.adapter)
    if case.outcome != "unknown" and now <= settles_by:
        raise StillRunning(case.attempt_id, outcome=case.outcome, until=settles_by)
    # Perhaps it is being sent again at this moment: then it may be paid after all, whatever a person has just seen.
    if verdict in LOSES and case.lease_until is not None and now < case.lease_until:
        raise StillRunning(case.attempt_id, outcome=case.outcome, until=case.lease_until)


async def _make_room(connection: AsyncConnection, case: AttemptCase, *, now: datetime) -> None:
    """Put a void proposal away. Raises `ProposalOpen` for one that still holds."""
    waiting = (await connection.execute(_WAITING, {"attempt_id": case.attempt_id})).one_or_none()
    if waiting is None:
        return
    if waiting.standing == case.standing:
        raise ProposalOpen(waiting.id, by=waiting.proposed_by)
    await _decide(connection, waiting.id, outcome="void", by=None, now=now)


async def _open_proposal(connection: AsyncConnection, *, resolution_id: str) -> tuple[AttemptCase, Row[tuple[object, ...]]]:
    """Lock what the proposal is about, and read both. Raises `ProposalNotFound` and `ProposalDecided`."""
    found = (await connection.execute(_FIND, {"resolution_id": resolution_id})).one_or_none()
    if found is None:
        raise ProposalNotFound
    case = await open_attempt(connection, attempt_id=found.attempt_id)
    # Again, now that nobody else can decide it.
    proposal = (await connection.execute(_FIND, {"resolution_id": resolution_id})).one()
    if proposal.outcome is not None:
        raise ProposalDecided(resolution_id, outcome=proposal.outcome, by=proposal.decided_by, at=proposal.decided_at)
    return case, proposal


async def _decide(connection: AsyncConnection, resolution_id: str, *, outcome: str, by: str | None, now: datetime) -> None:
    await connection.execute(_DECIDE, {"resolution_id": resolution_id, "outcome": outcome, "by": by, "now": now})


async def _write_down(
    connection: AsyncConnection,
    action: str,
    case: AttemptCase,
    resolution_id: str,
    evidence: Evidence,
    *,
    operator: str,
    reason: str,
    now: datetime,
) -> None:
    await record_action(
        connection,
        operator=operator,
        action=f"payouts.{action}",
        subject=case.order_id,
        reason=reason,
        detail={"attempt": case.attempt_id, "resolution": resolution_id, "verdict": evidence.verdict},
        now=now,
    )


def _evidence(row: Row[tuple[object, ...]]) -> Evidence:
    return Evidence(
        verdict=Verdict(row.verdict),
        said=row.said,
        place=row.place,
        seen_at=row.seen_at,
        provider_ref=row.provider_ref,
        receipt=row.receipt,
        delivered=None if row.asset is None else Money(int(row.units), Asset(row.asset, row.decimals)),
        fault=None if row.fault is None else Fault(row.fault),
    )


async def _carry_out(
    connection: AsyncConnection,
    case: AttemptCase,
    resolution_id: str,
    evidence: Evidence,
    *,
    rules: ResolutionRules,
    now: datetime,
) -> None:
    """Do what the evidence shows. What was paid beyond the order was taken from our account: the rail owes it to us."""
    rail, delivered = f"rail:{case.adapter}", evidence.delivered
    if evidence.verdict is Verdict.DISCHARGED and delivered is not None:
        transfer = Transfer(f"order:{case.order_id}:owed", rail, delivered)
        entry = Entry(f"resolution:{resolution_id}", DISCHARGED, (transfer,), case.order_id)
        await post(connection, entries=[entry], now=now)
        return
    report = report_of(evidence, ordered=case.ordered, resolution_id=resolution_id)
    news = News(attempt_id=case.attempt_id, report=report, source=OPERATOR)
    # With what the rail can: money that comes back after a person called it paid is noticed too.
    await record(connection, news=[news], now=now, capabilities=rules.capabilities)
    after = await read_attempt(connection, attempt_id=case.attempt_id)
    if after.closed_at is None or after.outcome != report.outcome:
        raise NotRecorded(case.attempt_id, outcome=after.outcome)
    if delivered is not None and case.ordered < delivered:
        transfer = Transfer(f"claims:{case.adapter}", rail, delivered - case.ordered)
        entry = Entry(f"resolution:{resolution_id}", OVERPAID, (transfer,), case.order_id)
        await post(connection, entries=[entry], now=now)
    await wake(connection, "orders")
