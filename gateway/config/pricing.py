"""Settings of pricing: whom we believe, what stops a price, what we promise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from gateway.config.fields import Bps, NotEmpty, Seconds, Whole, amount, currency_asset
from gateway.config.group import Group, needed, plural
from gateway.config.sources import Source
from gateway.money import Money


class Breakers(Group):
    """[pricing.breakers]: what stops quotes, beside `max_age_s`, `max_spread_bps` and `min_sources`."""

    jump_bps: Annotated[Bps, Field(ge=1)] = Field(
        1000, description="by how many hundredths of a percent a price may move within jump_per_s, from 1 to 9999"
    )
    jump_per_s: Seconds = Field(3600, description="seconds from 1 to 604800, as in 3600")
    jump_rounds: Annotated[Whole, Field(ge=1, le=100)] = Field(
        3, description="how many rounds of newer prices that no source contradicts confirm a jump, from 1 to 100"
    )
    depeg_bps: Annotated[Bps, Field(ge=1)] = Field(
        100, description="how many hundredths of a percent a coin may be from its peg, from 1 to 9999, as in 100"
    )
    depeg_recovery_s: Seconds = Field(
        3600, description="for how many seconds a coin has to be back at its peg before it is taken again"
    )
    coin_sources: Annotated[Whole, Field(ge=1, le=100)] = Field(
        1, description="how many fresh sources a coin's own price needs, at least 1"
    )
    par_assumed: bool = Field(
        True, description="true if a coin that no source prices counts as worth its peg, false if it isn't taken"
    )


class Ttl(Group):
    """[pricing.ttl]: how volatility shortens quotes. `quote_ttl_s` is the longest."""

    least_s: Seconds = Field(60, description="for how many seconds every quote holds at least, from 1 to 604800")
    sigmas: Annotated[Whole, Field(ge=1, le=10)] = Field(
        2, description="how many standard deviations a quote has to bear, from 1 to 10"
    )
    share_percent: Annotated[Whole, Field(ge=1, le=100)] = Field(
        50, description="the share of the spread that a move may use up, in percent from 1 to 100"
    )
    window_s: Seconds = Field(86_400, description="how many seconds back volatility is measured, from 1 to 604800")


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
    """Sources with a bound don't count, and all that tell a coin's price in local money count as one for each coin."""
    exposure_cap: Money | None = Field(None, description='US dollars in quotes, as in "20000"')
    """How many US dollars open quotes and unpaid orders may promise to one partner, or to all on the form, in one corridor.

    A locked price that nobody has to use is an option for free, and this limits what it can cost. Absent: no limit.
    """
    breakers: Breakers = Field(Breakers(), description="a [pricing.breakers] table")
    ttl: Ttl = Field(Ttl(), description="a [pricing.ttl] table")

    @field_validator("min_sources")
    @classmethod
    def _enough(cls, wanted: int, info: ValidationInfo) -> int:
        sources = needed(info, "sources")
        voting = sum(source.bounds_bps is None for source in sources)
        if wanted > voting:
            only = "" if voting == len(sources) else " that vote (those of kind ecb or with bound_bps only bound the others)"
            fewer = f" or give at most {voting}" if voting else ""
            raise ValueError(
                f"a price needs {wanted} sources and {voting} {plural(voting, 'is', 'are')} listed{only}; "
                f"add [[pricing.sources]]{fewer}"
            )
        return wanted

    @field_validator("exposure_cap", mode="plain")
    @classmethod
    def _in_dollars(cls, value: object) -> Money:
        return amount(value, currency_asset("USD"))
