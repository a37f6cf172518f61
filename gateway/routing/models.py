"""Tables of routing: what was decided, and what it rests on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, Double, Identity, Interval, LargeBinary, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text


class RouteScene(SQLModel, table=True):
    """What choices look at and what seldom changes, by the hash of its content."""

    __tablename__ = "route_scenes"

    id: bytes = Field(sa_type=LargeBinary, primary_key=True)
    body: bytes = Field(sa_type=LargeBinary, repr=False)
    """`gateway.routing.documents.write_scene`, compressed."""
    kept_at: datetime = moment()


class RouteOutlooks(SQLModel, table=True):
    """What experience said when it was asked."""

    __tablename__ = "route_outlooks"

    id: int | None = bigint(default=None, primary_key=True)
    experience: str = text()
    """Which snapshot of it."""
    body: bytes = Field(sa_type=LargeBinary, repr=False)
    kept_at: datetime = moment()


class RouteDecision(SQLModel, table=True):
    """What a claim chose, and from what. Append-only until it is pruned."""

    __tablename__ = "route_decisions"

    at: datetime = moment(primary_key=True)
    id: int | None = bigint(default=None, primary_key=True, sa_column_args=[Identity(always=True)])
    policy: str = text()
    scene_id: bytes = Field(sa_type=LargeBinary)
    experience: str = text()
    first: str | None = text(default=None)
    """The claim's first attempt; its attempts are those up to `last` that were made at `at`."""
    last: str | None = text(default=None)
    choices: dict[str, Any] = document(default_factory=dict)
    """`gateway.routing.decisions.Choices`."""


class BacklogHint(SQLModel, table=True):
    """Which rail an order of a backlog had best take."""

    __tablename__ = "backlog_hints"

    order_id: str = text(primary_key=True)
    rail: str = text()
    until: datetime = moment()


class ExperienceProgress(SQLModel, table=True):
    """How far attempts were read (gateway.routing.learn), and how long what they did counts. One row."""

    __tablename__ = "experience_progress"

    single: bool = Field(sa_type=Boolean, primary_key=True, default=True)
    upto: str = text()
    """The last attempt's id."""
    half_life: timedelta = Field(sa_type=Interval)
    now_half_life: timedelta = Field(sa_type=Interval)
    learned_at: datetime | None = moment(default=None)


class ExperienceRow(SQLModel, table=True):
    """How many payments of a kind fall into a slot (gateway.routing.experience), as they count at `at`."""

    __tablename__ = "experience"

    span: str = text(primary_key=True)
    """usual, or now: forgotten sooner, and without hour and band."""
    rail: str = text(primary_key=True)
    asset: str = text(primary_key=True)
    institution: str = text(primary_key=True)
    """Empty: none."""
    hour: int = Field(sa_type=SmallInteger, primary_key=True)
    """In UTC, when they were sent."""
    band: int = Field(sa_type=SmallInteger, primary_key=True)
    """Of their amounts."""
    slot: int = Field(sa_type=SmallInteger, primary_key=True)
    weight: float = Field(sa_type=Double)
    at: datetime = moment()


class ExperienceWaiting(SQLModel, table=True):
    """An attempt that was open when it was come to."""

    __tablename__ = "experience_waiting"

    attempt_id: str = text(primary_key=True)
    rail: str = text()
    asset: str = text()
    institution: str = text()
    hour: int = Field(sa_type=SmallInteger)
    band: int = Field(sa_type=SmallInteger)
    sent_at: datetime = moment()
    timed: bool = Field(sa_type=Boolean)
    """It can be collected: how long that took counts already."""


class ExperienceTurned(SQLModel, table=True):
    """What counts of an attempt of which its rail said something else after it was closed."""

    __tablename__ = "experience_turned"

    attempt_id: str = text(primary_key=True)
    turns: int = Field(sa_type=SmallInteger)
    paid: bool = Field(sa_type=Boolean)
    failed: bool = Field(sa_type=Boolean)


class RailHeard(SQLModel, table=True):
    """When a rail last answered anything."""

    __tablename__ = "rail_heard"

    rail: str = text(primary_key=True)
    heard_at: datetime = moment()


class RailWeather(SQLModel, table=True):
    """How a rail does at a place (gateway.routing.weather)."""

    __tablename__ = "rail_weather"

    rail: str = text(primary_key=True)
    country: str = text(primary_key=True)
    currency: str = text(primary_key=True)
    method: str = text(primary_key=True)
    institution: str = text(primary_key=True)
    """Empty: all that have no row of their own."""
    state: str = text()
    reason: str = text()
    since: datetime = moment()
    changes_at: datetime | None = moment(default=None)
    as_of: datetime = moment()
