"""What each kind of source needs, and the configuration's own example of all of them."""

from __future__ import annotations

import base64
import re
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import gateway
from gateway.config import ConfigError, parse
from gateway.offramp import BadSettings
from gateway.payouts.rails import Rails
from gateway.prices import OrderBook
from gateway.pricing.kinds import SourceSettings, make_source
from gateway.pricing.observations import Observation
from gateway.pricing.sources.aged import Aged
from gateway.pricing.sources.chainlink import Feed
from gateway.pricing.sources.paced import Paced
from gateway.pricing.sources.port import SourceFault
from gateway.wiring import make_offer, make_sources
from tests.factories import FakeRail

HOUR = timedelta(hours=1)
EXAMPLE = (Path(gateway.__file__).parent / "lastmile.example.toml").read_text()
KEY = base64.b64encode(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key().public_bytes_raw()).decode()
FEED = Feed(base="USDC", quote="USD", address="0x" + "11" * 20, heartbeat=HOUR)


class TellingRail(FakeRail):
    """One that tells its rates."""

    async def rates(self, _currencies: Any, *, size: Any) -> list[Any]:
        del size
        return []


class Exchange(FakeRail):
    """One with a public order book."""

    async def order_book(self) -> OrderBook:
        return OrderBook(base="USDC", quote="MXN", bids=(), as_of=datetime(2026, 11, 22, tzinfo=UTC))


class Chain:
    async def newest(self) -> tuple[int, datetime]:
        return 1, datetime(2026, 11, 22, tzinfo=UTC)

    async def call(self, _to: str, _data: str, *, block: int) -> bytes:
        del block
        return b""


RAILS = {"mpesa": FakeRail(), "yellowcard": TellingRail(), "bitso": Exchange()}
GOOD: dict[str, dict[str, Any]] = {
    "open_exchange_rates": {"app_id": "a" * 32},
    "file": {"path": Path("rates.json")},
    "ecb": {},
    "signed_file": {"path": Path("rates.json"), "public_key": KEY},
    "chainlink": {"chain": "base", "feeds": (FEED,)},
    "order_book": {"adapter": "bitso"},
    "rail": {"adapter": "yellowcard"},
}
MEANINGLESS = {
    "base_url": "https://example.org",
    "app_id": "x",
    "path": Path("x"),
    "signature": Path("x"),
    "public_key": "x",
    "chain": "base",
    "feeds": (FEED,),
    "sequencer": "0x" + "11" * 20,
    "grace_s": 1,
    "adapter": "bitso",
    "size": Decimal(1),
}
TAKES = {
    "open_exchange_rates": {"base_url", "app_id"},
    "file": {"path"},
    "ecb": {"base_url"},
    "signed_file": {"path", "signature", "public_key"},
    "chainlink": {"chain", "feeds", "sequencer", "grace_s"},
    "order_book": {"adapter", "size"},
    "rail": {"adapter", "size"},
}


def make(kind: str, **settings: Any) -> Any:
    wanted = SourceSettings(name="it", kind=kind, **settings)
    return make_source(wanted, currencies=("KES",), max_age=HOUR, rails=RAILS, readers={"base": Chain()})


def problems(kind: str, **settings: Any) -> dict[str, str]:
    with pytest.raises(BadSettings) as refused:
        make(kind, **settings)
    return dict(refused.value.problems)


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_is_made_of_what_it_needs_and_may_have_its_own_age(kind):
    assert make(kind, **GOOD[kind]).name == "it"
    made = make(kind, **GOOD[kind], max_age=3 * HOUR)
    aged = made.source if isinstance(made, Paced) else made
    assert (made.name, isinstance(aged, Aged), aged.max_age) == ("it", True, 3 * HOUR)


def test_who_counts_our_questions_is_asked_seldom_and_coins_are_looked_at_in_each_round():
    paces = {kind: made.every for kind in GOOD if isinstance(made := make(kind, **GOOD[kind]), Paced)}
    quarter = timedelta(minutes=15)
    assert paces == {"open_exchange_rates": quarter, "ecb": HOUR, "rail": quarter}
    hasty = make_source(
        SourceSettings(name="it", kind="rail", adapter="yellowcard"), currencies=(), max_age=HOUR / 3, rails=RAILS
    )
    assert hasty.every == HOUR / 12


async def test_a_paced_source_is_asked_when_its_turn_has_come_whatever_came_of_it():
    class Counted:
        name, asked = "it", 0

        async def fetch(self, now: datetime) -> list[Observation]:
            self.asked += 1
            if self.asked == 1:
                raise SourceFault("it", "is broken")
            return [Observation(source="it", base="USD", quote="KES", price=Fraction(129), as_of=now)]

    now = datetime(2026, 11, 22, tzinfo=UTC)
    counted = Counted()
    paced = Paced(counted, HOUR)
    with pytest.raises(SourceFault):
        await paced.fetch(now)
    assert [len(await paced.fetch(now + step)) for step in (HOUR - timedelta(seconds=1), HOUR, HOUR, 2 * HOUR)] == [
        0,
        1,
        0,
        1,
    ]
    assert len(await paced.fetch(now)) == 1  # a clock that was set back
    assert (paced.name, counted.asked) == ("it", 4)


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, good in GOOD.items() for key in good])
def test_every_kind_says_what_is_missing(kind, key):
    without = {name: value for name, value in GOOD[kind].items() if name != key}
    found = problems(kind, **without)
    assert found.keys() == {key}
    assert found[key].startswith("is missing; give ")


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_refuses_every_key_that_means_nothing_to_it(kind):
    extra = {key: value for key, value in MEANINGLESS.items() if key not in TAKES[kind]}
    sentence = f"means nothing to a source of kind {kind}; leave it out"
    assert problems(kind, **GOOD[kind], **extra) == dict.fromkeys(extra, sentence)
    allowed = {key: value for key, value in MEANINGLESS.items() if key in TAKES[kind]}
    assert make(kind, **{**allowed, **GOOD[kind]}).name == "it"


