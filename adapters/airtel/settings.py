"""The settings of the Airtel adapter, checked when it is made."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from pydantic import AfterValidator, Field, SecretStr

from adapters.airtel.places import PLACES
from gateway.railkit.settings import RailSettings, Secret

PEM_MARK = "-----BEGIN PUBLIC KEY-----"


def public_key(text: str) -> RSAPublicKey:
    """The RSA key of the portal: base64 as the portal shows it, PEM text, or the path of a file with either.

    Raises ValueError or OSError.
    """
    data = text if PEM_MARK in text else _base64_or_file(text)
    if PEM_MARK in data:
        key = load_pem_public_key(data.encode())
    else:
        key = load_der_public_key(base64.b64decode("".join(data.split()), validate=True))
    if not isinstance(key, RSAPublicKey):
        raise ValueError("no RSA key")  # noqa: TRY004 - the value is wrong, not its type
    return key


def _base64_or_file(text: str) -> str:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return Path(text).expanduser().read_text()
    return text


def _readable(text: str) -> str:
    try:
        public_key(text)
    except OSError as error:
        raise ValueError(type(error).__name__) from None
    return text


def _four_digits(pin: SecretStr) -> SecretStr:
    digits = pin.get_secret_value()
    if not (digits.isascii() and digits.isdigit() and len(digits) == 4):  # noqa: PLR2004 - a PIN
        raise ValueError
    return pin


def _served(countries: tuple[str, ...]) -> tuple[str, ...]:
    currencies = {PLACES[country].asset for country in countries if country in PLACES}
    # An enquiry names the country, which we find by the currency.
    if not countries or len(currencies) != len(countries):
        raise ValueError
    return countries


def _limits(limits: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
    if any(country not in PLACES or not 0 < least <= most for country, (least, most) in limits.items()):
        raise ValueError
    return limits


_PATH = r"^/[A-Za-z0-9/._-]*$"


class AirtelSettings(RailSettings):
    """What stands under [adapters.NAME]."""

    client_id: Secret = Field(description="the client id of the application on developers.airtel.africa")
    client_secret: Secret = Field(description="the client secret of that application")
    pin: Annotated[SecretStr, AfterValidator(_four_digits)] = Field(description="the disbursement account's PIN, 4 digits")
    public_key: Annotated[str, AfterValidator(_readable)] = Field(
        repr=False,
        description="the portal's public RSA key: the base64 text as shown there, PEM text, or the path of a file with it",
    )
    countries: Annotated[tuple[str, ...], AfterValidator(_served)] = Field(
        default=("ZM",),
        description=f"a list of countries with different currencies, of {', '.join(PLACES)}; XAF's countries one by one",
    )
    limits: Annotated[Mapping[str, tuple[int, int]], AfterValidator(_limits)] = Field(
        default_factory=dict[str, tuple[int, int]],
        description="per country the least and the most of one payment in whole units, as in {ZM = [5, 5000]}",
    )
    disbursement_path: str = Field(
        default="/standard/v2/disbursements/", pattern=_PATH, description="the path of disbursements, as in your contract"
    )
    wallet_type: str | None = Field(
        default=None, pattern=r"^[A-Z_]{1,20}$", description="for version 3 of the API: the kind of wallet, as in NORMAL"
    )
    balance_path: str = Field(
        default="/standard/v1/users/balance", pattern=_PATH, description="the path that tells our balance"
    )
    name_path: str = Field(
        default="/standard/v1/users/",
        pattern=_PATH,
        description="the path that tells whose number it is, without the number",
    )
    calls_back: bool = Field(
        default=False, description="whether Airtel calls the address that `lastmile rails webhooks` shows: true or false"
    )
