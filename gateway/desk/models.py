"""Tables of the desk. What can be derived from ledger, deposits and orders isn't stored."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Identity, Integer
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, moment, text, units


class Requote(SQLModel, table=True):
    """A new firm price, offered for money that an order's own price doesn't fit. Of several offers the newest counts."""

    __tablename__ = "requotes"

    id: str = text(primary_key=True)
    number: int | None = bigint(default=None, unique=True, sa_column_args=[Identity(always=True)])
    """Which offer is newer: two may be made in one millisecond."""
    order_id: str = text(foreign_key="orders.id")
    quote_id: str = text(unique=True, foreign_key="quotes.id")
    order_version: int | None = Field(default=None, sa_type=Integer)
    """The held order as it was when the offer was made; None: a new order will be made of its unallocated money."""
    offered_by: str = text(foreign_key="operators.name")
    offered_at: datetime = moment()
    consent_by: str | None = text(default=None)
    """Who agreed: "tracker", "partner:<id>" or "operator:<name>"."""
    consent_at: datetime | None = moment(default=None)
    consent_evidence: str | None = text(default=None)
    """How we know."""
    new_order_id: str | None = text(default=None, unique=True, foreign_key="orders.id")


class Stray(SQLModel, table=True):
    """Something final at a deposit address that the watcher can't see: another token, or the native coin."""

    __tablename__ = "strays"

    chain_id: int = bigint(primary_key=True)
    identity: str = text(primary_key=True)
    """"<tx hash>:<log index>" of a transfer; "native:<address>:<all that ever arrived>" of the native coin."""
    address: str = text(foreign_key="deposit_addresses.address")
    token: str = text()
    """The contract; the zero address for the native coin."""
    asset: str | None = text(default=None, foreign_key="assets.code")
    """None: a contract that nobody vouches for; its coins are not on the ledger."""
    sender: str | None = text(default=None)
    """None: the native coin doesn't say."""
    units: int = units()
    block_number: int = bigint()
    """In which block it arrived; the native coin: in which one it was there at the latest."""
    found_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
    """When a person decided that nothing more is to be done about coins that are not on the ledger."""
    closed_by: str | None = text(default=None, foreign_key="operators.name")


class StrayCursor(SQLModel, table=True):
    """How far a chain has been searched for strays."""

    __tablename__ = "stray_cursors"

    chain_id: int = bigint(primary_key=True)
    number: int = bigint()
    """Last block whose foreign transfers were read."""
    looked_at: str = text()
    """Last address whose native coin was counted; the next in order is next. Empty: begin anew."""
    updated_at: datetime = moment()
