"""The European Central Bank's daily reference rates: eurofxref-daily.xml, one `Cube` in another.

One euro costs so many units of each currency: everything else is crossed. They are concerted at 14:10 in Frankfurt on
TARGET working days and published around 16:00 (ecb.europa.eu, "Euro foreign exchange reference rates"), so that after Easter
they are five days old. The ECB discourages their use for transactions: they bound what other sources agree on and don't vote
(`gateway.config.sources.BOUNDS_BPS`, `PricingRules.bounds`). Where they can't be had any more they bound nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from gateway.pricing.observations import Observation
from gateway.pricing.sources.cross import crossed, cut
from gateway.pricing.sources.http import Site
from gateway.pricing.sources.numbers import check_age, plain, price
from gateway.pricing.sources.port import SourceFault

ECB = "https://www.ecb.europa.eu"
EURO = "EUR"
PATH = "/stats/eurofxref/eurofxref-daily.xml"
MAX_AGE = timedelta(days=6)
"""Over Easter five days pass between two publications."""

_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
_CONCERTED = time(14, 10)
_TYPES = ("text/xml", "application/xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class EcbSettings:
    """What is wanted of the ECB."""

    name: str
    currencies: tuple[str, ...]
    """Those wanted; the ones that it doesn't publish (KES, NGN, …) are left out."""
    max_age: timedelta = MAX_AGE
    base_url: str = ECB
    base: str = "USD"
    timeout: timedelta = timedelta(seconds=10)
    """For the whole answer."""


class Ecb:
    """The ECB's reference rates, crossed to the wanted base."""

    def __init__(self, settings: EcbSettings) -> None:
        self._settings = settings
        self._site = Site(source=settings.name, base_url=settings.base_url, types=_TYPES, timeout=settings.timeout)

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The latest reference rate of each wanted currency that has one. Raises `SourceFault`."""
        return read_daily(await self._site.get(PATH), settings=self._settings, now=now)


def read_daily(body: bytes, *, settings: EcbSettings, now: datetime) -> Sequence[Observation]:
    """Read eurofxref-daily.xml. Raises `SourceFault`."""
    source, base = settings.name, settings.base
    day = _day(source, body)
    as_of = _concerted(source, day)
    check_age(source, as_of, max_age=settings.max_age, now=now)
    rates = _rates(source, day)
    if base not in rates:
        raise SourceFault(source, f"its rate of {base} is missing, and all others are crossed by it")
    wanted = [currency for currency in settings.currencies if currency in rates and currency != base]
    if not wanted:
        raise SourceFault(source, f"the ECB publishes no rate of {', '.join(settings.currencies)}; leave this source out")
    euros = price(source, base, rates[base])
    return [
        Observation(
            source=source,
            base=base,
            quote=currency,
            price=cut(source, f"{base}/{currency}", crossed(euros, price(source, currency, rates[currency]))),
            as_of=as_of,
        )
        for currency in wanted
    ]


def _day(source: str, body: bytes) -> Element:
    """The one dated cube of the document."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise SourceFault(source, "this is not XML as the ECB sends it") from None
    days: list[Element] = root.findall(f".//{_CUBE}[@time]")
    if len(days) != 1:
        raise SourceFault(source, f"this is not the ECB's daily file: it holds {len(days)} days, not one")
    return days[0]


def _concerted(source: str, day: Element) -> datetime:
    text = day.get("time", "")
    try:
        local = datetime.combine(date.fromisoformat(text), _CONCERTED, ZoneInfo("Europe/Berlin"))
    except ValueError:
        raise SourceFault(source, 'its day is not a date, for example "2026-03-02"') from None
    return local.astimezone(UTC)


def _rates(source: str, day: Element) -> Mapping[str, object]:
    """What one euro costs, by currency, as written; the euro itself too."""
    rates: dict[str, object] = {EURO: plain("1")}
    for cube in day.findall(_CUBE):
        currency = cube.get("currency", "")
        if currency in rates:
            raise SourceFault(source, f"it tells the rate of {currency} twice")
        rates[currency] = plain(cube.get("rate"))
    return rates
