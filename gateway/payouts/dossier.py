"""All that is known of an order's payout, for the person who decides: answers, callbacks, evidence, steps, ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.payouts.casework import AttemptCase, read_attempt
from gateway.payouts.evidence import Verdict
from gateway.payouts.files import KeptFile, list_files

BODY_MOST = 4_000
"""Characters of a callback's body that are shown; the rest is in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionView:
    """What a person said of an attempt, and what came of it."""

    id: str
    verdict: Verdict
    said: str = field(repr=False)
    place: str = field(repr=False)
    seen_at: datetime
    provider_ref: str | None
    receipt: str | None
    delivered: Money | None
    fault: str | None
    persons: int
    proposed_by: str
    proposed_at: datetime
    outcome: str
    """open, recorded, refused or void."""
    decided_by: str | None
    decided_at: datetime | None


class ReportView(NamedTuple):
    """What was said of an attempt and stands there no longer, or never did."""

    at: datetime
    source: str
    """Who said it: rail, operator, statement, old_lease."""
    outcome: str
    fault: str | None
    reason: str | None
    provider_ref: str | None
    evidence: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackView:
    """What a rail told us."""

    received_at: datetime
    label: str
    result: str | None
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegView:
    """One step of a payment that takes several."""

    id: str
    name: str
    outcome: str
    fault: str | None
    reason: str | None
    provider_ref: str | None
    gave: Money | None
    """What it took out of our account at the rail."""
    got: Money | None
    evidence: Mapping[str, str] = field(repr=False)
    asks: int
    created_at: datetime
    sent_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFile:
    """One attempt with all that was said of it."""

    case: AttemptCase
    fault: str | None
    evidence: Mapping[str, str] = field(repr=False)
    """The rail's last answer, redacted."""
    asks: int
    due_at: datetime | None
    way: int
    batch_id: str | None
    delivered: Money | None
    """What was delivered of a payment in part."""
    claimed: bool
    """It was paid without need, and its rail owes us that."""
    reports: tuple[ReportView, ...]
    callbacks: tuple[CallbackView, ...]
    resolutions: tuple[ResolutionView, ...]
    files: tuple[KeptFile, ...]
    legs: tuple[LegView, ...] = ()
    """Its steps, if its rail pays in several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of the order."""

    event: str
    state: str
    cause: str
    data: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One posting of the order."""

    template: str
    source: str
    destination: str
    money: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """All of it; lists the oldest first."""

    order_id: str
    state: str
    attempts: tuple[AttemptFile, ...]
    steps: tuple[StepView, ...]
    ledger: tuple[LedgerLine, ...]
    incidents: tuple[Mapping[str, Any], ...]


_ORDER = text("""
SELECT id, state FROM orders
WHERE id = COALESCE((SELECT order_id FROM attempts WHERE id = :subject), :subject)
""")
_ATTEMPTS = text("SELECT * FROM attempts WHERE order_id = :order_id ORDER BY id LIMIT 1000")
_REPORTS = text("""
SELECT at, source, outcome, fault, reason, provider_ref, evidence FROM attempt_reports
WHERE attempt_id = :attempt_id ORDER BY id LIMIT 500
""")
_LEGS = text("""
SELECT l.*, gave.decimals AS gave_decimals, got.decimals AS got_decimals FROM legs AS l
LEFT JOIN assets AS gave ON gave.code = l.gave_asset LEFT JOIN assets AS got ON got.code = l.got_asset
WHERE l.attempt_id = :attempt_id ORDER BY l.number
""")
_CALLBACKS = text("SELECT * FROM callbacks WHERE attempt_id = :attempt_id ORDER BY id DESC LIMIT 50")
_RESOLUTIONS = text("""
SELECT r.*, a.decimals FROM resolutions AS r LEFT JOIN assets AS a ON a.code = r.asset
WHERE r.attempt_id = :attempt_id ORDER BY r.id
""")
_RESOLUTION = text("""
SELECT r.*, a.decimals FROM resolutions AS r LEFT JOIN assets AS a ON a.code = r.asset WHERE r.id = :resolution_id
""")
_STEPS = text("SELECT * FROM order_events WHERE order_id = :order_id ORDER BY version LIMIT 1000")
_LEDGER = text("""
SELECT p.template, p.posted_at, p.source, p.destination, p.asset, p.units, a.decimals
FROM postings AS p JOIN assets AS a ON a.code = p.asset
WHERE p.order_id = :order_id ORDER BY p.journal_id, p.line LIMIT 2000
""")
_INCIDENTS = text("""
SELECT id, kind, detail, opened_at, closed_at, closed_by FROM incidents WHERE order_id = :order_id ORDER BY id LIMIT 200
""")


async def dossier(connection: AsyncConnection, *, subject: str) -> Dossier | None:
    """Everything about an order, by its id or by an attempt's; None: there is no such thing."""
    order = (await connection.execute(_ORDER, {"subject": subject})).one_or_none()
    if order is None:
        return None
    of = {"order_id": order.id}
    attempts = [await _attempt(connection, row) for row in (await connection.execute(_ATTEMPTS, of)).all()]
    return Dossier(
        order_id=order.id,
        state=order.state,
        attempts=tuple(attempts),
        steps=tuple(
            StepView(event=row.event, state=row.to_state, cause=row.cause, data=row.data, at=row.at)
            for row in await connection.execute(_STEPS, of)
        ),
        ledger=tuple(
            LedgerLine(
                template=row.template,
                source=row.source,
                destination=row.destination,
                money=Money(int(row.units), Asset(row.asset, row.decimals)),
                at=row.posted_at,
            )
            for row in await connection.execute(_LEDGER, of)
        ),
        incidents=tuple(dict(row) for row in (await connection.execute(_INCIDENTS, of)).mappings()),
    )


