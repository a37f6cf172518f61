"""Tables of pricing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, document, moment, text, units


class RateObservation(SQLModel, table=True):
    """The latest price a source gave: one whole `base` costs num/den whole `quote`. Shared by all processes."""

    __tablename__ = "rate_observations"

    source: str = text(primary_key=True)
    base: str = text(primary_key=True)
    quote: str = text(primary_key=True)
    num: int = units()
    den: int = units()
    as_of: datetime = moment()
    """When the source says the price held."""
    fetched_at: datetime = moment()


class Quote(SQLModel, table=True):
    """A locked price, bound to amounts, corridor, method, partner and expiry. Written once, accepted at most once.

    All receive-side amounts are in the receive asset: mid_units = margin + fee + rounding + receive, exactly.
    """

    __tablename__ = "quotes"

    id: str = text(primary_key=True)
    partner_id: str | None = text(default=None, foreign_key="partners.id")
    """None: quoted to a person on the form."""
    created_at: datetime = moment()
    expires_at: datetime = moment()
    """Half-open: a deposit in a block of exactly this time is late."""
    chain_id: int = bigint()
    send_asset: str = text(foreign_key="assets.code")
    send_units: int = units()
    receive_asset: str = text(foreign_key="assets.code")
    receive_units: int = units()
    country: str = text()
    method: str = text()
    mid_num: int = units()
    """The middle rate as units of the receive asset per unit of the send asset: num/den."""
    mid_den: int = units()
    applied_num: int = units()
    applied_den: int = units()
    mid_as_of: datetime = moment()
    sources: list[str] = document(default_factory=list)
    mid_units: int = units()
    margin_units: int = units()
    fee_units: int = units()
    rounding_units: int = units()
    speed: str = text(default="standard")
    """standard: paid out at once. economy: together with others, at the next drop."""
    drop_every_s: int | None = Field(sa_type=Integer, default=None)
    """For economy: drops are at multiples of this many seconds since 1970-01-01T00:00Z."""
