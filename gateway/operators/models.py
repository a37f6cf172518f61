"""Tables of operators and of what they decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, LargeBinary
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text


class Operator(SQLModel, table=True):
    """A person who may decide things."""

    __tablename__ = "operators"

    name: str = text(primary_key=True)
    password_hash: str = text(repr=False)
    """Argon2id, with its parameters."""
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(default=None)


class OperatorAction(SQLModel, table=True):
    """What a person decided, about what, and why. Append-only."""

    __tablename__ = "operator_actions"

    id: int | None = bigint(default=None, primary_key=True)
    operator: str = text(foreign_key="operators.name")
    action: str = text()
    """A verb of ours, as in "chain.resume"."""
    subject: str = text()
    """What it was done to, as in "chain:8453" or an order's id."""
    reason: str = text()
    detail: dict[str, Any] = document(default_factory=dict)
    at: datetime = moment()


class OperatorSession(SQLModel, table=True):
    """An operator who has signed in to the console. Only the token's hash is kept."""

    __tablename__ = "operator_sessions"

    token_hash: bytes = Field(sa_type=LargeBinary, primary_key=True, repr=False)
    operator: str = text(foreign_key="operators.name")
    created_at: datetime = moment()
    seen_at: datetime = moment()
    """When it was last used, to the minute."""
    expires_at: datetime = moment()
    """When it ends however busy it is."""


class SignInAttempts(SQLModel, table=True):
    """How often somebody tried to sign in since a moment; counted in the database, so that all processes count together."""

    __tablename__ = "sign_in_attempts"

    counted: str = text(primary_key=True)
    """What is counted: an address, a name's digest, or both."""
    attempts: int = Field(sa_type=Integer)
    since: datetime = moment()


class Incident(SQLModel, table=True):
    """Something that must not happen did, and a person has to look. The same cause opens one incident."""

    __tablename__ = "incidents"

    id: int | None = bigint(default=None, primary_key=True)
    cause: str = text(unique=True)
    kind: str = text()
    order_id: str | None = text(default=None)
    detail: dict[str, Any] = document(default_factory=dict)
    opened_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
    closed_by: str | None = text(default=None)