@pytest.mark.parametrize(
    ("kind", "adapter", "sentence"),
    [
        ("order_book", "mpesa", "mpesa keeps no order book; name an adapter of an exchange"),
        ("order_book", "yellowcard", "yellowcard keeps no order book; name an adapter of an exchange"),
        ("order_book", "kraken", '"kraken" is not configured; there are: mpesa, yellowcard, bitso'),
        ("rail", "mpesa", "mpesa tells no rates of its own; name another adapter"),
        ("rail", "bitso", "bitso tells no rates of its own; name another adapter"),
        ("rail", "flutterwave", '"flutterwave" is not configured; there are: mpesa, yellowcard, bitso'),
    ],
)
def test_an_adapter_that_cannot_tell_is_refused_by_name(kind, adapter, sentence):
    assert problems(kind, adapter=adapter) == {"adapter": sentence}


def test_a_chain_that_is_not_configured_is_named_beside_those_that_are():
    assert problems("chainlink", chain="polygon", feeds=(FEED,)) == {"chain": '"polygon" is not configured; there are: base'}


def tree(*sources: dict[str, Any]) -> dict[str, Any]:
    example = tomllib.loads(EXAMPLE)
    example["chains"][0]["treasury"] = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    example["pricing"]["sources"][0]["app_id"] = "a" * 32
    example["pricing"]["sources"] += sources
    return example


@pytest.mark.parametrize(
    ("source", "key", "sentence"),
    [
        ({"kind": "order_book"}, "adapter", "is missing; give the name of an exchange's adapter in [adapters]"),
        ({"kind": "rail"}, "adapter", "is missing; give the name of an adapter in [adapters] that tells rates"),
        ({"kind": "rail", "adapter": "mpesa"}, "adapter", "mpesa tells no rates of its own; name another adapter"),
        (
            {"kind": "order_book", "adapter": "bitso", "chain": "base"},
            "chain",
            "means nothing to a source of kind order_book; leave it out",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_told_at_its_place_there(source, key, sentence):
    settings = parse(tree=tree({"name": "it", **source}))
    with pytest.raises(ConfigError) as refused:
        make_sources(settings, rails=Rails(RAILS), readers={"base": Chain()})
    assert str(refused.value) == f"pricing.sources[2].{key}: {sentence}"


SIZE = 'give for how many whole coins or dollars it is asked, a decimal in quotes, as in "200"'
RAIL, BOOK = {"kind": "rail", "adapter": "yellowcard"}, {"kind": "order_book", "adapter": "bitso"}


@pytest.mark.parametrize(
    ("source", "key", "sentence"),
    [
        ({**RAIL, "adapter": 5}, "adapter", '5 is wrong; give the name of an adapter in [adapters], as in "yellowcard"'),
        ({**RAIL, "size": "0"}, "size", f'"0" is wrong; {SIZE}'),
        ({**RAIL, "size": "NaN"}, "size", f'"NaN" is wrong; {SIZE}'),
        ({**BOOK, "size": "many"}, "size", f'"many" is wrong; {SIZE}'),
        ({**BOOK, "adaptor": "bitso"}, "adaptor", 'unknown key; did you mean "adapter"?'),
    ],
)
def test_what_is_wrong_in_itself_is_told_before_any_kind_is_asked(source, key, sentence):
    with pytest.raises(ConfigError) as refused:
        parse(tree=tree({"name": "it", **source}))
    assert str(refused.value) == f"pricing.sources[2].{key}: {sentence}"


def uncommented() -> str:
    """The example with every commented source switched on."""
    begin, end = EXAMPLE.index("# More sources"), EXAMPLE.index("[adapters.mpesa]")
    return EXAMPLE[:begin] + re.sub(r"^# (?=\[\[|[a-z_]+ = )", "", EXAMPLE[begin:end], flags=re.MULTILINE) + EXAMPLE[end:]


def test_every_source_of_the_example_is_valid_once_it_is_uncommented():
    example = tomllib.loads(uncommented())
    example["chains"][0]["treasury"] = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    example["pricing"]["sources"][0]["app_id"] = "a" * 32
    settings = parse(tree=example)
    sources = make_sources(settings, rails=Rails(RAILS), readers={"base": Chain()})
    assert {source.kind for source in settings.pricing.sources} == GOOD.keys()
    assert len(sources) == len(settings.pricing.sources) == len(GOOD)
    rules = make_offer(settings, Rails({"fake": FakeRail()})).rules
    assert (rules.bounds, rules.listed) == ({"ecb": 300}, frozenset(source.name for source in sources))


def test_the_ecb_bounds_by_five_percent_where_nothing_else_is_said_and_others_do_not_bound():
    ecb, strict = {"name": "ecb", "kind": "ecb"}, {"name": "bank", "kind": "file", "path": "bank.json", "bound_bps": 50}
    rules = make_offer(parse(tree=tree(ecb, strict)), Rails({"fake": FakeRail()})).rules
    assert rules.bounds == {"ecb": 500, "bank": 50}
    assert [name for name in ("oxr", "desk", "ecb", "bank", "gone") if rules.votes(name)] == ["oxr", "desk"]
