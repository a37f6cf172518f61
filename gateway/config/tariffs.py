"""Settings of tariffs: what rails charge us, and what recipients pay to have cash in their hands."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gateway.config.fields import AdapterName, Country, Currency, NotEmpty, Text, amount, currency_asset
from gateway.config.group import Group, needed
from gateway.money import Asset, Money
from gateway.offramp import Method

PERCENT = Asset("percent", 4)
"""Percents are read as amounts: 1 % has 10,000 units, each of them a millionth."""
ALL = 100 * 10**PERCENT.decimals


class Band(Group):
    """A band of a tariff. Amounts are in the tariff's currency."""

    up_to: str | None = Field(None, description='the largest amount of this band, in quotes, as in "1000"')
    """Absent: all larger amounts."""
    fixed: str = Field("0", description='an amount of the tariff\'s currency in quotes, as in "13"')
    percent: str = Field("0", description='a percentage of the amount in quotes, as in "0.5"')

    @property
    def ppm(self) -> int:
        """`percent` in millionths."""
        return Money.parse(self.percent, PERCENT).units


class Tariff(Group):
    """[[tariffs]]: what a payment by one rail or method costs, beside our own fee. A key left out stands for all of them."""

    currency: Currency = Field(description='an ISO 4217 currency code, as in "KES"')
    rail: AdapterName | None = Field(None, description='an adapter\'s name, as in "mpesa" for [adapters.mpesa]')
    country: Country | None = Field(None, description='an ISO 3166 country code, as in "KE"')
    method: Method | None = Field(None, description=f"one of {', '.join(Method)}")
    institution: Text | None = Field(None, description="a bank's or wallet's code, as in \"mpesa\"")
    charge: Annotated[tuple[Band, ...], NotEmpty] | None = Field(
        None, description='a list of bands, as in [{ up_to = "1000", fixed = "5" }, { fixed = "9", percent = "0.1" }]'
    )
    """What the rail takes from us for a payout. Absent: this tariff doesn't say."""
    cash_out: Annotated[tuple[Band, ...], NotEmpty] | None = Field(
        None, description='a list of bands, as in [{ up_to = "1000", fixed = "29" }, { fixed = "52" }]'
    )
    """What the recipient pays to have it in cash. Absent: this tariff doesn't say."""

    @field_validator("charge", "cash_out")
    @classmethod
    def _in_order(cls, bands: tuple[Band, ...] | None, info: ValidationInfo) -> tuple[Band, ...] | None:
        if bands is not None:
            asset = currency_asset(needed(info, "currency"))
            for number, band in enumerate(bands, start=1):
                _readable(band, asset, number=number)
            for number, (lower, upper) in enumerate(pairwise(bands), start=1):
                _follows(lower, upper, asset, number=number)
        return bands

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.charge is None and self.cash_out is None:
            raise ValueError("says nothing; give charge, cash_out or both")
        return self

    @property
    def asset(self) -> Asset:
        """The currency with its ISO 4217 decimals."""
        return currency_asset(self.currency)


def _readable(band: Band, asset: Asset, *, number: int) -> None:
    """Raises ValueError with the sentence to show."""
    try:
        amount(band.fixed, asset)
        share = amount(band.percent, PERCENT).units
        most = None if band.up_to is None else amount(band.up_to, asset).units
    except ValueError as error:
        raise ValueError(f"band {number}: {error}") from None
    if share >= ALL:
        raise ValueError(f'band {number}: a share of {band.percent} % takes everything; give less than "100"')
    if most == 0:
        raise ValueError(f"band {number}: up_to is 0, so no amount is in it; give more, or leave the band out")


def _follows(lower: Band, upper: Band, asset: Asset, *, number: int) -> None:
    """Raises ValueError with the sentence to show."""
    if lower.up_to is None:
        raise ValueError(
            f"band {number} has no up_to, so band {number + 1} is never reached; only the last band may leave it out"
        )
    if upper.up_to is not None and Money.parse(upper.up_to, asset) <= Money.parse(lower.up_to, asset):
        raise ValueError(
            f"band {number + 1} ends at {upper.up_to}, not above band {number}, which ends at {lower.up_to}; "
            "give the bands from the smallest amounts to the largest, each with an up_to above the one before"
        )
