"""What any kind of source may be answered with, over real HTTP or in real files, each told in its own words."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Response

from adapters.ccxt_exchange.adapter import CcxtExchange
from adapters.ccxt_exchange.simulator.bitso import app as bitso
from adapters.paycrest import Paycrest
from adapters.paycrest.simulator import app as paycrest
from adapters.yellowcard import YellowCard
from adapters.yellowcard.simulator import app as yellowcard
from gateway.contract.harness import running
from gateway.offramp import AdapterContext
from gateway.pricing.consensus import RateDisputed, mid
from gateway.pricing.kinds import SourceSettings, make_source
from gateway.pricing.observations import Observation
from gateway.pricing.offer import PricingRules
from gateway.pricing.scripts import Faults, Script
from gateway.pricing.sources import RateSource, SourceFault
from gateway.pricing.sources.paced import Paced
from gateway.railsim import Options
from tests.integration.pricing.conftest import NOON, served

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
HTML = "<!doctype html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
GOOD = "17.35"
SENTENCE_MOST = 300
RULES = PricingRules(max_age=2 * HOUR, max_spread_bps=100, min_sources=2, quote_ttl=HOUR)


def callback(*_: str) -> str:
    return "https://us.invalid/c"


def _oxr(price: str, at: datetime, code: str) -> str:
    rates = f'{{"{code}": {price}}}'
    return f'{{"disclaimer": "x", "license": "y", "timestamp": {int(at.timestamp())}, "base": "USD", "rates": {rates}}}'


def _ecb(price: str, at: datetime, code: str) -> str:
    """Published two days before `at`, which is a Sunday."""
    return (
        "<?xml version='1.0' encoding='UTF-8'?><gesmes:Envelope xmlns:gesmes='http://www.gesmes.org/xml/2002-08-01' "
        f"xmlns='http://www.ecb.int/vocabulary/2002-08-01/eurofxref'><Cube><Cube time='{at - timedelta(days=2):%Y-%m-%d}'>"
        f"<Cube currency='USD' rate='1'/><Cube currency='{code}' rate='{price}'/></Cube></Cube></gesmes:Envelope>"
    )


def _file(price: str, at: datetime, code: str) -> str:
    return f'{{"as_of": "{at.isoformat()}", "base": "USD", "rates": {{"{code}": "{price}"}}}}'


def _bitso(price: str, at: datetime, _code: str) -> str:
    bids = f'{{"book": "usdc_mxn", "price": "{price}", "amount": "100000.00"}}'
    return f'{{"success": true, "payload": {{"asks": [], "bids": [{bids}], "updated_at": "{at.isoformat()}"}}}}'


def _yellowcard(price: str, at: datetime, code: str) -> str:
    told = f'{{"code": "{code}", "buy": {price}, "sell": {price}, "rateId": "x", "updatedAt": "{at.isoformat()}"}}'
    return f'{{"rates": [{told}]}}'


def _paycrest(price: str, _at: datetime, _code: str) -> str:
    """It tells no time: its rates are of when they are asked for."""
    return f'{{"status": "success", "message": "", "data": {{"sell": {{"rate": "{price}", "providerIds": ["A"]}}}}}}'


@dataclass(frozen=True)
class Kind:
    """A kind of source, and how it is told what one `base` costs in `quote`."""

    name: str
    write: Callable[[str, datetime, str], str]
    quote: str = "KES"
    base: str = "USD"
    adapter: str | None = None
    media_type: str = "application/json"
    typed: bool = False
    """Whether another media type is refused, whatever is in it."""

    def document(self, price: str = GOOD, at: datetime = NOON) -> str:
        return self.write(price, at, self.quote)

    @property
    def on_disk(self) -> bool:
        return self.name.endswith("file")


OXR = Kind("open_exchange_rates", _oxr, typed=True)
ECB = Kind("ecb", _ecb, quote="ZAR", media_type="text/xml", typed=True)
FILE, SIGNED = Kind("file", _file), Kind("signed_file", _file)
BOOK = Kind("order_book", _bitso, base="USDC", quote="MXN", adapter="bitso")
RAIL = Kind("rail", _yellowcard, adapter="yellowcard")
COIN_RAIL = Kind("rail", _paycrest, base="USDC", adapter="paycrest")
KINDS = (OXR, ECB, FILE, SIGNED, BOOK, RAIL, COIN_RAIL)
BY_HTTP = tuple(kind for kind in KINDS if not kind.on_disk)
ADAPTERS: dict[str, tuple[Any, Any, str]] = {
    "bitso": (CcxtExchange, bitso, "/api"),
    "yellowcard": (YellowCard, yellowcard, ""),
    "paycrest": (Paycrest, paycrest, "/v2"),
}
"""Each with its simulator, which knows settings that it would work with, and where its API begins."""


def named(kind: Kind) -> str:
    return kind.adapter or kind.name


@dataclass
class Station:
    """A server that answers every question with one document, and files that hold it; `settings` are the adapters'."""

    url: str
    script: Script
    settings: dict[str, dict[str, Any]]
    text: str = ""
    media_type: str = ""
    folder: Path = Path()

    def tell(self, kind: Kind, text: str, **faults: Any) -> None:
        """Let the source find this text."""
        self.text, self.media_type = text, kind.media_type
        self.script.follow(Faults(**faults))
        path = self.folder / "rates.json"
        path.write_text(text)
        path.with_name("rates.json.sig").write_text(base64.b64encode(KEY.sign(path.read_bytes())).decode())

    @asynccontextmanager
    async def source(self, kind: Kind) -> AsyncIterator[RateSource]:
        rails: dict[str, Any] = {}
        settings = SourceSettings(name="it", kind=kind.name)
        if kind.adapter is not None:
            adapter, _, root = ADAPTERS[kind.adapter]
            own = self.settings[kind.adapter] | {"base_url": self.url + root}
            rails["it"] = adapter(AdapterContext(name="it", settings=own, callback_address=callback, clock=lambda: NOON))
            settings = replace(settings, adapter="it", size=Decimal(100))
        elif kind.on_disk:
            public_key = PUBLIC if kind is SIGNED else None
            settings = replace(settings, path=self.folder / "rates.json", public_key=public_key)
        else:
            settings = replace(settings, base_url=self.url, app_id="a" * 32 if kind is OXR else None)
        made = make_source(settings, currencies=(kind.quote,), max_age=2 * HOUR, rails=rails)
        try:
            yield made.source if isinstance(made, Paced) else made
        finally:
            for rail in rails.values():
                await rail.close()


