"""Tables of floats: how each stands, how it stood, what was needed, what is planned."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, Numeric, SmallInteger
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


class FloatRunRow(SQLModel, table=True):
    """What people decided about one move, and how it ended. How it stands in between, its order says."""

    __tablename__ = "float_runs"

    move_id: str = text(primary_key=True, foreign_key="float_moves.id")
    persons: int = Field(sa_type=SmallInteger)
    """How many it takes."""
    proposed_by: str = text(foreign_key="operators.name")
    proposed_at: datetime = moment()
    approved_by: str | None = text(default=None, foreign_key="operators.name")
    """Who spoke last of those that it takes; None: it waits for a second person, or was refused."""
    approved_at: datetime | None = moment(default=None)
    order_id: str | None = text(default=None, unique=True, foreign_key="orders.id")
    """The house's order that carries it out; None: a person does."""
    outcome: str | None = text(default=None)
    """refused, cancelled, failed or arrived; None: it isn't over."""
    ended_at: datetime | None = moment(default=None)
    reason: str | None = text(default=None)
