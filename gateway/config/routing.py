"""Settings of routing: by which policy rails are chosen, which rules hold, and when recipients can have their money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config.errors import shown
from gateway.config.fields import AdapterName, Country, Currency, NotEmpty, Text, Whole, amount, currency_asset
from gateway.config.group import Group
from gateway.money import Money
from gateway.offramp import Method

METHODS = ", ".join(Method)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALL = 100

Percent = Annotated[Whole, Field(ge=0, le=1_000)]
Worth = Annotated[Whole, Field(ge=0, le=10_000)]


def _policy_name(name: str) -> str:
    if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is None:
        raise ValueError('is no name for a policy; give small letters, digits and single "_", for example "night"')
    return name


def _clock_time(value: object) -> object:
    # pydantic takes numbers for seconds since midnight.
    if not isinstance(value, str | time):
        raise ValueError(f'{shown(value)} is no time of day; give one in quotes, as in "08:00"')  # noqa: TRY004 - pydantic collects only ValueErrors
    return value


PolicyName = Annotated[str, AfterValidator(_policy_name)]
TimeOfDay = Annotated[time, BeforeValidator(_clock_time)]
Rails = Annotated[tuple[AdapterName, ...], NotEmpty]


class RoutingPolicy(Group):
    """[routing.policies.NAME]: what counts how much. What isn't given counts as it does in "balanced"."""

    hand_percent: Percent = Field(
        100, description="how much what the recipient pays for cash counts, in percent from 0 to 1000, as in 100"
    )
    cost_percent: Percent = Field(
        100, description="how much what the rail charges counts, in percent from 0 to 1000, as in 100"
    )
    hour_bps: Worth = Field(
        10, description="what an hour less is worth, in hundredths of a percent of the amount from 0 to 10000, as in 10"
    )
    late_hour_bps: Worth = Field(
        5, description="what an hour less in the slowest of twenty payments is worth, from 0 to 10000, as in 5"
    )
    failure_bps: Worth = Field(
        100, description="the price of a failure, in hundredths of a percent of the amount from 0 to 10000, as in 100"
    )
    doubt_bps: Worth = Field(
        0, description="the price of a failure times how likely it is at worst, from 0 to 10000, as in 50"
    )
    shares: Annotated[Mapping[AdapterName, Annotated[Whole, Field(ge=1, le=ALL)]], NotEmpty] | None = Field(
        None, description="percentages by adapter, from 1 to 100 each, as in { mpesa = 70, airtel = 30 }"
    )

    @field_validator("shares")
    @classmethod
    def _no_more_than_all(cls, shares: Mapping[str, int] | None) -> Mapping[str, int] | None:
        if shares and (total := sum(shares.values())) > ALL:
            raise ValueError(f"together that is {total} %; give shares that come to 100 at most, the rest goes by weights")
        return shares


