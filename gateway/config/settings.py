"""The settings, in small groups. A field's description completes "… is wrong; give …"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gateway.config.chains import Chain, Checkpoint, Finality, Legs, Refunds, Sweep, Token
from gateway.config.experience import Experience
from gateway.config.fields import (
    AdapterName,
    Bps,
    Country,
    Currency,
    NotEmpty,
    PostgresUrl,
    Seconds,
    Site,
    Slug,
    Text,
    Whole,
    amount,
    currency_asset,
)
from gateway.config.floats import FloatCalendar, FloatDeposit, FloatFill, FloatLevel, Floats
from gateway.config.group import Group, needed
from gateway.config.pricing import Breakers, Pricing, Ttl
from gateway.config.routing import OpeningHours, Routing, RoutingPolicy, RoutingRule
from gateway.config.sources import Source
from gateway.config.tariffs import Band, Tariff
from gateway.money import Asset, Money
from gateway.offramp import Method

METHODS = ", ".join(Method)


class Server(Group):
    """[server]: where people and partners reach this gateway."""

    public_url: Site = Field(description='the address at which people reach this gateway, as in "https://pay.example.org"')
    host: Text = Field("127.0.0.1", description='the address to listen on, as in "127.0.0.1"')
    port: Annotated[Whole, Field(ge=1, le=65_535)] = Field(8000, description="a port from 1 to 65535")
    token_key_file: Path | None = Field(None, description="the path of the file with the key that signs access tokens")
    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None, description="what a scraper of /metrics has to show, at least 16 characters"
    )
    """Absent: /metrics answers this machine only."""


class Database(Group):
    """[database]: absent, the gateway runs its own PostgreSQL under the data folder."""

    url: PostgresUrl | None = Field(
        None, description='the address of a PostgreSQL database, as in "postgresql://user@host/lastmile"'
    )


class Economy(Group):
    """[corridors.economy]: payouts that wait for each other and go together, for another fee."""

    every_s: Seconds = Field(description="seconds between two drops, from 1 to 604800, as in 3600")
    """Drops are at its multiples since midnight UTC of 1 January 1970."""
    fee: str = Field(description='an amount of the corridor\'s currency in quotes, as in "5" or "0"')


class Corridor(Group):
    """[[corridors]]: where we pay, how, and for what price. Amounts are in the corridor's currency."""

    country: Country = Field(description='an ISO 3166 country code, as in "KE"')
    currency: Currency = Field(description='an ISO 4217 currency code, as in "KES"')
    methods: Annotated[tuple[Method, ...], NotEmpty] = Field(description=f"a list of some of {METHODS}")
    spread_bps: Bps = Field(description="hundredths of a percent from 0 to 9999, as in 50 for 0.5 %")
    fee: Money = Field(description='an amount in quotes, as in "25" or "0"')
    least: Money = Field(alias="min", description='the smallest payout, in quotes, as in "100"')
    most: Money = Field(alias="max", description='the largest payout, in quotes, as in "250000"')
    economy: Economy | None = Field(None, description="a [corridors.economy] table")
    pass_on_rail_fee: bool = Field(default=False, description="true or false")
    """Whether the customer pays what the rail charges us ([[tariffs]]) on top of `fee`. Absent: it is in spread and fee."""

    @field_validator("fee", "least", "most", mode="plain")
    @classmethod
    def _in_currency(cls, value: object, info: ValidationInfo) -> Money:
        return amount(value, currency_asset(needed(info, "currency")))

    @field_validator("least")
    @classmethod
    def _something(cls, least: Money) -> Money:
        if least.units == 0:
            raise ValueError("must be more than 0; give the smallest payout that makes sense")
        return least

    @field_validator("most")
    @classmethod
    def _not_below(cls, most: Money, info: ValidationInfo) -> Money:
        least: Money = needed(info, "least")
        if most < least:
            raise ValueError(f"{most} is less than min ({least}); give at least that")
        return most

    @field_validator("economy")
    @classmethod
    def _readable(cls, economy: Economy | None, info: ValidationInfo) -> Economy | None:
        if economy is not None:
            amount(economy.fee, currency_asset(needed(info, "currency")))
        return economy

    @property
    def asset(self) -> Asset:
        """The corridor's currency with its ISO 4217 decimals."""
        return currency_asset(self.currency)

    @property
    def economy_fee(self) -> Money | None:
        """What a payout of the next drop costs instead of `fee`; None: there are no drops."""
        return None if self.economy is None else Money.parse(self.economy.fee, self.asset)


