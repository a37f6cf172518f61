"""Tables of fills. Their guards stand in the migration: they hold whoever writes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Integer, Interval, LargeBinary, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import moment, text, units


class FillClient(SQLModel, table=True):
    """A gateway that may offer payouts to partners, our own among them."""

    __tablename__ = "fill_clients"

    id: str = text(primary_key=True)
    name: str = text(unique=True)
    secret_version: int = Field(sa_type=Integer)
    """Its secret is made from this, its id and our key; another version makes another secret."""
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(default=None)


class Fill(SQLModel, table=True):
    """A payout offered to one partner, who pays it out of his own means."""

    __tablename__ = "fills"

    id: str = text(primary_key=True)
    client_id: str = text(foreign_key="fill_clients.id")
    reference: str = text()
    """The client's own, an attempt's id: one fill each."""
    request_hash: bytes = Field(sa_type=LargeBinary)
    partner_id: str = text(foreign_key="partners.id")
    state: str = text()
    asset: str = text()
    decimals: int = Field(sa_type=SmallInteger)
    units: int = units()
    country: str = text()
    method: str = text()
    institution: str | None = text(default=None)
    account: str = text(repr=False)
    holder: str = text(repr=False)
    offered_until: datetime = moment()
    fulfil_within: timedelta = Field(sa_type=Interval)
    fulfil_by: datetime | None = moment(default=None)
    """By when he has to have paid, since he accepted."""
    reason: str | None = text(default=None)
    """Why he declined, or why it came back: a word of the contract."""
    proof: str | None = text(default=None)
    """His own reference of what he paid."""
    late_proof: str | None = text(default=None)
    """What he claims to have paid although the offer had ended: a person judges it."""
    created_at: datetime = moment()
    updated_at: datetime = moment()
