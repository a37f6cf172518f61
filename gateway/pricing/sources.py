"""Where rates come from: the port, and the kinds of source there are."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import httpx

from gateway.pricing.observations import Observation, is_fresh, is_plausible

OPEN_EXCHANGE_RATES = "https://openexchangerates.org"
BODY_MOST = 1_000_000
"""Longest answer or file that is read, in bytes; every currency of the world takes some 4,000."""
TIMESTAMP_MOST = 10**11
"""Unix seconds of the year 5138: what is above was meant in milliseconds or is garbage."""
MAGNITUDE_MOST = 12
"""Powers of ten, up and down, between which a price can lie."""
NUMBER_MOST = 40
"""Longest number that is read, in characters."""

# A proxy for the internet can't reach this machine's simulator.
_NOT_THROUGH_A_PROXY = {"all://127.0.0.1": None, "all://localhost": None}
_PLAIN_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_STATUS_SENTENCES = {
    401: "the app_id is refused (401): check it",
    403: "access is restricted (403): look into the account at Open Exchange Rates",
    429: "the plan does not allow this request, or no more of them (429): look into the account at Open Exchange Rates",
}


class SourceFault(Exception):
    """A source gave nothing that can be used. `str()` is a sentence for the operator; it never holds a secret."""

    def __init__(self, source: str, sentence: str) -> None:
        super().__init__(f"rate source {source}: {sentence}")
        self.source = source


class RateSource(Protocol):
    """The port: anything that tells prices."""

    @property
    def name(self) -> str:
        """The source's name in the configuration, unique."""

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The prices it has at `now`: all that it was asked for, each plausible and fresh. Raises `SourceFault`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenExchangeRatesSettings:
    """How to ask Open Exchange Rates. Its free plan has base USD only and renews its rates hourly."""

    name: str
    app_id: str = field(repr=False)
    currencies: tuple[str, ...]
    """The currencies wanted; an answer without one of them is refused."""
    max_age: timedelta
    base_url: str = OPEN_EXCHANGE_RATES
    base: str = "USD"
    timeout: timedelta = timedelta(seconds=10)
    """For the whole answer."""

    def __post_init__(self) -> None:
        if not self.app_id:
            raise ValueError(f"rate source {self.name} needs an app_id")


class OpenExchangeRates:
    """Open Exchange Rates' latest.json, as docs.openexchangerates.org describes it.

    The app_id goes in the header `Authorization: Token …` (documented there beside the query parameter), because URLs are
    written to logs.
    """

    def __init__(self, settings: OpenExchangeRatesSettings) -> None:
        self._settings = settings
        self._tls = httpx.create_ssl_context()

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The latest price of each wanted currency. Raises `SourceFault`."""
        status, body = await self._answer()
        if status != httpx.codes.OK:
            raise SourceFault(self.name, _STATUS_SENTENCES.get(status, f"answered with HTTP status {status}"))
        return read_latest(body, settings=self._settings, now=now)

    async def _answer(self) -> tuple[int, bytes]:
        seconds = self._settings.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._get(seconds)
        except TimeoutError:
            raise SourceFault(self.name, f"no whole answer within {seconds:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceFault(self.name, f"no answer from {self._settings.base_url}: {type(error).__name__}") from None

    async def _get(self, seconds: float) -> tuple[int, bytes]:
        settings = self._settings
        # Uncompressed, so that the limit counts what we hold in memory.
        headers = {"Authorization": f"Token {settings.app_id}", "Accept-Encoding": "identity"}
        query = {"base": settings.base, "symbols": ",".join(settings.currencies)}
        async with (
            httpx.AsyncClient(
                base_url=settings.base_url,
                headers=headers,
                timeout=seconds,
                verify=self._tls,
                mounts=_NOT_THROUGH_A_PROXY,
            ) as client,
            client.stream("GET", "/api/latest.json", params=query) as response,
        ):
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > BODY_MOST:
                    raise SourceFault(self.name, f"the answer is longer than {BODY_MOST} bytes")
            return response.status_code, body


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFileSettings:
    """Where the operator's own rates lie."""

    name: str
    path: Path
    max_age: timedelta


