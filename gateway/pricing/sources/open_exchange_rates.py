"""Open Exchange Rates' latest.json, as docs.openexchangerates.org describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gateway.pricing.observations import Observation
from gateway.pricing.sources.http import Site
from gateway.pricing.sources.numbers import check_age, document, price
from gateway.pricing.sources.port import SourceFault

OPEN_EXCHANGE_RATES = "https://openexchangerates.org"
TIMESTAMP_MOST = 10**11
"""Unix seconds of the year 5138: what is above was meant in milliseconds or is garbage."""

_STATUS_SENTENCES = {
    401: "the app_id is refused (401): check it",
    403: "access is restricted (403): look into the account at Open Exchange Rates",
    429: "the plan does not allow this request, or no more of them (429): look into the account at Open Exchange Rates",
}


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
    """Open Exchange Rates.

    The app_id goes in the header `Authorization: Token …` (documented there beside the query parameter), because URLs are
    written to logs.
    """

    def __init__(self, settings: OpenExchangeRatesSettings) -> None:
        self._settings = settings
        self._site = Site(
            source=settings.name,
            base_url=settings.base_url,
            types=("application/json",),
            timeout=settings.timeout,
            headers={"Authorization": f"Token {settings.app_id}"},
            sentences=_STATUS_SENTENCES,
        )

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The latest price of each wanted currency. Raises `SourceFault`."""
        settings = self._settings
        query = {"base": settings.base, "symbols": ",".join(settings.currencies)}
        return read_latest(await self._site.get("/api/latest.json", query), settings=settings, now=now)


def read_latest(body: bytes, *, settings: OpenExchangeRatesSettings, now: datetime) -> Sequence[Observation]:
    """Read an answer of latest.json: `timestamp` in Unix seconds, `rates` as numbers. Raises `SourceFault`."""
    source = settings.name
    answer = document(source, body)
    if answer.get("base") != settings.base:
        raise SourceFault(source, f"its base is not {settings.base}")
    timestamp = answer.get("timestamp")
    if not isinstance(timestamp, Decimal) or not timestamp.is_finite() or not 0 < timestamp < TIMESTAMP_MOST:
        raise SourceFault(source, "its timestamp is not a time in Unix seconds")
    as_of = datetime.fromtimestamp(int(timestamp), UTC)
    check_age(source, as_of, max_age=settings.max_age, now=now)
    rates = answer.get("rates")
    if not isinstance(rates, dict) or not rates:
        raise SourceFault(source, "it holds no rates")
    return [
        Observation(source=source, base=settings.base, quote=code, price=price(source, code, rates.get(code)), as_of=as_of)
        for code in settings.currencies
    ]
