"""The settings of the agent-network adapter, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from babel.numbers import get_currency_precision
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.money import Asset, Money, MoneyError
from gateway.offramp import Corridor, Method
from gateway.railkit.settings import RailSettings, Secret

DAY_S = 86_400
Word = Literal["available", "paid", "failed", "unknown"]
ASSUMED_STATES: Mapping[str, Word] = {
    "active": "available",
    "redeemed": "paid",
    "cancelled": "failed",
    "expired": "failed",
}
"""GSMA 1.2 lists active, expired and cancelled, and no word for a code that was redeemed: that one is our own network's."""

Amount = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,4})?$")]


class Counter(BaseModel):
    """One country and currency that the network pays, and our account there that it is paid from."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    country: str = Field(pattern=r"^[A-Z]{2}$")
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    account: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", repr=False)
    least: Amount
    most: Amount
    step: Amount

    @model_validator(mode="after")
    def _agree(self) -> Self:
        try:
            corridor = self.corridor()
        except MoneyError:
            raise ValueError from None
        nothing = Money(0, corridor.asset)
        if not (nothing < corridor.step and nothing < corridor.least <= corridor.most):
            raise ValueError
        if any(each.floor_to(corridor.step) != each for each in (corridor.least, corridor.most)):
            raise ValueError
        return self

    @property
    def asset(self) -> Asset:
        """The currency with its ISO 4217 decimals."""
        return Asset(self.currency, get_currency_precision(self.currency))

    def corridor(self) -> Corridor:
        """As the port has it. Raises `MoneyError` for an amount finer than the currency."""
        least, most, step = (Money.parse(each, self.asset) for each in (self.least, self.most, self.step))
        return Corridor(country=self.country, method=Method.CASH, asset=self.asset, least=least, most=most, step=step)


class AgentNetworkSettings(RailSettings):
    """What stands under [adapters.NAME]."""

    client_id: str = Field(
        pattern=r"^[\x21-\x7e]{1,256}$", description="the client id that the network gave us (X-Client-Id)"
    )
    api_key: Secret = Field(description="the client key that the network gave us")
    counters: tuple[Counter, ...] = Field(
        min_length=1,
        description=(
            "tables of country, currency, account (ours at the network), least, most and step, amounts in quotes, "
            'least and most multiples of step, as in {country = "KE", currency = "KES", account = "acc_1", least = "100", '
            'most = "35000", step = "50"}'
        ),
    )
    code_lifetime_s: int = Field(
        default=14 * DAY_S, ge=600, le=90 * DAY_S, description="for how many seconds a code can be redeemed, 600 to 7776000"
    )
    where: str | None = Field(
        default=None, min_length=1, max_length=200, description="where the cash is paid out and what to bring, in a sentence"
    )
    states: Mapping[str, Word] = Field(
        default_factory=lambda: dict(ASSUMED_STATES),
        description='what the words of codeState mean: "available", "paid", "failed" or "unknown"',
    )
    settles_within_s: int = Field(
        default=15 * DAY_S, gt=0, description="seconds until a code that nobody has redeemed deserves a person's look"
    )
    returns_within_s: int = Field(
        default=DAY_S, ge=0, description="seconds after the cash was given in which the network may take it back"
    )

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)

    def account_for(self, *, country: str, currency: str) -> str:
        """Our account at the network for a corridor that `counters` has."""
        return next(each.account for each in self.counters if (each.country, each.currency) == (country, currency))
