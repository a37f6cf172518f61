"""Settings of one account at one anchor."""

from __future__ import annotations

import re
from typing import Annotated, Self

from babel.numbers import get_currency_precision
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from stellar_sdk import Keypair, Network, StrKey

from gateway.money import Asset, Money, MoneyError
from gateway.offramp import Corridor, Method
from gateway.railkit.settings import HttpUrl, RailSettings, Secret

DAY_S = 86_400
Amount = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,4})?$")]


def _account(text: str) -> str:
    if not StrKey.is_valid_ed25519_public_key(text):
        raise ValueError
    return text


def _seed(secret: Secret) -> Secret:
    if not StrKey.is_valid_ed25519_secret_seed(secret.get_secret_value()):
        raise ValueError
    return secret


StellarAccount = Annotated[str, AfterValidator(_account)]
"""A public key on Stellar: G and 55 more characters, with a right checksum."""
Seed = Annotated[Secret, AfterValidator(_seed)]
"""A secret seed on Stellar: S and 55 more characters, with a right checksum."""


class Place(BaseModel):
    """One country and currency in which the anchor pays cash, and how much at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    country: str = Field(pattern=r"^[A-Z]{2}$")
    currency: str = Field(pattern=r"^[A-Z]{3}$")
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

    def corridor(self) -> Corridor:
        """As the port has it. Raises `MoneyError` for an amount finer than the currency."""
        asset = Asset(self.currency, get_currency_precision(self.currency))
        least, most, step = (Money.parse(each, asset) for each in (self.least, self.most, self.step))
        return Corridor(country=self.country, method=Method.CASH, asset=asset, least=least, most=most, step=step)


class Sep24Settings(RailSettings):
    """What stands under [adapters.NAME] with kind = "sep24"."""

    base_url: HttpUrl = Field(description="the anchor's home domain, whose /.well-known/stellar.toml names all its servers")
    horizon_url: HttpUrl = Field(description="a Horizon server of the same network")
    network_passphrase: str = Field(
        default=Network.PUBLIC_NETWORK_PASSPHRASE, min_length=1, description="the passphrase of the Stellar network"
    )
    secret_key: Seed = Field(description="the secret seed (S...) of our account on Stellar, which holds the coins")
    signing_key: StellarAccount = Field(description="the anchor's SIGNING_KEY (G...), as its stellar.toml has it")
    asset_code: str = Field(default="USDC", pattern=r"^[a-zA-Z0-9]{1,12}$", description="the coin's code, as USDC")
    asset_issuer: StellarAccount = Field(description="the account (G...) that issues the coin")
    places: tuple[Place, ...] = Field(
        min_length=1,
        description=(
            "tables of country, currency, least, most and step, amounts in quotes, least and most multiples of step, "
            'as in {country = "KE", currency = "KES", least = "500", most = "100000", step = "1"}'
        ),
    )
    least_rates: dict[str, str] = Field(
        default={}, description='the least currency for one coin at which it is paid for, as {"KES": "120.50"}'
    )
    delivery_method: str | None = Field(
        default=None,
        min_length=1,
        max_length=60,
        description="the anchor's word for cash in its quotes, as CASH, if it wants one",
    )
    opens_page: bool = Field(
        default=False, description="true if the anchor needs nobody at its page: then we fetch it once ourselves"
    )
    fee_most: int = Field(
        default=10_000, ge=100, le=10_000_000, description="the most stroops for a transaction, from 100 to 10000000"
    )
    pay_within_s: int = Field(
        default=300, ge=30, le=DAY_S, description="seconds in which our transaction is valid at most, from 30 to 86400"
    )
    pay_before_s: int = Field(
        default=60, ge=0, le=DAY_S, description="seconds before the anchor's deadline in which nothing is sent any more"
    )
    settles_within_s: int = Field(
        default=7 * DAY_S, gt=0, description="seconds until cash that nobody took deserves a person's look"
    )

    @field_validator("least_rates")
    @classmethod
    def _decimal(cls, rates: dict[str, str]) -> dict[str, str]:
        if not all(re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", each) for each in rates.values()):
            raise ValueError
        return rates

    @field_validator("places")
    @classmethod
    def _once(cls, places: tuple[Place, ...]) -> tuple[Place, ...]:
        if len({(each.country, each.currency) for each in places}) != len(places):
            raise ValueError
        return places

    @property
    def keypair(self) -> Keypair:
        """Our key. Its repr shows the public part only."""
        return Keypair.from_secret(self.secret_key.get_secret_value())

    @property
    def coin(self) -> Asset:
        """The coin in our books. All amounts on Stellar have seven decimals."""
        return Asset(f"{self.asset_code}@stellar", 7)

    @property
    def asset_name(self) -> str:
        """The coin as SEP-38 names it."""
        return f"stellar:{self.asset_code}:{self.asset_issuer}"
