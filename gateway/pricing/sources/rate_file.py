"""Rates that the operator keeps in a file.

    {"as_of": "2026-03-02T09:00:00Z", "base": "USD", "rates": {"KES": "129.20"}, "coins": {"USDC": "0.9998"}}

`rates`: what one whole base costs in each currency. `coins`: what one whole coin costs in the base. Either may be left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.pricing.observations import Observation
from gateway.pricing.sources.http import BODY_MOST
from gateway.pricing.sources.numbers import check_age, document, moment, plain, price
from gateway.pricing.sources.port import SourceFault


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFileSettings:
    """Where the operator's own rates lie."""

    name: str
    path: Path
    max_age: timedelta


class RateFile:
    """A file the operator keeps, read anew each time."""

    def __init__(self, settings: RateFileSettings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._settings.name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """Every price in the file. Raises `SourceFault`."""
        body = await asyncio.to_thread(read_whole, self.name, self._settings.path)
        return read_rate_file(body, settings=self._settings, now=now)


def read_whole(source: str, path: Path) -> bytes:
    """All of a file. Raises `SourceFault` if it can't be read or is too long."""
    try:
        with path.open("rb") as file:
            body = file.read(BODY_MOST + 1)
    except OSError as error:
        raise SourceFault(source, f"{path} can't be read: {error.strerror}") from None
    if len(body) > BODY_MOST:
        raise SourceFault(source, f"{path} is longer than {BODY_MOST} bytes")
    return body


def read_rate_file(body: bytes, *, settings: RateFileSettings, now: datetime) -> Sequence[Observation]:
    """Read the operator's file: `as_of` with a time zone, prices as decimal text. Raises `SourceFault`."""
    source = settings.name
    kept = document(source, body)
    base, as_of = kept.get("base"), moment(kept.get("as_of"))
    if not isinstance(base, str) or not base:
        raise SourceFault(source, 'it names no base, for example "USD"')
    if as_of is None:
        raise SourceFault(source, 'its as_of is not a time with a time zone, for example "2026-03-02T09:00:00Z"')
    check_age(source, as_of, max_age=settings.max_age, now=now)
    pairs = [
        *((base, code, code, text) for code, text in _table(source, kept, "rates").items()),
        *((coin, base, coin, text) for coin, text in _table(source, kept, "coins").items()),
    ]
    if not pairs:
        raise SourceFault(source, "it holds no rates")
    return [
        Observation(source=source, base=one, quote=other, price=price(source, named, plain(text)), as_of=as_of)
        for one, other, named, text in pairs
    ]


def _table(source: str, kept: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = kept.get(key, {})
    if not isinstance(table, dict):
        raise SourceFault(
            source, f'its {key} are not a table, for example {{"{"KES" if key == "rates" else "USDC"}": "1.5"}}'
        )
    return table