async def read_resolution(connection: AsyncConnection, *, resolution_id: str) -> tuple[str, ResolutionView] | None:
    """The attempt's id and what a person said of it; None: there is no such resolution."""
    row = (await connection.execute(_RESOLUTION, {"resolution_id": resolution_id})).one_or_none()
    if row is None:
        return None
    return row.attempt_id, _resolution(row, await read_attempt(connection, attempt_id=row.attempt_id))


async def _attempt(connection: AsyncConnection, row: Row[tuple[Any, ...]]) -> AttemptFile:
    of = {"attempt_id": row.id}
    case = await read_attempt(connection, attempt_id=row.id)
    callbacks = (await connection.execute(_CALLBACKS, of)).all()
    return AttemptFile(
        case=case,
        fault=row.fault,
        evidence=row.evidence,
        asks=row.asks,
        due_at=row.due_at,
        way=row.way,
        batch_id=row.batch_id,
        delivered=None if row.delivered_units is None else Money(int(row.delivered_units), case.ordered.asset),
        claimed=row.claimed,
        reports=tuple(ReportView(*one) for one in await connection.execute(_REPORTS, of)),
        callbacks=tuple(
            CallbackView(received_at=one.received_at, label=one.label, result=one.result, body=_shown(one.body))
            for one in reversed(callbacks)
        ),
        resolutions=tuple(_resolution(one, case) for one in await connection.execute(_RESOLUTIONS, of)),
        files=tuple(await list_files(connection, attempt_id=row.id)),
        legs=tuple(_leg(one) for one in await connection.execute(_LEGS, of)),
    )


def _resolution(row: Row[tuple[Any, ...]], case: AttemptCase) -> ResolutionView:
    void = row.outcome is None and row.standing != case.standing
    return ResolutionView(
        id=row.id,
        verdict=Verdict(row.verdict),
        said=row.said,
        place=row.place,
        seen_at=row.seen_at,
        provider_ref=row.provider_ref,
        receipt=row.receipt,
        delivered=None if row.asset is None else Money(int(row.units), Asset(row.asset, row.decimals)),
        fault=row.fault,
        persons=row.persons,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        outcome="void" if void else row.outcome or "open",
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )


def _leg(row: Row[tuple[Any, ...]]) -> LegView:
    def money(units: int | None, asset: str | None, decimals: int | None) -> Money | None:
        return None if units is None or asset is None or decimals is None else Money(int(units), Asset(asset, decimals))

    return LegView(
        id=row.id,
        name=row.name,
        outcome=row.outcome,
        fault=row.fault,
        reason=row.reason,
        provider_ref=row.provider_ref,
        gave=money(row.gave_units, row.gave_asset, row.gave_decimals),
        got=money(row.got_units, row.got_asset, row.got_decimals),
        evidence=row.evidence,
        asks=row.asks,
        created_at=row.created_at,
        sent_at=row.sent_at,
        closed_at=row.closed_at,
    )


def _shown(body: bytes) -> str:
    return body[:BODY_MOST].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
