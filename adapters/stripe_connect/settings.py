"""The settings of the Stripe adapter, checked when it is made."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from adapters.stripe_connect.currencies import CURRENCIES, INSTANT, LEAST, asset_of, step_of
from gateway.money import Money, MoneyError
from gateway.offramp import BadSettings, Corridor, Method
from gateway.railkit.settings import HttpUrl, RailSettings, Secret

BANK_MOST, CARD_MOST = 10_000, 1_000
"""Greatest payment in whole units if the settings don't say: Stripe publishes none, so these are low on purpose."""
DAY_S = 86_400


class Limits(BaseModel):
    """What one country's payments may be. All is optional: the tables know the usual currency, the amounts are careful."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    least: str | None = None
    most: str | None = None

    def corridor(self, country: str, method: Method) -> Corridor:
        """The corridor. Raises ValueError for a country without a known currency, and for limits that aren't amounts."""
        currency = self.currency or CURRENCIES.get(country)
        if not re.fullmatch("[A-Z]{2}", country) or currency is None:
            raise ValueError(country)
        if method is Method.CARD and (country not in INSTANT or currency != CURRENCIES[country]):
            raise ValueError(country)
        asset = asset_of(currency)
        usual = CARD_MOST if method is Method.CARD else BANK_MOST
        least, most = self.least or str(LEAST.get(country, 1)), self.most or str(max(usual, LEAST.get(country, 1) * 10))
        step = step_of(asset)
        try:
            lowest, highest = Money.parse(least, asset).ceil_to(step), Money.parse(most, asset).floor_to(step)
        except MoneyError as error:
            raise ValueError(country) from error
        if not Money(0, asset) < lowest <= highest:
            raise ValueError(country)
        return Corridor(country=country, method=method, asset=asset, least=lowest, most=highest, step=step)


def _bank(places: Mapping[str, Limits]) -> Mapping[str, Limits]:
    for country, limits in places.items():
        limits.corridor(country, Method.BANK)
    return places


def _card(places: Mapping[str, Limits]) -> Mapping[str, Limits]:
    for country, limits in places.items():
        limits.corridor(country, Method.CARD)
    return places


PLACES = 'by country, as {"US": {}, "GB": {"currency": "GBP", "least": "1", "most": "5000"}}; all three are optional'


class StripeSettings(RailSettings):
    """What stands under [adapters.NAME]."""

    base_url: HttpUrl = Field(
        default="https://api.stripe.com", description="the address of Stripe's API, http or https; a path is allowed"
    )
    secret_key: Secret = Field(description="the platform's secret or restricted API key, sk_... or rk_...")
    webhook_secrets: tuple[Secret, ...] = Field(
        default=(),
        description="the signing secrets whsec_... of our event destinations; several while one is rolled, none: no events",
    )
    product: Literal["connect", "outbound_payments"] = Field(
        default="connect",
        description='"connect" (transfers, payouts and instant payouts of connected accounts) or "outbound_payments" (v2)',
    )
    financial_account: str | None = Field(
        default=None,
        pattern=r"^fa_[A-Za-z0-9_]+$",
        description='for outbound_payments: the financial account fa_... that pays; none for "connect"',
    )
    bank: Annotated[Mapping[str, Limits], AfterValidator(_bank)] = Field(
        default_factory=lambda: {"US": Limits()}, description=f"bank accounts {PLACES}"
    )
    card: Annotated[Mapping[str, Limits], AfterValidator(_card)] = Field(
        default_factory=dict[str, Limits], description=f"debit cards in countries with instant payouts, {PLACES}"
    )
    statement_descriptor: str | None = Field(
        default=None, min_length=3, max_length=22, description="3 to 22 characters for the recipient's bank statement"
    )
    signature_tolerance_s: int = Field(
        default=300, gt=0, le=3600, description="seconds by which a webhook's signature may be older than its arrival"
    )
    calls_per_s: int = Field(
        default=10,
        gt=0,
        le=25,
        description="payments a second, 1 to 25: Stripe takes 25 calls a second per endpoint, in a sandbox 25 in all",
    )
    settles_within_s: int = Field(
        default=7 * DAY_S, gt=0, description="seconds until a silent payment deserves a person's look"
    )
    returns_within_s: int = Field(
        default=10 * DAY_S, ge=0, description="seconds for which a payment that is called paid may still come back"
    )
    resend_within_s: int = Field(
        default=DAY_S, ge=0, le=DAY_S, description="seconds for which Stripe remembers an idempotency key: at most a day"
    )

    @classmethod
    def read(cls, settings: Mapping[str, object]) -> Self:
        """Check settings, those that depend on each other as well. Raises `BadSettings`."""
        read = super().read(settings)
        if (read.product == "outbound_payments") != (read.financial_account is not None):
            raise BadSettings({"financial_account": cls._right("financial_account")})
        if not read.corridors:
            raise BadSettings({"bank": "give at least one country in bank or card"})
        if os.environ.get("STRIPE_LOG"):
            raise BadSettings({"STRIPE_LOG": "unset this environment variable: it prints recipients' accounts"})
        return read

    @property
    def corridors(self) -> tuple[Corridor, ...]:
        """Where it pays."""
        banks = [limits.corridor(country, Method.BANK) for country, limits in self.bank.items()]
        return (*banks, *(limits.corridor(country, Method.CARD) for country, limits in self.card.items()))

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)