class RateFile:
    """A file the operator keeps: {"as_of": "2026-03-02T09:00:00Z", "base": "USD", "rates": {"KES": "129.20"}}."""

    def __init__(self, settings: RateFileSettings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """Every price in the file. Raises `SourceFault`."""
        return read_rate_file(await asyncio.to_thread(self._read), settings=self._settings, now=now)

    def _read(self) -> bytes:
        try:
            with self._settings.path.open("rb") as file:
                body = file.read(BODY_MOST + 1)
        except OSError as error:
            raise SourceFault(self.name, f"{self._settings.path} can't be read: {error.strerror}") from None
        if len(body) > BODY_MOST:
            raise SourceFault(self.name, f"{self._settings.path} is longer than {BODY_MOST} bytes")
        return body


def read_latest(body: bytes, *, settings: OpenExchangeRatesSettings, now: datetime) -> Sequence[Observation]:
    """Read an answer of latest.json: `timestamp` in Unix seconds, `rates` as numbers. Raises `SourceFault`."""
    document = _document(settings.name, body)
    if document.get("base") != settings.base:
        raise SourceFault(settings.name, f"its base is not {settings.base}")
    timestamp = document.get("timestamp")
    if not isinstance(timestamp, Decimal) or not timestamp.is_finite() or not 0 < timestamp < TIMESTAMP_MOST:
        raise SourceFault(settings.name, "its timestamp is not a time in Unix seconds")
    as_of = datetime.fromtimestamp(int(timestamp), UTC)
    _check_age(settings.name, as_of, max_age=settings.max_age, now=now)
    rates = _rates(settings.name, document)
    return _observations(settings.name, settings.base, rates, currencies=settings.currencies, as_of=as_of)


def read_rate_file(body: bytes, *, settings: RateFileSettings, now: datetime) -> Sequence[Observation]:
    """Read the operator's file: `as_of` with a time zone, `rates` as decimal text. Raises `SourceFault`."""
    document = _document(settings.name, body)
    base, as_of = document.get("base"), _moment(document.get("as_of"))
    if not isinstance(base, str) or not base:
        raise SourceFault(settings.name, 'it names no base, for example "USD"')
    if as_of is None:
        raise SourceFault(settings.name, 'its as_of is not a time with a time zone, for example "2026-03-02T09:00:00Z"')
    _check_age(settings.name, as_of, max_age=settings.max_age, now=now)
    rates = {currency: _plain(text) for currency, text in _rates(settings.name, document).items()}
    return _observations(settings.name, base, rates, currencies=rates, as_of=as_of)


def _document(source: str, body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object in which every number is an exact Decimal."""
    try:
        document = json.loads(body, parse_float=_number, parse_int=_number, parse_constant=_number)
    except (ValueError, RecursionError, ArithmeticError):
        document = None
    if not isinstance(document, dict):
        raise SourceFault(source, "this is not a JSON object") from None
    return document


def _rates(source: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    rates = document.get("rates")
    if not isinstance(rates, dict) or not rates:
        raise SourceFault(source, "it holds no rates")
    return rates


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _number(text: str) -> Decimal:
    if len(text) > NUMBER_MOST:
        raise ValueError(f"a number of {len(text)} characters")
    return Decimal(text)


def _plain(text: object) -> Decimal | None:
    """Text such as "129.20"; no sign, exponent, separator or digit of another script."""
    return Decimal(text) if isinstance(text, str) and len(text) <= NUMBER_MOST and _PLAIN_DECIMAL.fullmatch(text) else None


def _check_age(source: str, as_of: datetime, *, max_age: timedelta, now: datetime) -> None:
    if not is_fresh(as_of, max_age=max_age, now=now):
        wrong = "in the future" if as_of > now else f"more than {max_age} ago"
        raise SourceFault(source, f"its prices are of {as_of:%Y-%m-%d %H:%M:%S %Z}, {wrong}")


def _observations(
    source: str, base: str, rates: Mapping[str, Any], *, currencies: Iterable[str], as_of: datetime
) -> Sequence[Observation]:
    return [
        Observation(
            source=source, base=base, quote=currency, price=_price(source, currency, rates.get(currency)), as_of=as_of
        )
        for currency in currencies
    ]


def _price(source: str, currency: str, number: object) -> Fraction:
    # The magnitude first: a Fraction of 1e999999999 would fill the memory.
    if isinstance(number, Decimal) and number.is_finite() and abs(number.adjusted()) <= MAGNITUDE_MOST:
        price = Fraction(number)
        if is_plausible(price):
            return price
    raise SourceFault(source, f"its rate of {currency} is missing or no plausible price")
