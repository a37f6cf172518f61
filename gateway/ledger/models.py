"""Tables of the ledger. Their guards are triggers and CHECKs in the migration: they hold whoever writes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Numeric, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, moment, postings, text


class AssetRow(SQLModel, table=True):
    """A known asset. The decimals never change: a start with other decimals in the configuration is refused."""

    __tablename__ = "assets"

    code: str = text(primary_key=True)
    decimals: int = Field(sa_type=SmallInteger)


class JournalEntry(SQLModel, table=True):
    """Postings that belong together and are no order's step. `cause` names what happened; the same cause is written once.

    Those of steps stand in their order's events. Both together are the views `journal` (an entry a row) and `postings` (a
    posting a row: journal_id, line, source, destination, asset, units).
    """

    __tablename__ = "journal_entries"

    id: int | None = bigint(default=None, primary_key=True)
    cause: str = text(unique=True)
    template: str = text()
    order_id: str | None = text(default=None)
    posted_at: datetime = moment()
    postings: list[str] = postings()


class OrderBalance(SQLModel, table=True):
    """What an order's own accounts hold of an asset. Kept by the database from the postings, by nobody else.

    The view `balances` has an account a row. Sums are wider than one amount: they hold as many of the largest as anybody can
    send.
    """

    __tablename__ = "order_balances"

    order_id: str = text(primary_key=True)
    asset: str = text(primary_key=True)
    funds: int = Field(sa_type=Numeric(96, 0))
    payout: int = Field(sa_type=Numeric(96, 0))
    refund: int = Field(sa_type=Numeric(96, 0))
    unallocated: int = Field(sa_type=Numeric(96, 0))
    owed: int = Field(sa_type=Numeric(96, 0))


class WalletBalance(SQLModel, table=True):
    """What lies in a wallet of ours by the ledger (accounts `wallet:` and `treasury:`). Kept by the database."""

    __tablename__ = "wallet_balances"

    account: str = text(primary_key=True)
    asset: str = text(primary_key=True)
    held: int = Field(sa_type=Numeric(96, 0))


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
