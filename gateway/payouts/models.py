"""Tables of payouts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, Integer, Interval, LargeBinary, Numeric, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text, units


class Attempt(SQLModel, table=True):
    """One instruction to one adapter. Committed before the first byte is sent; its id is the key on the wire.

    At most one per order is open (a unique index says so), and an unknown outcome keeps it open.
    """

    __tablename__ = "attempts"

    id: str = text(primary_key=True)
    order_id: str = text()
    adapter: str = text()
    deliver_asset: str = text()
    deliver_units: int = units()
    outcome: str = text()
    """sending (no answer recorded yet), or a gateway.offramp.Outcome."""
    fault: str | None = text(default=None)
    provider_ref: str | None = text(default=None)
    receipt: str | None = text(default=None)
    reason: str | None = text(default=None)
    evidence: dict[str, str] = document(default_factory=dict)
    asks: int = Field(sa_type=Integer, default=0)
    """How often we asked or sent again since the first sending."""
    due_at: datetime | None = moment(default=None)
    lease_token: int = bigint(default=0)
    """Fence: only the holder of the newest token may record."""
    lease_until: datetime | None = moment(default=None)
    created_at: datetime = moment()
    updated_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
    resent_at: datetime | None = moment(default=None)
    """When it may have been sent again last; None: it was sent once."""
    way: int = Field(sa_type=SmallInteger, default=0)
    """Which way to the recipient it takes: 0 is the quote's own, others are ranks of `recipient_ways`."""
    batch_id: str | None = text(default=None)
    """The bulk instruction that it was a part of."""
    source: str = text(default="rail")
    """Whose word the latest report is: rail, operator, statement."""
    turns: int = Field(sa_type=SmallInteger, default=0)
    """How often its rail said something else after it was closed, and that counted."""
    delivered_units: int | None = units(default=None)
    """What was delivered of a payment in part; None: all of it or nothing."""
    claimed: bool = Field(sa_type=Boolean, default=False)
    """Paid without need (late, or twice): its amount stands on claims:<rail>, and the order was settled otherwise."""


class AttemptReport(SQLModel, table=True):
    """What a rail or a person said of an attempt, where that no longer stands in the attempt itself. Append-only."""

    __tablename__ = "attempt_reports"

    id: int | None = bigint(default=None, primary_key=True)
    attempt_id: str = text(foreign_key="attempts.id")
    at: datetime = moment()
    """When it was recorded; of one that was replaced: when it had been."""
    source: str = text()
    """rail, operator, statement..."""
    outcome: str = text()
    fault: str | None = text(default=None)
    reason: str | None = text(default=None)
    provider_ref: str | None = text(default=None)
    evidence: dict[str, str] = document(default_factory=dict)


class PickupRow(SQLModel, table=True):
    """What a recipient shows to be paid in cash; read only where it is shown to them, the sender or the partner."""

    __tablename__ = "pickups"

    attempt_id: str = text(primary_key=True, foreign_key="attempts.id")
    code: str = text(repr=False)
    expires_at: datetime | None = moment(default=None)
    place: str | None = text(default=None)
    at: datetime = moment()


class CallbackRow(SQLModel, table=True):
    """The inbox: what a rail told us, stored before it was answered. The same event of an adapter is stored once."""

    __tablename__ = "callbacks"

    id: int | None = bigint(default=None, primary_key=True)
    adapter: str = text()
    event_id: str = text()
    attempt_id: str = text()
    label: str = text()
    headers: dict[str, str] = document(default_factory=dict)
    body: bytes = Field(sa_type=LargeBinary, repr=False)
    received_at: datetime = moment()
    handled_at: datetime | None = moment(default=None)
    result: str | None = text(default=None)
    """What handling it came to: one word for the log."""


