"""The settings of the pawaPay adapter, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from adapters.pawapay.places import COUNTRIES, NAMES, PLACES, Place
from gateway.money import Money, MoneyError
from gateway.offramp import BadSettings, Corridor, Institution, Method
from gateway.railkit.settings import RailSettings, Secret

CURVES = (SECP256R1.name, SECP384R1.name)
"""P-256 and P-384, by the names that keys carry."""


def public_key(pem: str) -> EllipticCurvePublicKey:
    """The key with which pawaPay signs callbacks: on curve P-256 or P-384. Raises ValueError."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise ValueError("no key on curve P-256 or P-384")
    return key


def private_key(pem: str) -> EllipticCurvePrivateKey:
    """Our key for requests: on curve P-256 or P-384. Raises ValueError."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise ValueError("no key on curve P-256 or P-384")
    return key


def _public(pem: str) -> str:
    public_key(pem)
    return pem


def _private(pem: SecretStr) -> SecretStr:
    try:
        private_key(pem.get_secret_value())
    except TypeError:
        raise ValueError from None
    return pem


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError
    return code


class Limits(BaseModel):
    """What one payment may be in a corridor, as decimals of its currency."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True)

    least: str
    most: str
    step: str = "1"


class PawaPaySettings(RailSettings):
    """What stands under [adapters.NAME]."""

    api_token: Secret = Field(description="the API token of the pawaPay Dashboard")
    countries: tuple[Annotated[str, AfterValidator(_country)], ...] = Field(
        min_length=1, description=f"the countries that your account pays to, from {', '.join(COUNTRIES)}"
    )
    institutions: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='for a country the wallets that your account pays to, such as {RW = ["mtn"]}; without it all',
    )
    limits: Mapping[str, Limits] = Field(
        default_factory=dict,
        description='for "COUNTRY/CURRENCY", such as "RW/RWF", least, most and step as in your active configuration; '
        "least and most in multiples of step",
    )
    signed_callbacks: bool = Field(
        default=False, description="true if signed callbacks are switched on in the pawaPay Dashboard"
    )
    callback_keys: Mapping[str, Annotated[str, AfterValidator(_public)]] = Field(
        default_factory=dict,
        repr=False,
        description="pawaPay's public keys by id, as PEM on curve P-256 or P-384; without them they are fetched",
    )
    callback_fresh_s: int = Field(
        default=300, gt=0, le=86_400, description="seconds for which a signed callback counts, up to 86400"
    )
    signing_key_id: str = Field(
        default="", pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{0,100}$", description="the name of our key in the Dashboard"
    )
    signing_key: Annotated[SecretStr, AfterValidator(_private)] | None = Field(
        default=None, description="our private key for signed requests, as PEM on curve P-256 or P-384, with signing_key_id"
    )
    message: str = Field(
        default="Lastmile payout",
        pattern=r"^[A-Za-z0-9 ]{4,22}$",
        description="4 to 22 letters, digits and spaces for the recipient",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        wrong = {
            "signing_key": (self.signing_key is None) != (not self.signing_key_id),
            "limits": not all(self._is_right(key) for key in self.limits),
            "institutions": not all(
                codes and set(codes) <= {code for each in PLACES if each.country == country for code in each.providers}
                for country, codes in self.institutions.items()
            ),
        }
        if found := [key for key, is_wrong in wrong.items() if is_wrong]:
            raise BadSettings({key: self._right(key) for key in found})
        return self

    def places(self) -> list[Place]:
        """Where this account pays, each with its wallets."""
        return [
            each._replace(providers={code: each.providers[code] for code in each.providers if self._reaches(each, code)})
            for each in PLACES
            if each.country in self.countries
        ]

    def corridors(self) -> tuple[Corridor, ...]:
        """For `Capabilities.corridors`."""
        return tuple(self._corridor(each) for each in self.places())

    def _reaches(self, place: Place, code: str) -> bool:
        return code in self.institutions.get(place.country, tuple(place.providers))

    def _corridor(self, place: Place) -> Corridor:
        limits = self.limits.get(f"{place.country}/{place.currency}", Limits(least=place.least, most=place.most))
        return Corridor(
            country=place.country,
            method=Method.MOBILE_MONEY,
            asset=place.asset,
            least=Money.parse(limits.least, place.asset),
            most=Money.parse(limits.most, place.asset),
            step=Money.parse(limits.step, place.asset),
            institutions=tuple(Institution(code=code, name=NAMES[code]) for code in place.providers),
        )

    def _is_right(self, key: str) -> bool:
        place = next((each for each in PLACES if f"{each.country}/{each.currency}" == key), None)
        if place is None:
            return False
        try:
            corridor = self._corridor(place)
        except MoneyError:
            return False
        least, most, step = corridor.least, corridor.most, corridor.step
        ordered = Money(0, place.asset) < step <= least <= most
        return ordered and least.floor_to(step) == least and most.floor_to(step) == most
