"""Tables of refunds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import SQLModel

from gateway.db.columns import bigint, document, moment, text, units


class RefundAddress(SQLModel, table=True):
    """Where an order's money may go back to, who says so and how we know. The newest counts. Append-only."""

    __tablename__ = "refund_addresses"

    id: int | None = bigint(default=None, primary_key=True)
    order_id: str = text(foreign_key="orders.id")
    address: str = text()
    """Lower-case hex with 0x."""
    source: str = text()
    """A gateway.refunds.addresses.Source; never `order`, whose address stands in the order."""
    confirmed_by: str = text()
    evidence: dict[str, Any] = document(default_factory=dict)
    at: datetime = moment()


class Refund(SQLModel, table=True):
    """One transfer back to a sender. Committed before anything is sent; its id names the transaction that carries it.

    At most one per order and asset is open (a unique index says so), and an unknown outcome keeps it open.
    """

    __tablename__ = "refunds"

    id: str = text(primary_key=True)
    order_id: str = text(foreign_key="orders.id")
    taken_from: str = text()
    """A gateway.refunds.order.Of: which of the order's accounts."""
    chain_id: int = bigint()
    asset: str = text(foreign_key="assets.code")
    units: int = units()
    address: str = text()
    """As it was confirmed when the refund was ordered: a later one doesn't change this."""
    owner: str = text()
    """Who ordered it and answers for it until it is closed: "operator:NAME" or "partner:ID"."""
    reason: str = text()
    outcome: str = text()
    """sending (not handed to the chain yet), pending, unknown; closed: paid, failed."""
    wallet: str | None = text(default=None)
    """The ledger account that pays, once it is handed to the chain."""
    token: str | None = text(default=None)
    """The contract (lower-case) that moves the coin, once it is handed to the chain; None then: the native coin."""
    tx_hash: str | None = text(default=None)
    note: str | None = text(default=None)
    """Why it waits or failed."""
    evidence: dict[str, Any] = document(default_factory=dict)
    due_at: datetime | None = moment(default=None)
    created_at: datetime = moment()
    updated_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