class RoutingRule(Group):
    """[[routing.rules]]: which adapters pay what all given conditions fit."""

    country: Country | None = Field(None, description='an ISO 3166 country code, as in "KE"')
    currency: Currency | None = Field(None, description='an ISO 4217 currency code, as in "KES"')
    method: Method | None = Field(None, description=f"one of {METHODS}")
    institution: Text | None = Field(None, description="a bank's or wallet's code, as in \"mpesa\"")
    partner: Text | None = Field(None, description="a partner's id, as `lastmile partner balances` shows it")
    above: str | None = Field(None, description='an amount of the rule\'s currency in quotes, as in "100000"')
    """It holds for more than this."""
    below: str | None = Field(None, description='an amount of the rule\'s currency in quotes, as in "500"')
    """It holds for less than this."""
    only: Rails | None = Field(None, description='a list of adapters, as in ["mpesa"]')
    never: Rails | None = Field(None, description='a list of adapters, as in ["airtel"]')
    prefer: Rails | None = Field(None, description='a list of adapters, as in ["mpesa"]')

    @field_validator("above", "below")
    @classmethod
    def _of_a_currency(cls, limit: str | None, info: ValidationInfo) -> str | None:
        if limit is not None:
            if info.data.get("currency") is None:
                raise ValueError('an amount of which currency? give the rule a currency too, as in "KES"')
            amount(limit, currency_asset(info.data["currency"]))
        return limit

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.only is None and self.never is None and self.prefer is None:
            raise ValueError("says nothing; give only, never or prefer with a list of adapters")
        above, below = self.money(self.above), self.money(self.below)
        if above is not None and below is not None and below <= above:
            raise ValueError(f"no amount is above {above} and below {below}; give a smaller above or a larger below")
        return self

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if both := sorted(set(self.never or ()) & {*(self.only or ()), *(self.prefer or ())}):
            raise ValueError(f"{', '.join(both)} stands under never and under only or prefer; name it in one of them")
        if self.only is not None and (strange := sorted(set(self.prefer or ()) - set(self.only))):
            raise ValueError(f"prefers {', '.join(strange)}, which only leaves out; name it there too, or don't prefer it")
        return self

    def money(self, limit: str | None) -> Money | None:
        """A limit of this rule in its currency."""
        return None if limit is None or self.currency is None else amount(limit, currency_asset(self.currency))

    @property
    def rails(self) -> tuple[str, ...]:
        """All adapters that it names."""
        return (*(self.only or ()), *(self.never or ()), *(self.prefer or ()))


class OpeningHours(Group):
    """[[routing.hours]]: when payments can be collected that fit; several tables are open together."""

    country: Country = Field(description='an ISO 3166 country code, as in "KE"; its public holidays count')
    method: Method = Field(Method.CASH, validate_default=True, description=f"one of {METHODS}")
    rail: AdapterName | None = Field(None, description='an adapter\'s name, as in "agents" for [adapters.agents]')
    institution: Text | None = Field(None, description="a bank's, wallet's or shop's code")
    days: Annotated[tuple[str, ...], NotEmpty] = Field(DAYS, description=f"a list of some of {', '.join(DAYS)}")
    opens: TimeOfDay = Field(description='a time of day in quotes, as in "08:00"')
    closes: TimeOfDay = Field(description='a time of day in quotes, as in "18:30"')
    """Not after `opens`: on the next day."""
    zone: str = Field(description='an IANA time zone, as in "Africa/Nairobi"')
    on_holidays: bool = Field(default=False, description="true or false")

    @field_validator("days")
    @classmethod
    def _known_days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [day for day in days if day not in DAYS]:
            raise ValueError(f"{shown(wrong[0])} is no day; give some of {', '.join(DAYS)}")
        return days

    @field_validator("opens", "closes")
    @classmethod
    def _local(cls, moment: time) -> time:
        if moment.tzinfo is not None:
            raise ValueError('the time zone stands in zone; give the local time alone, as in "08:00"')
        return moment

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f'{shown(zone)} is no IANA time zone; give one such as "Africa/Nairobi"')
        return zone


class Routing(Group):
    """[routing]: how a rail is chosen among those that can pay."""

    policy: PolicyName = Field(
        "balanced", description='"balanced", "cheapest", "fastest", "surest" or the name of a [routing.policies.NAME] table'
    )
    policies: Mapping[PolicyName, RoutingPolicy] = Field({}, description="[routing.policies.NAME] tables")
    rules: tuple[RoutingRule, ...] = Field((), description="[[routing.rules]] tables")
    hours: tuple[OpeningHours, ...] = Field((), description="[[routing.hours]] tables")
    explore_percent: Annotated[Whole, Field(ge=0, le=50)] = Field(
        2, description="how many percent of the orders look whether another rail does better by now, from 0 to 50"
    )
    decisions_days: Annotated[Whole, Field(ge=1, le=3650)] = Field(
        90, description="for how many days decisions are kept, from 1 to 3650, as in 90"
    )
