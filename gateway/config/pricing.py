"""Settings of pricing: whom we believe, what stops a price, what we promise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from gateway.config.fields import Bps, NotEmpty, Seconds, Whole, amount, currency_asset
from gateway.config.group import Group, needed, plural
from gateway.config.sources import Source
from gateway.money import Money


class Pricing(Group):
    """[pricing]: whom we believe, for how long, and what we promise."""

    sources: Annotated[tuple[Source, ...], NotEmpty] = Field(description="at least one [[pricing.sources]] table")
    max_age_s: Seconds = Field(description="after how many seconds a rate is too old, from 1 to 604800, as in 7200")
    max_spread_bps: Bps = Field(
        description="by how many hundredths of a percent sources may differ, from 0 to 9999, as in 100"
    )
    quote_ttl_s: Seconds = Field(description="for how many seconds a quote holds, from 1 to 604800, as in 900")
    min_sources: Annotated[Whole, Field(ge=1)] = Field(
        2, validate_default=True, description="how many fresh sources a price needs, at least 1"
    )
    exposure_cap: Money | None = Field(None, description='US dollars in quotes, as in "500"')
    """In US dollars: how much we credit before finality. Absent: nothing."""

    @field_validator("min_sources")
    @classmethod
    def _enough(cls, wanted: int, info: ValidationInfo) -> int:
        listed = len(needed(info, "sources"))
        if wanted > listed:
            raise ValueError(
                f"a price needs {wanted} sources and {listed} {plural(listed, 'is', 'are')} listed; "
                f"add [[pricing.sources]] or give at most {listed}"
            )
        return wanted

    @field_validator("exposure_cap", mode="plain")
    @classmethod
    def _in_dollars(cls, value: object) -> Money:
        return amount(value, currency_asset("USD"))
