"""The settings of the partner adapter, checked when it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from babel.numbers import get_currency_precision
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.money import Asset, Money, MoneyError
from gateway.offramp import Corridor, Institution, Method
from gateway.railkit.settings import RailSettings, Secret

Amount = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,4})?$")]


class Place(BaseModel):
    """One country, method and currency that the partner fills, and how much of it at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    country: str = Field(pattern=r"^[A-Z]{2}$")
    method: Literal[Method.MOBILE_MONEY, Method.BANK, Method.CARD, Method.EXCHANGE]
    """Cash isn't among them: whoever gives it has to tell a code first, and this contract has no place for one."""
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    least: Amount
    most: Amount
    step: Amount
    institutions: dict[str, str] = Field(default_factory=dict)
    """Code to name of the banks or wallets that the partner pays into; none: the account says it all."""

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

    def corridor(self) -> Corridor:
        """As the port has it. Raises `MoneyError` for an amount finer than the currency."""
        asset = Asset(self.currency, get_currency_precision(self.currency))
        least, most, step = (Money.parse(each, asset) for each in (self.least, self.most, self.step))
        return Corridor(
            country=self.country,
            method=self.method,
            asset=asset,
            least=least,
            most=most,
            step=step,
            institutions=tuple(Institution(code, name) for code, name in self.institutions.items()),
        )


class PartnerSettings(RailSettings):
    """What stands under [adapters.NAME]."""

    client_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="the client id that `lastmile fills clients add` gave"
    )
    client_secret: Secret = Field(description="the secret that `lastmile fills clients add` gave")
    partner_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description='the id of the partner who is to fill, as in "par_01J…"'
    )
    places: tuple[Place, ...] = Field(
        min_length=1,
        description=(
            "tables of country, method, currency, least, most, step, amounts in quotes, least and most multiples of step, "
            'as in {country = "NG", method = "bank", currency = "NGN", least = "1000", most = "5000000", step = "0.01"}'
        ),
    )
    offered_for_s: int = Field(
        default=300, ge=10, le=86_400, description="seconds in which the partner may accept, from 10 to 86400"
    )
    fulfil_within_s: int = Field(
        default=3600,
        ge=60,
        le=604_800,
        description="seconds after accepting in which he has to have paid, from 60 to 604800",
    )
    settles_within_s: int = Field(default=4500, gt=0, description="seconds until a silent payment deserves a person's look")
    resend_within_s: int = Field(
        default=30 * 86_400, ge=0, description="seconds for which the other side remembers our reference"
    )
    returns_within_s: int = Field(
        default=3 * 86_400, ge=0, description="seconds after a payment in which its money may still come back"
    )

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)
