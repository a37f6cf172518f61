"""Tables of the network of cash agents. Their guards stand in the migration: they hold whoever writes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, LargeBinary
from sqlmodel import Field, SQLModel

from gateway.db.columns import moment, text, units


class NetworkClient(SQLModel, table=True):
    """Whoever may make codes: a gateway, our own among them. Of the key only its hash is kept."""

    __tablename__ = "network_clients"

    id: str = text(primary_key=True)
    name: str = text(unique=True)
    key_hash: bytes = Field(sa_type=LargeBinary, repr=False)
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(default=None)


class NetworkAccount(SQLModel, table=True):
    """What a client has with the network in one currency. The ledger's accounts `network:ID` and `network:ID:held`."""

    __tablename__ = "network_accounts"

    id: str = text(primary_key=True)
    client_id: str = text(foreign_key="network_clients.id")
    asset: str = text(foreign_key="assets.code")
    free_units: int = units()
    held_units: int = units()
    """Held for codes that wait."""


class Agent(SQLModel, table=True):
    """A shop that gives the cash."""

    __tablename__ = "agents"

    id: str = text(primary_key=True)
    name: str = text(unique=True)
    """With which he signs in."""
    shop: str = text()
    """Where it is, for recipients and for lists."""
    password_hash: str = text(repr=False)
    key_hash: bytes = Field(sa_type=LargeBinary, repr=False)
    created_at: datetime = moment()
    disabled_at: datetime | None = moment(default=None)


class AgentFloat(SQLModel, table=True):
    """What we owe an agent in one currency (the ledger's account `agent:ID`), and how far that may go before we settle."""

    __tablename__ = "agent_floats"

    agent_id: str = text(primary_key=True, foreign_key="agents.id")
    asset: str = text(primary_key=True, foreign_key="assets.code")
    owed_units: int = units()
    """Below zero: he holds that much cash of ours."""
    reserved_units: int = units()
    """Claimed by him and not yet given."""
    most_units: int = units()


class AgentSession(SQLModel, table=True):
    """An agent who has signed in at the counter page. Only the token's hash is kept."""

    __tablename__ = "agent_sessions"

    token_hash: bytes = Field(sa_type=LargeBinary, primary_key=True, repr=False)
    agent_id: str = text(foreign_key="agents.id")
    created_at: datetime = moment()
    seen_at: datetime = moment()
    expires_at: datetime = moment()


class PickupCode(SQLModel, table=True):
    """A code for exactly one amount, which is held from the moment that it is made."""

    __tablename__ = "pickup_codes"

    id: str = text(primary_key=True)
    """The reference by which everybody names it: it tells nothing of the digits."""
    client_id: str = text(foreign_key="network_clients.id")
    account_id: str = text(foreign_key="network_accounts.id")
    correlation_id: str = text()
    """X-CorrelationID of the request that made it: the same again makes none."""
    reference: str = text()
    """The client's own: an attempt's id."""
    code_hash: bytes = Field(sa_type=LargeBinary, repr=False)
    state: str = text()
    asset: str = text(foreign_key="assets.code")
    units: int = units()
    country: str = text()
    holder: str = text(repr=False)
    msisdn: str = text(repr=False)
    misses: int = Field(sa_type=Integer)
    """How often it was claimed with a wrong amount or phone number since its digits were made."""
    renewals: int = Field(sa_type=Integer)
    created_at: datetime = moment()
    updated_at: datetime = moment()
    expires_at: datetime = moment()


class PickupClaim(SQLModel, table=True):
    """An agent's withdrawal: reserved, then confirmed once the cash is given. At most one per code isn't released."""

    __tablename__ = "pickup_claims"

    id: str = text(primary_key=True)
    code_id: str = text(foreign_key="pickup_codes.id")
    agent_id: str = text(foreign_key="agents.id")
    agent_reference: str = text()
    """The agent's own: the same again is the same claim."""
    state: str = text()
    document: str | None = text(default=None, repr=False)
    """Kind and number of what the recipient showed."""
    reserved_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)


class PickupMisses(SQLModel, table=True):
    """How often an agent gave a wrong code since a moment."""

    __tablename__ = "pickup_misses"

    agent_id: str = text(primary_key=True, foreign_key="agents.id")
    misses: int = Field(sa_type=Integer)
    since: datetime = moment()
