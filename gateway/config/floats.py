"""Settings of floats: when one is low, how it is filled, what its demand follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gateway.config.fields import (
    AdapterName,
    Address,
    Bps,
    Country,
    Currency,
    Slug,
    Symbol,
    Text,
    Whole,
    amount,
    currency_asset,
)
from gateway.config.group import Group, needed
from gateway.money import Money
from gateway.offramp import Method

Hours = Annotated[Whole, Field(ge=1, le=1440)]
Day = Annotated[Whole, Field(ge=1, le=31)]
Lead = Annotated[Whole, Field(ge=0, le=2_592_000)]
TARGET = 2
"""Where no target is given: so many times the low mark."""


class FloatLevel(Group):
    """[[floats.levels]]: the marks of one float, each as an amount or as hours of expected demand."""

    rail: AdapterName = Field(description='the name of an adapter, as in "mpesa"')
    currency: Text = Field(description='an ISO 4217 code, or the coin at an exchange, as in "KES" or "USDC"')
    low: str | None = Field(None, description='below which amount a person is told, in quotes, as in "500000"')
    low_hours: Hours | None = Field(None, description="the same in hours of expected demand, from 1 to 1440, as in 48")
    critical: str | None = Field(None, description='below which amount it is urgent, in quotes, as in "100000"')
    critical_hours: Hours | None = Field(None, description="the same in hours of expected demand, from 1 to 1440, as in 12")
    target: str | None = Field(None, description='up to which amount a plan fills it, in quotes, as in "1000000"')
    target_hours: Hours | None = Field(None, description="the same in hours of expected demand, from 1 to 1440, as in 96")
    reserve: str | None = Field(None, description='what is never moved elsewhere, in quotes, as in "250000"')
    reserve_hours: Hours | None = Field(None, description="the same in hours of expected demand, from 1 to 1440, as in 72")

    @model_validator(mode="after")
    def _one_of_each(self) -> FloatLevel:
        for name in ("low", "critical", "target", "reserve"):
            if getattr(self, name) is not None and getattr(self, f"{name}_hours") is not None:
                raise ValueError(f"has both {name} and {name}_hours; give one of them")
        if all(getattr(self, name) is None for name in type(self).model_fields if name not in ("rail", "currency")):
            raise ValueError("says nothing; give low, critical, target or reserve, or hours of one of them")
        return self

    @property
    def name(self) -> tuple[str, str]:
        """Which float it is."""
        return self.rail, self.currency


class FloatFill(Group):
    """[[floats.fills]]: one way to fill a float: an adapter pays to our own account at the rail."""

    rail: AdapterName = Field(description='the adapter whose float it fills, as in "mpesa"')
    currency: Currency = Field(description='an ISO 4217 code, as in "KES"')
    by: AdapterName = Field(description='the adapter that pays, as in "bitso"')
    country: Country = Field(description='where the account is, an ISO 3166 country code, as in "KE"')
    method: Method = Field(Method.BANK, description=f"how the account is paid: one of {', '.join(Method)}")
    account: Text = Field(description="our own account at that rail, as the method has it")
    holder: Text = Field(description="whose account it is: our own name there")
    institution: Text | None = Field(None, description='the bank\'s code, where the adapter reaches several, as in "01"')
    coin: Symbol | None = Field(None, description='the coin that is sold for it, as in "USDC"')
    """Absent: `by` pays from its own float in the same currency."""
    coin_decimals: Annotated[Whole, Field(ge=0, le=18)] = Field(6, description="the coin's digits after the point, as in 6")
    peg: Currency = Field("USD", description='the currency that the coin is worth one of, as in "USD"')
    chain: Slug | None = Field(None, description="the chain of the wallet that pays, for adapters that are paid on chain")
    """Absent: the coin lies at the exchange."""
    lead_time_s: Lead = Field(description="seconds from the order to the money's arrival, from 0 to 2592000, as in 7200")
    working_days: bool = Field(default=False, description="true if that counts on working days only, else false")
    fee_bps: Bps = Field(
        0, description="what the exchange keeps of it, fee and spread, in hundredths of a percent, as in 65"
    )
    fee: Money | None = Field(None, description='what the withdrawal costs, in quotes, as in "30"')
    least: Money | None = Field(None, description='the smallest amount that is worth moving, in quotes, as in "10000"')

    @field_validator("fee", "least", mode="plain")
    @classmethod
    def _in_currency(cls, value: object, info: ValidationInfo) -> Money:
        return amount(value, currency_asset(needed(info, "currency")))


class FloatDeposit(Group):
    """[[floats.deposits]]: how coins of the treasury come to an exchange: a person sends them."""

    by: AdapterName = Field(description='the exchange\'s adapter, as in "bitso"')
    coin: Symbol = Field(description='the coin, as in "USDC"')
    coin_decimals: Annotated[Whole, Field(ge=0, le=18)] = Field(6, description="its digits after the point there, as in 6")
    chain: Slug = Field(description='the chain on which it is sent, as in "base"')
    address: Address = Field(description="our deposit address at the exchange on that chain")
    lead_time_s: Lead = Field(description="seconds until the exchange credits it, from 0 to 2592000, as in 1800")
    fee: str = Field("0", description='what the transfer costs in the coin, in quotes, as in "0.10"')
    keep: str = Field("0", description='what stays in the treasury in any case, in quotes, as in "5000"')
    least: str = Field("0", description='the smallest deposit that the exchange takes, in quotes, as in "10"')


class FloatCalendar(Group):
    """[[floats.calendars]]: what the demand for a currency follows."""

    currency: Currency = Field(description='an ISO 4217 code, as in "KES"')
    zone: str | None = Field(None, description='an IANA time zone in which days begin, as in "Africa/Nairobi"')
    month_end: tuple[Day, Day] = Field((25, 5), description="first and last day of the payday around a month's end")
    mid_month: tuple[Day, Day] = Field((14, 16), description="first and last day of the payday in its middle")

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in available_timezones():
            raise ValueError('is no IANA time zone; give one such as "Africa/Nairobi"')
        return zone


class Floats(Group):
    """[floats]: what we keep at rails."""

    levels: tuple[FloatLevel, ...] = Field((), description="[[floats.levels]] tables")
    fills: tuple[FloatFill, ...] = Field((), description="[[floats.fills]] tables")
    deposits: tuple[FloatDeposit, ...] = Field((), description="[[floats.deposits]] tables")
    calendars: tuple[FloatCalendar, ...] = Field((), description="[[floats.calendars]] tables")
    keep_days: Annotated[Whole, Field(ge=1, le=3660)] = Field(90, description="for how many days levels are kept")
    history_days: Annotated[Whole, Field(ge=14, le=3660)] = Field(
        400, description="how many days of the past a forecast may see, from 14 to 3660"
    )
    plan_valid_s: Annotated[Whole, Field(ge=60, le=86_400)] = Field(
        3600, description="for how many seconds a plan's moves may be approved, from 60 to 86400"
    )

    @property
    def keep(self) -> timedelta:
        """How long levels are kept."""
        return timedelta(days=self.keep_days)
