"""The kinds of values a configuration holds, each with its check.

A check that raises ValueError speaks for itself; one that raises `WRONG` is told by the field's description.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated
from urllib.parse import urlsplit

from babel import Locale
from babel.core import get_global
from babel.numbers import get_currency_precision
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    ValidationError,
    WebsocketUrl,
)
from pydantic_core import PydanticCustomError

from gateway.config.errors import shown
from gateway.money import Asset, Money, MoneyError

WRONG = PydanticCustomError("wrong", "told by the field's description")

DEPENDS = "depends"
"""Type of an error that only follows from another one, which is reported already."""

NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
"""Regions of CLDR with two letters that are no ISO 3166 countries."""

ISO_DECIMALS = {
    "AFN": 2, "ALL": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2, "LBP": 2,
    "MGA": 2, "MMK": 2, "RSD": 2, "SOS": 2, "SYP": 2, "YER": 2,
}  # fmt: skip
"""Exponents of ISO 4217 where CLDR's differ: CLDR drops the decimals that nobody uses in cash, rails and banks don't."""

BURN = "0x" + 40 * "0"


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes (and the few exceptional reservations, such as XK), as CLDR knows them."""
    return frozenset(code for code in map(str, Locale("en").territories) if re.fullmatch("[A-Z]{2}", code)) - NO_COUNTRIES


@cache
def currencies() -> frozenset[str]:
    """ISO 4217 codes that are legal tender somewhere without a known end, as CLDR knows them."""
    rows = (row for rows in get_global("territory_currencies").values() for row in rows)
    return frozenset(code for code, _start, end, tender in rows if tender and end is None)


def currency_asset(code: str) -> Asset:
    """A currency with the number of decimals that ISO 4217 gives it (KES 2, UGX 0)."""
    return Asset(code, ISO_DECIMALS.get(code, get_currency_precision(code)))


def amount(value: object, asset: Asset) -> Money:
    """A configured amount: a decimal string. Raises ValueError with the sentence to show."""
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not an amount; write a decimal in quotes, for example "10.5"')  # noqa: TRY004 - pydantic collects only ValueErrors
    try:
        return Money.parse(value, asset)
    except MoneyError as error:
        raise ValueError(str(error)) from None


def _digits(value: object) -> object:
    """The environment has only text: plain digits are the number they spell."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}", value) else value


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise WRONG
    return value


def _not_empty(value: object) -> object:
    if value in ([], {}):
        raise WRONG
    return value


def _http_url(text: str) -> str:
    try:
        return str(HttpUrl(text))
    except ValidationError:
        raise WRONG from None


def _socket_url(text: str) -> str:
    try:
        return str(WebsocketUrl(text))
    except ValidationError:
        raise WRONG from None


def _without_slash(text: str) -> str:
    return text.rstrip("/")


def _site(text: str) -> str:
    url = HttpUrl(text)
    if url.path not in (None, "/") or url.query or url.fragment or url.username or url.password:
        raise ValueError('must end after host and port: pages stand at the root, as in "https://pay.example.org"')
    return _without_slash(text)


def _postgres_url(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        urlsplit(text).port  # noqa: B018 - reading it checks it
    except ValueError:
        raise WRONG from None
    if not text.startswith("postgresql://"):
        raise WRONG
    return secret


def _address(text: str) -> str:
    from eth_utils.address import to_checksum_address  # noqa: PLC0415 - takes 0.3 s to import

    if re.fullmatch("0x[0-9a-fA-F]{40}", text) is None:
        raise WRONG
    if text == BURN:
        raise ValueError(
            "this is the zero address: coins sent there are lost; give an address of a real account or contract"
        )
    right = str(to_checksum_address(text))
    if text[2:] not in (text[2:].lower(), text[2:].upper(), right[2:]):
        raise ValueError(
            f"{text} is mistyped: its capitals don't fit (EIP-55 checksum); copy it again from where it came from"
        )
    return right


def _country(code: str) -> str:
    if code in countries():
        return code
    hint = f"did you mean {shown(code.upper())}?" if code.upper() in countries() else 'give two capitals, for example "KE"'
    raise ValueError(f"{shown(code)} is no ISO 3166 country code; {hint}")


def _currency(code: str) -> str:
    if code in currencies():
        return code
    hint = (
        f"did you mean {shown(code.upper())}?" if code.upper() in currencies() else 'give three capitals, for example "KES"'
    )
    raise ValueError(f"{shown(code)} is no ISO 4217 code of a currency in use; {hint}")


def _adapter_name(name: str) -> str:
    if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is None:
        raise ValueError('is no name for an adapter; give small letters, digits and single "_", for example "mpesa_ke"')
    return name


NotEmpty = BeforeValidator(_not_empty)
"""For lists and tables. pydantic's min_length doesn't count wrong entries and would complain a second time."""

Whole = Annotated[int, Field(strict=True), BeforeValidator(_digits)]
"""A whole number; true and 1.0 are none."""

Bps = Annotated[Whole, Field(ge=0, lt=10_000)]
"""Basis points: 1 is 0.01 %."""

Seconds = Annotated[Whole, Field(ge=1, le=604_800)]
"""Whole seconds, a week at most."""

Pause = Annotated[float, Field(gt=0, le=3600), BeforeValidator(_not_bool)]
"""Seconds to wait, fractions allowed."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""A short name in small letters."""

Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.]{1,16}$")]
"""A token's symbol: "USDC", "USDC.e"."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""Any text but none."""

Url = Annotated[str, AfterValidator(_http_url)]
"""An http or https address, which may hold a key of ours."""

SocketUrl = Annotated[str, AfterValidator(_socket_url)]
"""A ws or wss address, which may hold a key of ours."""

BlockHash = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$", to_lower=True)]
"""A block's hash, kept in small letters."""

BaseUrl = Annotated[Url, AfterValidator(_without_slash)]
"""An http or https address that paths are added to, without the slash at its end."""

Site = Annotated[Url, AfterValidator(_site)]
"""An http or https address of scheme, host and port only, without the slash at its end."""

PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
"""postgresql://…"""

Address = Annotated[str, AfterValidator(_address)]
"""An account or contract on an EVM chain, kept with its EIP-55 capitals."""

Country = Annotated[str, AfterValidator(_country)]
"""ISO 3166-1 alpha-2."""

Currency = Annotated[str, AfterValidator(_currency)]
"""ISO 4217."""

AdapterName = Annotated[str, AfterValidator(_adapter_name)]
"""A name that an environment variable can hold too."""
