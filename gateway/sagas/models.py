"""Tables of payments in legs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Integer, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text, units


class LegRow(SQLModel, table=True):
    """One step of one attempt. Committed before anything of it is sent; its id is the key on the wire.

    At most one per attempt is open, and it begins only when the one before it is paid: the database says so.
    """

    __tablename__ = "legs"

    id: str = text(primary_key=True)
    attempt_id: str = text(foreign_key="attempts.id")
    rail: str = text()
    number: int = Field(sa_type=SmallInteger)
    """From 1."""
    name: str = text()
    """The adapter's word for it."""
    on_chain: bool = Field(sa_type=Boolean)
    outcome: str = text()
    """As an attempt's."""
    provider_ref: str | None = text(default=None)
    receipt: str | None = text(default=None)
    gave_asset: str | None = text(default=None, foreign_key="assets.code")
    gave_units: int | None = units(default=None)
    got_asset: str | None = text(default=None, foreign_key="assets.code")
    got_units: int | None = units(default=None)
    fee_asset: str | None = text(default=None, foreign_key="assets.code")
    fee_units: int | None = units(default=None)
    facts: dict[str, str] = document(default_factory=dict)
    """What the legs after it have to know."""
    fault: str | None = text(default=None)
    reason: str | None = text(default=None)
    evidence: dict[str, str] = document(default_factory=dict)
    asks: int = Field(sa_type=Integer, default=0)
    due_at: datetime | None = moment(default=None)
    lease_token: int = bigint(default=0)
    """Fence: only the holder of the newest token may record."""
    lease_until: datetime | None = moment(default=None)
    created_at: datetime = moment()
    sent_at: datetime | None = moment(default=None)
    """When it was sent first, or may have been; None: nothing of it has left us."""
    updated_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
