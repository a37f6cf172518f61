"""Settings of one Yellow Card business account."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from adapters.yellowcard.countries import COUNTRIES
from gateway.offramp import Fault
from gateway.railkit.settings import RailSettings, Secret


class YellowCardSettings(RailSettings):
    """What stands under [adapters.NAME] with kind = "yellowcard"."""

    api_key: Secret = Field(description="the API key of the business account")
    secret_key: Secret = Field(description="the secret key that belongs to the API key")
    business_name: str = Field(
        min_length=1, description="our registered name: the sender of every payment is our institution"
    )
    business_id: str = Field(min_length=1, description="our registration number, as Yellow Card knows it")
    customer_uid: str = Field(min_length=1, description="our own id as a customer, the same for all payments")
    reason: str = Field(default="other", min_length=1, description="the reason given for each payment, such as other")
    countries: tuple[str, ...] = Field(
        default=tuple(COUNTRIES), min_length=1, description=f"a list of some of {', '.join(COUNTRIES)}"
    )
    limits: dict[str, tuple[int, int]] = Field(
        default={}, description='least and greatest payment per country in whole units, as {"KE": [1000, 50000]}'
    )
    networks: dict[str, str] = Field(
        default={},
        description='Yellow Card\'s network id per bank or wallet that its name doesn\'t tell, as {"KE:mpesa": "id"}',
    )
    failures: dict[str, Fault] = Field(
        default={}, description="whose matter an errorCode of a failed payment is: recipient, rail, float or transient"
    )
    naming: Literal["payments", "send"] = Field(
        default="payments", description="payments, or send once Yellow Card has switched the old paths off"
    )
    final_when_missing_s: int | None = Field(
        default=None,
        ge=3600,
        description="seconds, 3600 or more, after which a payment that isn't found was never made; or none",
    )
    settles_within_s: int = Field(
        default=10_800, gt=0, description="seconds until a silent payment deserves a person's look"
    )
    resend_within_s: int = Field(
        default=0, ge=0, description="seconds for which Yellow Card refuses a sequenceId again; 0: unknown"
    )

    @field_validator("countries")
    @classmethod
    def _served(cls, countries: tuple[str, ...]) -> tuple[str, ...]:
        if set(countries) - set(COUNTRIES) or len(set(countries)) != len(countries):
            raise ValueError
        return countries

    @field_validator("limits")
    @classmethod
    def _ordered(cls, limits: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        if set(limits) - set(COUNTRIES) or any(not 0 < least <= most for least, most in limits.values()):
            raise ValueError
        return limits
