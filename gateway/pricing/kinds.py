"""The kinds of rate source that a configuration may name, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from gateway.offramp import BadSettings
from gateway.prices import KeepsOrderBook, TellsRates
from gateway.pricing.sources import (
    OPEN_EXCHANGE_RATES,
    OpenExchangeRates,
    OpenExchangeRatesSettings,
    RateFile,
    RateFileSettings,
    RateSource,
)
from gateway.pricing.sources.aged import Aged
from gateway.pricing.sources.books import BookSource
from gateway.pricing.sources.chainlink import ChainlinkFeeds, ChainlinkSettings, Feed, Reader
from gateway.pricing.sources.ecb import ECB, MAX_AGE, Ecb, EcbSettings
from gateway.pricing.sources.paced import Paced
from gateway.pricing.sources.rails import RailRates
from gateway.pricing.sources.signed_file import SignedFile, SignedFileSettings

SIZE = Decimal(200)
"""Whole dollars or coins for which a rail or an exchange is asked, unless the operator says otherwise."""
GRACE = timedelta(hours=1)
SELDOM = timedelta(minutes=15)
"""How often to ask who counts our questions: a free account at Open Exchange Rates has a thousand a month."""
OFTEN_ENOUGH = 4
"""How often within its measure of age every source is asked at least."""
_COMMON = ("name", "kind", "max_age")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """One source as configured: its name, its kind and the keys of all kinds. None: not given."""

    name: str
    kind: str
    max_age: timedelta | None = None
    """Its own measure of age; None: everybody's, or what its kind needs."""
    base_url: str | None = field(default=None, repr=False)
    app_id: str | None = field(default=None, repr=False)
    path: Path | None = None
    signature: Path | None = None
    public_key: str | None = None
    chain: str | None = None
    feeds: tuple[Feed, ...] | None = None
    sequencer: str | None = None
    grace_s: int | None = None
    adapter: str | None = None
    size: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What sources are made with, beside their own settings."""

    currencies: tuple[str, ...]
    max_age: timedelta
    rails: Mapping[str, object] = field(default_factory=dict)
    """The configured adapters by name."""
    readers: Mapping[str, Reader] = field(default_factory=dict)
    """Readers of the configured chains by name."""


class _Kind(NamedTuple):
    """What a kind needs and may have, how it is made, and its measure of age if that isn't everybody's."""

    needs: Mapping[str, str]
    may: tuple[str, ...]
    make: Callable[[SourceSettings, Around], RateSource]
    max_age: timedelta | None = None
    every: timedelta | None = None
    """How often it is asked at most; None: in each round, so that a coin that falls is seen within a minute."""


def make_source(
    settings: SourceSettings,
    *,
    currencies: tuple[str, ...],
    max_age: timedelta,
    rails: Mapping[str, object] | None = None,
    readers: Mapping[str, Reader] | None = None,
) -> RateSource:
    """The source that `settings` describe. Raises `BadSettings`: a sentence for each wrong key."""
    kind = _KINDS.get(settings.kind)
    if kind is None:
        raise BadSettings({"kind": f"is none of the kinds there are: {', '.join(_KINDS)}"})
    problems = {key: sentence for key, sentence in kind.needs.items() if not getattr(settings, key)}
    for key in (one.name for one in fields(settings) if one.name not in _COMMON):
        if getattr(settings, key) is not None and key not in (*kind.needs, *kind.may):
            problems[key] = f"means nothing to a source of kind {settings.kind}; leave it out"
    if problems:
        raise BadSettings(problems)
    own = settings.max_age or kind.max_age
    around = Around(currencies=currencies, max_age=own or max_age, rails=rails or {}, readers=readers or {})
    source = kind.make(settings, around)
    if own is not None:
        source = Aged(source, own)
    return source if kind.every is None else Paced(source, min(kind.every, around.max_age / OFTEN_ENOUGH))


def _open_exchange_rates(settings: SourceSettings, around: Around) -> RateSource:
    assert settings.app_id is not None
    return OpenExchangeRates(
        OpenExchangeRatesSettings(
            name=settings.name,
            base_url=settings.base_url or OPEN_EXCHANGE_RATES,
            app_id=settings.app_id,
            currencies=around.currencies,
            max_age=around.max_age,
        )
    )


def _file(settings: SourceSettings, around: Around) -> RateSource:
    assert settings.path is not None
    return RateFile(RateFileSettings(name=settings.name, path=settings.path, max_age=around.max_age))


def _ecb(settings: SourceSettings, around: Around) -> RateSource:
    return Ecb(
        EcbSettings(
            name=settings.name,
            base_url=settings.base_url or ECB,
            currencies=around.currencies,
            max_age=around.max_age,
        )
    )


def _signed_file(settings: SourceSettings, around: Around) -> RateSource:
    path, public_key = settings.path, settings.public_key
    assert path is not None
    assert public_key is not None
    signature = settings.signature or path.with_name(path.name + ".sig")
    try:
        return SignedFile(
            SignedFileSettings(
                name=settings.name, path=path, signature=signature, public_key=public_key, max_age=around.max_age
            )
        )
    except ValueError:
        raise BadSettings({"public_key": "is no Ed25519 key; give its 32 bytes in base64 (44 characters)"}) from None


def _chainlink(settings: SourceSettings, around: Around) -> RateSource:
    reader = around.readers.get(settings.chain or "")
    if reader is None:
        raise BadSettings(
            {"chain": f'"{settings.chain}" is not configured; there are: {", ".join(around.readers) or "none"}'}
        )
    grace = GRACE if settings.grace_s is None else timedelta(seconds=settings.grace_s)
    return ChainlinkFeeds(
        ChainlinkSettings(
            name=settings.name,
            feeds=settings.feeds or (),
            sequencer=settings.sequencer,
            grace=grace,
            currencies=around.currencies,
        ),
        reader=reader,
    )


def _order_book(settings: SourceSettings, around: Around) -> RateSource:
    adapter = _adapter(settings, around)
    if not isinstance(adapter, KeepsOrderBook):
        raise BadSettings({"adapter": f"{settings.adapter} keeps no order book; name an adapter of an exchange"})
    return BookSource(name=settings.name, adapter=adapter, size=Fraction(settings.size or SIZE), max_age=around.max_age)


def _rail(settings: SourceSettings, around: Around) -> RateSource:
    adapter = _adapter(settings, around)
    if not isinstance(adapter, TellsRates):
        raise BadSettings({"adapter": f"{settings.adapter} tells no rates of its own; name another adapter"})
    return RailRates(
        name=settings.name,
        adapter=adapter,
        currencies=around.currencies,
        size=Fraction(settings.size or SIZE),
        max_age=around.max_age,
    )


def _adapter(settings: SourceSettings, around: Around) -> object:
    adapter = around.rails.get(settings.adapter or "")
    if adapter is None:
        there = ", ".join(around.rails) or "none"
        raise BadSettings({"adapter": f'"{settings.adapter}" is not configured; there are: {there}'})
    return adapter


_PATH = {"path": 'is missing; give the file with the rates, as in "rates.json"'}
_KINDS = {
    "open_exchange_rates": _Kind(
        needs={"app_id": "is missing; give the App ID of your account at Open Exchange Rates"},
        may=("base_url",),
        make=_open_exchange_rates,
        every=SELDOM,
    ),
    "file": _Kind(needs=_PATH, may=(), make=_file),
    "ecb": _Kind(needs={}, may=("base_url",), make=_ecb, max_age=MAX_AGE, every=timedelta(hours=1)),
    "signed_file": _Kind(
        needs={**_PATH, "public_key": "is missing; give the signer's Ed25519 key, its 32 bytes in base64"},
        may=("signature",),
        make=_signed_file,
    ),
    "chainlink": _Kind(
        needs={
            "chain": 'is missing; give the name of a chain in [[chains]], as in "base"',
            "feeds": "is missing; give at least one feed with base, quote, address and heartbeat_s",
        },
        may=("sequencer", "grace_s"),
        make=_chainlink,
    ),
    "order_book": _Kind(
        needs={"adapter": "is missing; give the name of an exchange's adapter in [adapters]"},
        may=("size",),
        make=_order_book,
    ),
    "rail": _Kind(
        needs={"adapter": "is missing; give the name of an adapter in [adapters] that tells rates"},
        may=("size",),
        make=_rail,
        every=SELDOM,
    ),
}