class Resolution(SQLModel, table=True):
    """What a person says became of an attempt, with what shows it. Recorded at once, or when another person agrees."""

    __tablename__ = "resolutions"

    id: str = text(primary_key=True)
    attempt_id: str = text(foreign_key="attempts.id")
    order_id: str = text(foreign_key="orders.id")
    verdict: str = text()
    """A gateway.payouts.evidence.Verdict."""
    said: str = text(repr=False)
    """What the provider said."""
    place: str = text(repr=False)
    """Where it was seen, as in "portal, statement of 20 November"."""
    seen_at: datetime = moment()
    provider_ref: str | None = text(default=None)
    receipt: str | None = text(default=None)
    asset: str | None = text(default=None, foreign_key="assets.code")
    units: int | None = units(default=None)
    """What was delivered."""
    fault: str | None = text(default=None)
    standing: dict[str, Any] = document(default_factory=dict)
    """How the attempt stood when this was proposed: if it stands otherwise, the proposal is void."""
    persons: int = Field(sa_type=SmallInteger)
    """How many it takes."""
    proposed_by: str = text(foreign_key="operators.name")
    proposed_at: datetime = moment()
    outcome: str | None = text(default=None)
    """recorded, refused or void; None: open."""
    decided_by: str | None = text(default=None, foreign_key="operators.name")
    decided_at: datetime | None = moment(default=None)


class EvidenceFile(SQLModel, table=True):
    """A file that shows something of an attempt. Append-only."""

    __tablename__ = "evidence_files"

    id: int | None = bigint(default=None, primary_key=True)
    attempt_id: str = text(foreign_key="attempts.id")
    name: str = text(repr=False)
    size: int = Field(sa_type=Integer)
    """In bytes."""
    sha256: str = text()
    content: bytes = Field(sa_type=LargeBinary, repr=False)
    added_by: str = text(foreign_key="operators.name")
    added_at: datetime = moment()


class OrderStop(SQLModel, table=True):
    """An order that a person stopped while a rail had it: as soon as it is funded again, it is held and not sent."""

    __tablename__ = "order_stops"

    order_id: str = text(primary_key=True, foreign_key="orders.id")
    stopped_by: str = text(foreign_key="operators.name")
    stopped_at: datetime = moment()


class OrderRedirect(SQLModel, table=True):
    """Who sent an order's money to another account than the one that was refused. Append-only; accounts are masked.

    The way that it added is the row of `recipient_ways` with the same rank.
    """

    __tablename__ = "order_redirects"

    order_id: str = text(primary_key=True, foreign_key="orders.id")
    rank: int = Field(sa_type=SmallInteger, primary_key=True)
    method: str = text()
    account_masked: str = text()
    refused_rank: int = Field(sa_type=SmallInteger)
    refused_masked: str = text()
    by: str = text()
    """tracker, partner:<id> or operator:<name>."""
    at: datetime = moment()


class RailState(SQLModel, table=True):
    """What all processes together know of a rail: its breaker (gateway.payouts.health) and when it may be called again."""

    __tablename__ = "rail_states"

    rail: str = text(primary_key=True)
    state: str = text(default="closed")
    since: datetime | None = moment(default=None)
    reason: str | None = text(default=None)
    stopped_by: str | None = text(default=None, foreign_key="operators.name")
    open_until: datetime | None = moment(default=None)
    openings: int = Field(sa_type=Integer, default=0)
    in_row: int = Field(sa_type=Integer, default=0)
    good: int = Field(sa_type=Integer, default=0)
    bad: int = Field(sa_type=Integer, default=0)
    window_from: datetime | None = moment(default=None)
    next_call_at: datetime | None = moment(default=None)
    """GCRA's theoretical arrival time (gateway.payouts.gcra)."""
    call_interval: timedelta | None = Field(sa_type=Interval, default=None)


class RailBalance(SQLModel, table=True):
    """What we hold at a rail by the ledger; below zero where payouts were booked but no top-up. Kept by the database."""

    __tablename__ = "rail_balances"

    rail: str = text(primary_key=True)
    asset: str = text(primary_key=True, foreign_key="assets.code")
    held: int = Field(sa_type=Numeric(96, 0))
    top_ups: int = bigint()
    """How many were booked. Without one the rail's float isn't tracked: nobody told us what is there."""


class Batch(SQLModel, table=True):
    """Payments that went to a rail as one instruction, or were to. Append-only; each payment keeps its own attempt."""

    __tablename__ = "batches"

    id: str = text(primary_key=True)
    rail: str = text()
    slot: datetime = moment()
    """The drop that its orders waited for."""
    created_at: datetime = moment()
