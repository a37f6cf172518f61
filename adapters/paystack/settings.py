"""The settings of the Paystack adapter, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from adapters.paystack.routes import COUNTRIES, ROUTES
from gateway.railkit.settings import RailSettings, Secret

_KEYS = frozenset(route.key for route in ROUTES)


def _secret_key(key: SecretStr) -> SecretStr:
    if not key.get_secret_value().startswith(("sk_live_", "sk_test_")):
        raise ValueError
    return key


def _served(countries: tuple[str, ...]) -> tuple[str, ...]:
    if not countries or not set(countries) <= set(COUNTRIES):
        raise ValueError
    return countries


def _limits(limits: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
    if any(key not in _KEYS or not 0 < least <= most for key, (least, most) in limits.items()):
        raise ValueError
    return limits


class PaystackSettings(RailSettings):
    """What stands under [adapters.NAME]."""

    secret_key: Annotated[Secret, AfterValidator(_secret_key)] = Field(
        description='the secret key of the dashboard, which begins with "sk_live_" or "sk_test_"; it signs webhooks too'
    )
    countries: Annotated[tuple[str, ...], AfterValidator(_served)] = Field(
        description=f"the countries in which your Paystack business pays: a list of {', '.join(COUNTRIES)}"
    )
    limits: Annotated[Mapping[str, tuple[int, int]], AfterValidator(_limits)] = Field(
        default_factory=dict[str, tuple[int, int]],
        description=f'the least and the most of one transfer in whole units, as in {{"NG.bank" = [100, 5000000]}}; '
        f"keys are {', '.join(sorted(_KEYS))}",
    )
    narration: str = Field(
        default="Lastmile payout", min_length=1, max_length=50, description="1 to 50 characters that the recipient sees"
    )
    returns_within_s: int = Field(
        default=3 * 86_400, ge=0, description="seconds after a payment within which Paystack may reverse it"
    )

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)
