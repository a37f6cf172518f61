"""The settings of the Flutterwave adapter, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from adapters.flutterwave.routes import ASSETS, COUNTRIES, ROUTES
from gateway.offramp import Fault
from gateway.railkit.settings import RailSettings, Secret

HASH_LEAST = 16
_KEYS = frozenset(route.key for route in ROUTES)


def _secret_key(key: SecretStr) -> SecretStr:
    if not key.get_secret_value().startswith("FLWSECK"):
        raise ValueError
    return key


def _long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < HASH_LEAST:
        raise ValueError
    return secret


def _served(countries: tuple[str, ...]) -> tuple[str, ...]:
    if not countries or not set(countries) <= set(COUNTRIES):
        raise ValueError
    return countries


def _limits(limits: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
    if any(key not in _KEYS or not 0 < least <= most for key, (least, most) in limits.items()):
        raise ValueError
    return limits


def _lower(refusals: Mapping[str, Fault]) -> Mapping[str, Fault]:
    if not all(part.strip() for part in refusals):
        raise ValueError
    return {part.casefold(): fault for part, fault in refusals.items()}


def _currency(code: str | None) -> str | None:
    if code is not None and code not in (*ASSETS, "USD", "EUR", "GBP"):
        raise ValueError
    return code


class FlutterwaveSettings(RailSettings):
    """What stands under [adapters.NAME]."""

    secret_key: Annotated[Secret, AfterValidator(_secret_key)] = Field(
        description='the secret key of the dashboard, which begins with "FLWSECK"'
    )
    secret_hash: Annotated[Secret, AfterValidator(_long)] = Field(
        description=f"the secret hash entered at the dashboard's webhooks: {HASH_LEAST} characters or more, hard to guess"
    )
    countries: Annotated[tuple[str, ...], AfterValidator(_served)] = Field(
        description=f"the countries to which your contract lets you transfer: a list of {', '.join(COUNTRIES)}"
    )
    sender_name: str = Field(min_length=2, max_length=100, description="the sender's name: wallets want to know it")
    sender_country: str = Field(pattern=r"^[A-Z]{2}$", description="the sender's country, two letters such as KE")
    sender_phone: str = Field(
        pattern=r"^\+?[0-9]{8,15}$", repr=False, description="the sender's telephone number, 8 to 15 digits"
    )
    debit_currency: Annotated[str | None, AfterValidator(_currency)] = Field(
        default=None, description="the currency of the wallet that pays, if it isn't the recipient's, such as USD"
    )
    narration: str = Field(
        default="Lastmile payout", min_length=1, max_length=50, description="1 to 50 characters that the recipient sees"
    )
    limits: Annotated[Mapping[str, tuple[int, int]], AfterValidator(_limits)] = Field(
        default_factory=dict[str, tuple[int, int]],
        description=f'the least and the most of one transfer in whole units, as in {{"NG.bank" = [100, 1000000]}}; '
        f"keys are {', '.join(sorted(_KEYS))}",
    )
    refusals: Annotated[Mapping[str, Fault], AfterValidator(_lower)] = Field(
        default_factory=dict[str, Fault],
        description="parts of errors' texts by which Flutterwave says that it took nothing, and whose matter each is: "
        '"recipient", "rail", "float" or "transient"',
    )
    returns_within_s: int = Field(
        default=86_400, ge=0, description="seconds after a payment within which its money may come back"
    )

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)
