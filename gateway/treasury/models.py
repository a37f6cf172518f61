"""Tables of the treasury: statements as they were read, and what comparing the books with the outside found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKeyConstraint, Integer, Numeric
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text, units

_SUM = Numeric(96, 0)


class StatementLineRow(SQLModel, table=True):
    """One movement on our account at a rail, as its statement has it. Append-only."""

    __tablename__ = "statement_lines"

    rail: str = text(primary_key=True)
    line_id: str = text(primary_key=True)
    kind: str = text()
    asset: str = text(foreign_key="assets.code")
    units: int = units()
    leaves: bool = Field(sa_type=Boolean)
    at: datetime = moment()
    attempt_id: str | None = text(default=None)
    """As the statement names it; there may be no such attempt."""
    provider_ref: str | None = text(default=None)
    imported_at: datetime = moment()


class StatementPeriod(SQLModel, table=True):
    """A span of time of which we have read all lines of a rail's statement."""

    __tablename__ = "statement_periods"

    id: int | None = bigint(default=None, primary_key=True)
    rail: str = text()
    since: datetime = moment()
    until: datetime = moment()
    source: str = text()
    """asked, or file."""
    lines: int = Field(sa_type=Integer)
    added: int = Field(sa_type=Integer)
    """How many of the lines were new."""
    imported_at: datetime = moment()


class StatementBooking(SQLModel, table=True):
    """A line that a person explained by an entry of the journal. Append-only."""

    __tablename__ = "statement_bookings"
    __table_args__ = (ForeignKeyConstraint(["rail", "line_id"], ["statement_lines.rail", "statement_lines.line_id"]),)

    rail: str = text(primary_key=True)
    line_id: str = text(primary_key=True)
    cause: str = text(foreign_key="journal_entries.cause")


class ReconciliationRow(SQLModel, table=True):
    """One comparison of the books with the outside."""

    __tablename__ = "reconciliations"

    id: str = text(primary_key=True)
    period: datetime | None = moment(default=None, unique=True)
    """When its turn began; None: a person ran it."""
    started_at: datetime = moment()
    lease_until: datetime = moment()
    """When another worker may take the period over, if this one hasn't finished."""
    finished_at: datetime | None = moment(default=None)
    outcome: str | None = text(default=None)
    """equal, breaks or incomplete."""
    breaks: int = Field(sa_type=Integer, default=0)
    blocks: dict[str, int] = document(default_factory=dict)
    """Up to which block each chain was compared, by chain id."""
    report: dict[str, Any] = document(default_factory=dict)


class BreakRow(SQLModel, table=True):
    """A difference. Open until a later run doesn't find it, or a person has booked it; kept for ever."""

    __tablename__ = "reconciliation_breaks"

    id: str = text(primary_key=True)
    cause: str = text()
    """What differs: the same difference is one open break however often it is found."""
    checked_by: str = text()
    """Which comparison finds it, and closes it by not finding it."""
    kind: str = text()
    place: str = text()
    """The account of the ledger that is concerned."""
    asset: str | None = text(default=None)
    ours: int | None = Field(sa_type=_SUM, default=None)
    theirs: int | None = Field(sa_type=_SUM, default=None)
    effect: int = Field(sa_type=_SUM)
    """By how much more there is at the place than the books say; below 0: less. 0: the difference is within the books."""
    order_id: str | None = text(default=None)
    attempt_id: str | None = text(default=None)
    rail: str | None = text(default=None)
    line_id: str | None = text(default=None)
    detail: dict[str, str] = document(default_factory=dict)
    said: str = text()
    next_step: str = text()
    since: datetime | None = moment(default=None)
    found_at: datetime = moment()
    found_by: str = text(foreign_key="reconciliations.id")
    seen_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
    closed_because: str | None = text(default=None)
    """gone: a later run didn't find it any more; booked: a person explained it."""
    closed_by: str | None = text(default=None, foreign_key="operators.name")
    booked_cause: str | None = text(default=None, foreign_key="journal_entries.cause")