class Adapter(Group):
    """[adapters.NAME]: `kind` is its entry point; all other keys are the adapter's own and checked by it."""

    model_config = ConfigDict(extra="allow")

    kind: Slug = Field(description='the kind of an installed adapter, as in "mpesa" (`lastmile rails` lists them)')

    @property
    def settings(self) -> Mapping[str, object]:
        """The adapter's own settings, secrets among them."""
        return MappingProxyType(self.model_extra or {})

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        return [("kind", self.kind)]


class Payouts(Group):
    """[payouts]: what people decide about payouts."""

    two_persons_above: Money | None = Field(None, description='US dollars in quotes, as in "200"')
    """In US dollars: an unknown outcome of more than that takes two persons to settle. Absent: every one does."""

    @field_validator("two_persons_above", mode="plain")
    @classmethod
    def _in_dollars(cls, value: object) -> Money:
        return amount(value, currency_asset("USD"))


class Agents(Group):
    """[agents]: our own network of cash agents."""

    code_days_most: Annotated[Whole, Field(ge=1, le=365)] = Field(
        90, description="for how many days a code may be redeemed at most, from 1 to 365"
    )
    wrong_per_agent: Annotated[Whole, Field(ge=1, le=1000)] = Field(
        10, description="how many wrong codes an agent may give in 15 minutes, from 1 to 1000"
    )
    wrong_per_code: Annotated[Whole, Field(ge=1, le=100)] = Field(
        5, description="after how many wrong facts a code is locked, from 1 to 100"
    )


class Treasury(Group):
    """[treasury]: how often books are compared with what chains and rails say."""

    reconcile_every_s: Seconds = Field(86_400, description="seconds between two reconciliations, from 1 to 604800")


class Settings(Group):
    """The whole configuration."""

    server: Server = Field(description="a [server] table")
    database: Database = Field(Database(), description="a [database] table")
    chains: Annotated[tuple[Chain, ...], NotEmpty] = Field(description="at least one [[chains]] table")
    corridors: Annotated[tuple[Corridor, ...], NotEmpty] = Field(description="at least one [[corridors]] table")
    pricing: Pricing = Field(description="a [pricing] table")
    payouts: Payouts = Field(Payouts(), description="a [payouts] table")
    agents: Agents = Field(Agents(), description="an [agents] table")
    treasury: Treasury = Field(Treasury(), description="a [treasury] table")
    tariffs: tuple[Tariff, ...] = Field((), description="[[tariffs]] tables")
    routing: Routing = Field(Routing(), description="a [routing] table")
    experience: Experience = Field(Experience(), description="an [experience] table")
    floats: Floats = Field(Floats(), description="a [floats] table")
    adapters: Annotated[Mapping[AdapterName, Adapter], NotEmpty] = Field(
        description='at least one table such as [adapters.mpesa] with a "kind"'
    )


GROUPS: Mapping[tuple[str, ...], type[Group]] = {
    (): Settings,
    ("server",): Server,
    ("database",): Database,
    ("chains",): Chain,
    ("chains", "finality"): Finality,
    ("chains", "tokens"): Token,
    ("chains", "checkpoint"): Checkpoint,
    ("chains", "sweep"): Sweep,
    ("chains", "refunds"): Refunds,
    ("chains", "legs"): Legs,
    ("corridors",): Corridor,
    ("corridors", "economy"): Economy,
    ("payouts",): Payouts,
    ("agents",): Agents,
    ("treasury",): Treasury,
    ("pricing",): Pricing,
    ("pricing", "sources"): Source,
    ("pricing", "breakers"): Breakers,
    ("pricing", "ttl"): Ttl,
    ("tariffs",): Tariff,
    ("tariffs", "charge"): Band,
    ("tariffs", "cash_out"): Band,
    ("routing",): Routing,
    ("routing", "policies"): RoutingPolicy,
    ("routing", "rules"): RoutingRule,
    ("routing", "hours"): OpeningHours,
    ("experience",): Experience,
    ("floats",): Floats,
    ("floats", "levels"): FloatLevel,
    ("floats", "fills"): FloatFill,
    ("floats", "deposits"): FloatDeposit,
    ("floats", "calendars"): FloatCalendar,
    ("adapters",): Adapter,
}
"""Which group a table is, by its names without list indexes and adapter names."""
