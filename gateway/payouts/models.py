"""Tables of payouts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, LargeBinary, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text, units


class Attempt(SQLModel, table=True):
    """One instruction to one adapter. Committed before the first byte is sent; its id is the key on the wire.

    At most one per order is open (a unique index says so), and an unknown outcome keeps it open.
    """

    __tablename__ = "attempts"

    id: str = text(primary_key=True)
    order_id: str = text(foreign_key="orders.id")
    adapter: str = text()
    deliver_asset: str = text(foreign_key="assets.code")
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
    way: int = Field(sa_type=SmallInteger, default=0)
    """Which way to the recipient it takes: 0 is the quote's own, others are ranks of `recipient_ways`."""
    batch_id: str | None = text(default=None)
    """The bulk instruction that it was a part of."""


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
