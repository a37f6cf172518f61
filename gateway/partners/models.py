"""Tables of partners."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, LargeBinary
from sqlmodel import Field, SQLModel

from gateway.db.columns import document, moment, text


class Partner(SQLModel, table=True):
    """A partner exchange that uses the API."""

    __tablename__ = "partners"

    id: str = text(primary_key=True)
    name: str = text(unique=True)
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(default=None)
    fee_bps: int = Field(sa_type=Integer, default=0)
    """Its own fee, charged for it on the orders that it makes: of what the coins bring at the applied rate."""


class PartnerClient(SQLModel, table=True):
    """A pair of client id and secret. Of the secret only its hash is kept."""

    __tablename__ = "partner_clients"

    client_id: str = text(primary_key=True)
    partner_id: str = text(foreign_key="partners.id")
    secret_hash: bytes = Field(sa_type=LargeBinary, repr=False)
    created_at: datetime = moment()
    revoked_at: datetime | None = moment(default=None)


class IdempotencyKey(SQLModel, table=True):
    """The answer to a request that moves or promises money, under the partner's key. Kept for ever."""

    __tablename__ = "idempotency_keys"

    partner_id: str = text(primary_key=True, foreign_key="partners.id")
    key: str = text(primary_key=True)
    request_hash: bytes = Field(sa_type=LargeBinary)
    """SHA-256 over method, path and body: the same key with another request is refused."""
    status: int = Field(sa_type=Integer)
    response: dict[str, Any] = document()
    created_at: datetime = moment()
