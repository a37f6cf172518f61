"""Tables of orders. Only advance() writes `state`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, SmallInteger
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, postings, text


class Order(SQLModel, table=True):
    """Our promise to one recipient. What was promised stands in its quote."""

    __tablename__ = "orders"

    id: str = text(primary_key=True)
    partner_id: str | None = text(default=None, foreign_key="partners.id")
    quote_id: str = text(unique=True, foreign_key="quotes.id")
    tracking_token: str = text(unique=True)
    """Opens the tracking page: random, never shown in lists."""
    state: str = text()
    version: int = Field(sa_type=Integer)
    """Number of steps taken."""
    due_at: datetime | None = moment(default=None)
    """When a worker has to look at it next; None: nothing is due."""
    lane: str = text(default="")
    """Country, currency, method and speed of its quote, as in "KE/KES/mobile_money/standard". Kept by the database."""
    deposit_address: str = text(foreign_key="deposit_addresses.address")
    refund_address: str | None = text(default=None)
    reference: str | None = text(default=None)
    """The partner's own reference."""
    details: dict[str, Any] = document(default_factory=dict)
    """The partner's metadata, given back as it came."""
    created_at: datetime = moment()
    updated_at: datetime = moment()


class WaitingOrder(SQLModel, table=True):
    """An order that somebody has to look at one day, and that no rail has. Queues are read here; the database keeps it."""

    __tablename__ = "waiting_orders"

    order_id: str = text(primary_key=True)
    state: str = text()
    lane: str = text()
    due_at: datetime = moment()


class Recipient(SQLModel, table=True):
    """Whom an order pays: personal data, kept apart from orders and ledger so that it can be erased alone."""

    __tablename__ = "recipients"

    order_id: str = text(primary_key=True, foreign_key="orders.id")
    name: str = text(repr=False)
    account: str = text(repr=False)
    """Phone number in E.164, CLABE, IBAN: as the quote's method has it."""
    institution: str | None = text(default=None)
    """The bank or the wallet's operator (gateway.offramp.Institution.code), where the account doesn't say it."""


class RecipientWay(SQLModel, table=True):
    """Another way to reach an order's recipient, should the first one fail. Personal data, like `recipients`."""

    __tablename__ = "recipient_ways"

    order_id: str = text(primary_key=True, foreign_key="orders.id")
    rank: int = Field(sa_type=SmallInteger, primary_key=True)
    """From 1, best first. Rank 0 is the quote's method with the recipient's account."""
    method: str = text()
    account: str = text(repr=False)
    institution: str | None = text(default=None)


class OrderEvent(SQLModel, table=True):
    """A step that an order took, its cause, and what it posted. Append-only; a cause acts once.

    It is the step's entry in the journal and its news for the outside, too: see the views `journal`, `postings`, `outbox`.
    """

    __tablename__ = "order_events"

    order_id: str = text(primary_key=True)
    """That it exists, a trigger asks for a set at once."""
    version: int = Field(sa_type=Integer, primary_key=True)
    id: int = bigint()
    """Its number among all entries and messages."""
    event: str = text()
    from_state: str = text()
    to_state: str = text()
    cause: str = text()
    data: dict[str, Any] = document(default_factory=dict)
    at: datetime = moment()
    template: str | None = text(default=None)
    """What kind of entry it is (gateway.orders.postings); None: it moves no money."""
    postings: list[str] | None = postings(default=None)


class OrderMessage(SQLModel, table=True):
    """News of an order for the outside that no step tells, written in the transaction that it tells of."""

    __tablename__ = "order_messages"

    id: int | None = bigint(default=None, primary_key=True)
    order_id: str = text()
    kind: str = text()
    payload: dict[str, Any] = document()
    created_at: datetime = moment()
