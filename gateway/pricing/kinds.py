"""The kinds of rate source that a configuration may name, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from gateway.offramp import BadSettings
from gateway.pricing.sources import (
    OPEN_EXCHANGE_RATES,
    OpenExchangeRates,
    OpenExchangeRatesSettings,
    RateFile,
    RateFileSettings,
    RateSource,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """One source as configured: its name, its kind and the keys of all kinds. None: not given."""

    name: str
    kind: str
    base_url: str | None = field(default=None, repr=False)
    app_id: str | None = field(default=None, repr=False)
    path: Path | None = None


class _Kind(NamedTuple):
    """What a kind needs and may have, and how it is made of settings, wanted currencies and the largest age."""

    needs: Mapping[str, str]
    may: tuple[str, ...]
    make: Callable[[SourceSettings, tuple[str, ...], timedelta], RateSource]


def make_source(settings: SourceSettings, *, currencies: tuple[str, ...], max_age: timedelta) -> RateSource:
    """The source that `settings` describe. Raises `BadSettings`: a sentence for each wrong key."""
    kind = _KINDS.get(settings.kind)
    if kind is None:
        raise BadSettings({"kind": f"is none of the kinds there are: {', '.join(_KINDS)}"})
    problems = {key: sentence for key, sentence in kind.needs.items() if not getattr(settings, key)}
    for key in ("base_url", "app_id", "path"):
        if getattr(settings, key) is not None and key not in (*kind.needs, *kind.may):
            problems[key] = f"means nothing to a source of kind {settings.kind}; leave it out"
    if problems:
        raise BadSettings(problems)
    return kind.make(settings, currencies, max_age)


def _open_exchange_rates(settings: SourceSettings, currencies: tuple[str, ...], max_age: timedelta) -> RateSource:
    assert settings.app_id is not None
    return OpenExchangeRates(
        OpenExchangeRatesSettings(
            name=settings.name,
            base_url=settings.base_url or OPEN_EXCHANGE_RATES,
            app_id=settings.app_id,
            currencies=currencies,
            max_age=max_age,
        )
    )


def _file(settings: SourceSettings, _currencies: tuple[str, ...], max_age: timedelta) -> RateSource:
    assert settings.path is not None
    return RateFile(RateFileSettings(name=settings.name, path=settings.path, max_age=max_age))


_KINDS = {
    "open_exchange_rates": _Kind(
        needs={"app_id": "is missing; give the App ID of your account at Open Exchange Rates"},
        may=("base_url",),
        make=_open_exchange_rates,
    ),
    "file": _Kind(
        needs={"path": 'is missing; give the file with the rates, as in "rates.json"'},
        may=(),
        make=_file,
    ),
}