async def fetch(source: RateSource) -> Observation:
    (found,) = await source.fetch(NOON)
    return found


async def fault(source: RateSource) -> str:
    """Its sentence; empty: it had no fault."""
    try:
        await source.fetch(NOON)
    except SourceFault as caught:
        return str(caught)
    return ""


@pytest.fixture(scope="module")
def running_station() -> Iterator[Station]:
    import_module("ccxt")  # a busy machine takes longer for it than the adapter waits
    made = Station("", Script(clock=lambda: NOON, rates={}), {})
    for name, (_, simulator, _) in ADAPTERS.items():
        with running(simulator(Options(delay_s=0))) as rail:
            made.settings[name] = rail.settings()
    api = FastAPI()

    @api.get("/{path:path}")
    async def anything(path: str) -> Response:
        if path == "elsewhere":
            return Response(made.text, media_type=made.media_type)
        return await made.script.answer(lambda: made.text, media_type=made.media_type, error=made.text)

    with served(api) as made.url:
        yield made


@pytest.fixture
def station(running_station: Station, tmp_path: Path) -> Station:
    running_station.folder = tmp_path
    return running_station


WRONG: dict[str, Callable[[Kind], tuple[str, dict[str, Any]]]] = {
    "a web page": lambda _: (HTML, {"content_type": "text/html"}),
    "a web page that calls itself data": lambda _: (HTML, {}),
    "nothing": lambda _: ("", {}),
    "half of it": lambda kind: (kind.document()[: len(kind.document()) // 2], {}),
    "all but the end": lambda kind: (kind.document()[:-1], {}),
    "last week's": lambda kind: (kind.document(at=NOON - WEEK), {}),
    "next week's": lambda kind: (kind.document(at=NOON + WEEK), {}),
    "too much of it": lambda kind: (kind.document() + " " * 2_000_000, {}),
    "an error with the right document": lambda kind: (kind.document(), {"status": 500}),
    "a redirect to the right document": lambda kind: (
        kind.document(),
        {"status": 302, "location": "/elsewhere", "body": "Moved"},
    ),
    "another media type": lambda kind: (kind.document(), {"content_type": "text/html"}),
}
NO_PRICES = ("0", "0.000", "-17.35", "NaN", "Infinity", "1e30", "", "null")


def wrong_for(kind: Kind) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, make in WRONG.items():
        about_http = name.startswith(("an error", "a redirect", "another media"))
        undated = kind is COIN_RAIL and name.endswith("week's")
        untyped = name == "another media type" and not kind.typed
        if not (about_http and kind.on_disk) and not undated and not untyped:
            yield name, *make(kind)
    for number in NO_PRICES:
        yield f"the price {number}", kind.document(number), {}


@pytest.mark.parametrize("kind", KINDS, ids=named)
async def test_what_is_told_is_what_is_read_and_what_cannot_be_used_is_refused_with_a_sentence(station, kind):
    async with station.source(kind) as source:
        station.tell(kind, kind.document())
        found = await fetch(source)
        assert (found.base, found.quote, found.price) == (kind.base, kind.quote, Fraction(GOOD))
        for name, text, faults in wrong_for(kind):
            station.tell(kind, text, **faults)
            said = await fault(source)
            assert said.startswith("rate source it: "), name
            assert len(said) < SENTENCE_MOST, name
            assert "Traceback" not in said, name
        station.tell(kind, kind.document())
        assert (await fetch(source)).price == Fraction(GOOD)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not ECB], ids=named)
async def test_a_swapped_pair_is_outvoted_and_called_one(station, kind):
    station.tell(kind, kind.document("0.0576"))
    async with station.source(kind) as source:
        told = await fetch(source)
    others = [
        Observation(source=name, base=kind.base, quote=kind.quote, price=Fraction(GOOD), as_of=NOON) for name in ("a", "b")
    ]
    found = mid([told, *others], base=kind.base, quote=kind.quote, rules=RULES, now=NOON)
    assert found.sources == ("a", "b")
    assert found.out[0].endswith("about the inverse, so its pair is swapped")
    with pytest.raises(RateDisputed, match="unsettled") as refused:
        mid([told, others[0]], base=kind.base, quote=kind.quote, rules=RULES, now=NOON)
    assert refused.value.detail.endswith("is a pair swapped?")


async def test_a_swapped_bound_stops_its_pair(station):
    station.tell(ECB, ECB.document("0.0576"))
    async with station.source(ECB) as source:
        told = await fetch(source)
    others = [Observation(source=name, base="USD", quote="ZAR", price=Fraction(GOOD), as_of=NOON) for name in ("a", "b")]
    with pytest.raises(RateDisputed, match="unsettled") as refused:
        mid([told, *others], base="USD", quote="ZAR", rules=replace(RULES, bounds={"it": 500}), now=NOON)
    assert "more than 500 bps from what it bounds it by: 0.057600 of 2026-11-20" in refused.value.detail
