"""Tables of floats: how each stands, how it stood, what was needed, what is planned."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, Numeric
from sqlmodel import Field, SQLModel

from gateway.db.columns import document, moment, text
from gateway.db.columns import units as amount

_SUM = Numeric(96, 0)


def _sum() -> int | None:
    made: int | None = Field(default=None, sa_type=_SUM)
    return made


def _number() -> int | None:
    made: int | None = Field(default=None, sa_type=Integer)
    return made


class FloatRow(SQLModel, table=True):
    """One float as it was seen last."""

    __tablename__ = "floats"

    rail: str = text(primary_key=True)
    asset: str = text(primary_key=True, foreign_key="assets.code")
    told: int | None = _sum()
    """What the rail said last that can be paid out there."""
    told_at: datetime | None = moment(default=None)
    available: int | None = _sum()
    """What may still be promised; None: nobody knows."""
    low: int | None = _sum()
    """What the operator's mark came to."""
    critical: int | None = _sum()
    low_since: datetime | None = moment(default=None)
    """Since when it is below; it names the incident."""
    critical_since: datetime | None = moment(default=None)
    chance_6h: int | None = _number()
    """How likely it runs dry within that time, in hundredths of a percent."""
    chance_24h: int | None = _number()
    chance_72h: int | None = _number()
    seen_at: datetime | None = moment(default=None)


class FloatLevelRow(SQLModel, table=True):
    """What was available of a float at one look. Pruned."""

    __tablename__ = "float_levels"

    rail: str = text(primary_key=True)
    asset: str = text(primary_key=True, foreign_key="assets.code")
    at: datetime = moment(primary_key=True)
    available: int = Field(sa_type=_SUM)


class FloatDemandRow(SQLModel, table=True):
    """What one rail paid in one hour."""

    __tablename__ = "float_demand"

    rail: str = text(primary_key=True)
    asset: str = text(primary_key=True, foreign_key="assets.code")
    hour: datetime = moment(primary_key=True)
    units: int = Field(sa_type=_SUM)
    payouts: int = Field(sa_type=Integer)


class FloatPlanRow(SQLModel, table=True):
    """One plan. Append-only; the newest is the one that counts, until it is too old."""

    __tablename__ = "float_plans"

    id: str = text(primary_key=True)
    made_at: datetime = moment()
    valid_until: datetime = moment()
    notes: list[str] = document(default_factory=list)


class FloatMoveRow(SQLModel, table=True):
    """One move of a plan. Append-only."""

    __tablename__ = "float_moves"

    id: str = text(primary_key=True)
    plan_id: str = text(foreign_key="float_plans.id")
    number: int = Field(sa_type=Integer)
    source: str = text()
    give_asset: str = text(foreign_key="assets.code")
    give_units: int = amount()
    by: str | None = text(default=None)
    to_rail: str = text()
    asset: str = text(foreign_key="assets.code")
    units: int = amount()
    cost_units: int = amount()
    at: datetime = moment()
    arrives_at: datetime = moment()
    why: str = text()
    country: str | None = text(default=None)
    method: str | None = text(default=None)
    account: str = text()
    """Of a payment: our account at the rail; of a person's transfer: our deposit address at the exchange."""
    holder: str | None = text(default=None)
    institution: str | None = text(default=None)
    after: str | None = text(default=None, foreign_key="float_moves.id")
