"""Tables of pricing."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Integer, Numeric
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
    good_until: datetime | None = moment(default=None)
    """Until when it may be used; None: as long as `PricingRules.max_age` says."""


class Quote(SQLModel, table=True):
    """A locked price, bound to amounts, corridor, method, partner and expiry. Written once, accepted at most once.

    All receive-side amounts are in the receive asset: mid_units = margin + all fees + rounding + receive, exactly.
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
    """Ours."""
    partner_fee_units: int = units(default=0)
    rail_fee_units: int = units(default=0)
    network_fee_units: int = units(default=0)
    rounding_units: int = units()
    cash_out_units: int = units(default=0)
    """What the recipient pays others for cash in hand, out of `receive_units`."""
    speed: str = text(default="standard")
    """standard: paid out at once. economy: together with others, at the next drop."""
    drop_every_s: int | None = Field(sa_type=Integer, default=None)
    """For economy: drops are at multiples of this many seconds since 1970-01-01T00:00Z."""
    exposed_units: int | None = units(default=None)
    """With how many US cents it counts in `exposures`; None: not at all."""
    exposed_until: datetime | None = moment(default=None)
    """In which of their rows."""
    delivery_p50_s: int | None = Field(sa_type=Integer, default=None)
    """When it is there: `gateway.pricing.offer.Delivery`; None: nothing was said of it."""
    delivery_p95_s: int | None = Field(sa_type=Integer, default=None)


class Exposure(SQLModel, table=True):
    """What is promised to a holder in a corridor by quotes whose slot of time ends `until` (gateway.pricing.exposure)."""

    __tablename__ = "exposures"

    holder: str = text(primary_key=True)
    """A partner's id; "" for all on the form."""
    corridor: str = text(primary_key=True)
    """"KE/KES/mobile_money"."""
    until: datetime = moment(primary_key=True)
    units: int = units()
    """US cents."""


class MarketPair(SQLModel, table=True):
    """What was published of a pair last (gateway.pricing.rounds). Prices are exact ratios as text, as "1292/10"."""

    __tablename__ = "market_pairs"

    base: str = text(primary_key=True)
    quote: str = text(primary_key=True)
    price: str = text()
    at: datetime = moment()
    low: str = text()
    high: str = text()
    since: datetime = moment()
    moves: Decimal = Field(sa_type=Numeric(78, 6))
    newest: datetime = moment()
    pending: str | None = text(default=None)
    rounds: int = Field(sa_type=Integer, default=0)


class MarketHistory(SQLModel, table=True):
    """Every middle rate that was found: published, or not believed yet."""

    __tablename__ = "market_history"

    base: str = text(primary_key=True)
    quote: str = text(primary_key=True)
    at: datetime = moment(primary_key=True)
    price: str = text()
    as_of: datetime = moment()
    sources: list[str] = document()
    published: bool


class MarketStop(SQLModel, table=True):
    """What stops quotes, and what did (gateway.pricing.halts). One of a kind is open at a time."""

    __tablename__ = "market_stops"

    id: int | None = bigint(default=None, primary_key=True)
    breaker: str = text()
    subject: str = text()
    reason: str = text()
    since: datetime = moment()
    stopped_by: str | None = text(default=None, foreign_key="operators.name")
    well_since: datetime | None = moment(default=None)
    lifted_at: datetime | None = moment(default=None)
    lifted_by: str | None = text(default=None, foreign_key="operators.name")
