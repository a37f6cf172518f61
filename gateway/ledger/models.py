"""Tables of the ledger. Their guards are triggers and CHECKs in the migration: they hold whoever writes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Numeric, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, moment, text, units


class AssetRow(SQLModel, table=True):
    """A known asset. The decimals never change: a start with other decimals in the configuration is refused."""

    __tablename__ = "assets"

    code: str = text(primary_key=True)
    decimals: int = Field(sa_type=SmallInteger)


class JournalEntry(SQLModel, table=True):
    """Postings that belong together. `cause` names what happened; the same cause is written once."""

    __tablename__ = "journal"

    id: int | None = bigint(default=None, primary_key=True)
    cause: str = text(unique=True)
    template: str = text()
    order_id: str | None = text(default=None)
    posted_at: datetime = moment()


class Posting(SQLModel, table=True):
    """`units` of `asset` moved from `source` to `destination`: one row, so it can't be half written."""

    __tablename__ = "postings"

    journal_id: int = bigint(primary_key=True)
    line: int = Field(sa_type=SmallInteger, primary_key=True)
    source: str = text()
    destination: str = text()
    asset: str = text()
    units: int = units()


class Balance(SQLModel, table=True):
    """Running balance of an account that may not go below zero. Kept by the database from the postings, by nobody else."""

    __tablename__ = "balances"

    account: str = text(primary_key=True)
    asset: str = text(primary_key=True)
    units: int = Field(sa_type=Numeric(96, 0))
    """Wider than one amount: the sum of as many of the largest amounts as anybody can send."""


class AssetFreeze(SQLModel, table=True):
    """Why nothing new is done with an asset, since when, and who ended it. One of a kind is open at a time."""

    __tablename__ = "asset_freezes"

    id: int | None = bigint(default=None, primary_key=True)
    asset: str = text(foreign_key="assets.code")
    kind: str = text()
    reason: str = text()
    frozen_at: datetime = moment()
    lifted_at: datetime | None = moment(default=None)
    lifted_by: str | None = text(default=None, foreign_key="operators.name")
