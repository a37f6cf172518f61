from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.offramp import BadSettings
from gateway.pricing.kinds import SourceSettings, make_source
from gateway.pricing.observations import PRICE_PARTS
from gateway.pricing.sources import SourceFault
from gateway.pricing.sources.aged import Aged
from gateway.pricing.sources.ecb import EcbSettings, read_daily
from gateway.pricing.sources.paced import Paced
from gateway.pricing.sources.signed_file import SignedFile, SignedFileSettings

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ECB = EcbSettings(name="ecb", currencies=("KES", "ZAR", "EUR", "USD"))
CUBES = "<Cube currency='USD' rate='1.0850'/><Cube currency='ZAR' rate='19.7300'/>"


def daily(cubes: str = CUBES, *, day: str = "2026-03-02", before: str = "") -> bytes:
    """The shape of eurofxref-daily.xml, with its single quotes."""
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>{before}"
        "<gesmes:Envelope xmlns:gesmes='http://www.gesmes.org/xml/2002-08-01' "
        "xmlns='http://www.ecb.int/vocabulary/2002-08-01/eurofxref'>"
        "<gesmes:subject>Reference rates</gesmes:subject>"
        "<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>"
        f"<Cube><Cube time='{day}'>{cubes}</Cube></Cube></gesmes:Envelope>"
    ).encode()


def test_the_ecbs_euros_are_crossed_to_dollars_and_cut_once():
    prices = {one.quote: one.price for one in read_daily(daily(), settings=ECB, now=NOW)}
    for currency, exact in {"ZAR": Fraction("19.73") / Fraction("1.085"), "EUR": 1 / Fraction("1.085")}.items():
        assert 0 <= exact - prices[currency] < Fraction(1, PRICE_PARTS)
    assert prices.keys() == {"ZAR", "EUR"}


def test_the_ecbs_rates_are_of_ten_past_two_in_frankfurt_in_winter_and_summer():
    assert read_daily(daily(), settings=ECB, now=NOW)[0].as_of == datetime(2026, 3, 2, 13, 10, tzinfo=UTC)
    summer = read_daily(daily(day="2026-07-01"), settings=ECB, now=datetime(2026, 7, 2, tzinfo=UTC))
    assert summer[0].as_of == datetime(2026, 7, 1, 12, 10, tzinfo=UTC)


@pytest.mark.parametrize("rate", ["0", "0.0", "-19.73", "NaN", "", "1e3", "19,73", "9" * 41])
def test_a_rate_of_the_ecb_that_is_no_price_is_refused(rate):
    with pytest.raises(SourceFault, match="its rate of ZAR is missing or no plausible price"):
        read_daily(daily(CUBES.replace("19.7300", rate)), settings=ECB, now=NOW)
    with pytest.raises(SourceFault, match="its rate of USD is missing or no plausible price"):
        read_daily(daily(CUBES.replace("1.0850", rate)), settings=ECB, now=NOW)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "this is not XML as the ECB sends it"),
        (b"<html><body><p>Bad gateway</body></html>", "this is not XML as the ECB sends it"),
        (b"<html><body/></html>", "it holds 0 days, not one"),
        (daily(before="<!DOCTYPE a [<!ENTITY b 'c'>]>"), "this is not XML as the ECB sends it"),
        (daily(CUBES + "</Cube><Cube time='2026-03-01'>"), "it holds 2 days, not one"),
        (daily(day="yesterday"), "its day is not a date"),
        (daily(day="2026-02-23"), "more than 6 days, 0:00:00 ago"),
        (daily(day="2026-03-09"), "in the future"),
        (daily("<Cube currency='ZAR' rate='19.73'/>"), "its rate of USD is missing, and all others"),
        (daily(CUBES + CUBES), "it tells the rate of USD twice"),
    ],
)
def test_what_is_no_daily_file_of_these_days_is_refused(body, sentence):
    with pytest.raises(SourceFault, match=sentence):
        read_daily(body, settings=ECB, now=NOW)


def test_an_ecb_that_publishes_none_of_the_wanted_is_said_to_be_useless():
    with pytest.raises(SourceFault, match="the ECB publishes no rate of KES; leave this source out"):
        read_daily(daily(), settings=EcbSettings(name="ecb", currencies=("KES",)), now=NOW)


KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
DOCUMENT = {"as_of": "2026-03-03T11:30:00Z", "base": "USD", "rates": {"KES": "129.20"}, "coins": {"USDC": "0.9998"}}


def signed(folder: Path, *, key: Ed25519PrivateKey = KEY, **changes: object) -> SignedFile:
    path, beside = folder / "rates.json", folder / "rates.json.sig"
    path.write_text(json.dumps(DOCUMENT | changes))
    beside.write_text(base64.b64encode(key.sign(path.read_bytes())).decode() + "\n")
    return SignedFile(SignedFileSettings(name="bank", path=path, signature=beside, public_key=PUBLIC, max_age=HOUR))


async def test_a_signed_file_tells_its_prices_and_those_of_coins(tmp_path):
    found = [(one.base, one.quote, one.price) for one in await signed(tmp_path).fetch(NOW)]
    assert found == [("USD", "KES", Fraction("129.2")), ("USDC", "USD", Fraction("0.9998"))]


async def test_another_signer_is_refused(tmp_path):
    with pytest.raises(SourceFault, match=r"does not sign .* by the public_key that is configured"):
        await signed(tmp_path, key=Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)).fetch(NOW)


async def test_a_file_changed_after_it_was_signed_is_refused(tmp_path):
    source = signed(tmp_path)
    (tmp_path / "rates.json").write_text(json.dumps(DOCUMENT | {"rates": {"KES": "12.920"}}))
    with pytest.raises(SourceFault, match="does not sign"):
        await source.fetch(NOW)


@pytest.mark.parametrize(("text", "sentence"), [("", "does not sign"), ("é!", "is not a signature in base64")])
async def test_a_signature_that_is_none_is_refused(tmp_path, text, sentence):
    source = signed(tmp_path)
    (tmp_path / "rates.json.sig").write_text(text)
    with pytest.raises(SourceFault, match=sentence):
        await source.fetch(NOW)


async def test_an_absent_signature_is_refused(tmp_path):
    source = signed(tmp_path)
    (tmp_path / "rates.json.sig").unlink()
    with pytest.raises(SourceFault, match=r"rates\.json\.sig can't be read"):
        await source.fetch(NOW)


async def test_an_old_file_is_refused_however_well_signed(tmp_path):
    with pytest.raises(SourceFault, match="more than 1:00:00 ago"):
        await signed(tmp_path, as_of="2026-02-24T11:30:00Z").fetch(NOW)


@pytest.mark.parametrize("key", ["x", "AAAA", "é"])
def test_a_public_key_that_is_none_is_refused_by_its_setting(key):
    with pytest.raises(BadSettings) as refused:
        make_source(
            SourceSettings(name="a", kind="signed_file", path=Path("r"), public_key=key), currencies=(), max_age=HOUR
        )
    assert refused.value.problems.keys() == {"public_key"}


async def test_a_source_may_have_its_own_measure_of_age(tmp_path):
    signed(tmp_path)
    settings = SourceSettings(name="a", kind="file", path=tmp_path / "rates.json", max_age=2 * HOUR)
    (first, *_) = await make_source(settings, currencies=(), max_age=timedelta(minutes=1)).fetch(NOW)
    assert first.good_until == first.as_of + 2 * HOUR


def test_the_ecb_has_six_days_unless_the_operator_says_otherwise():
    made = make_source(SourceSettings(name="ecb", kind="ecb"), currencies=("ZAR",), max_age=HOUR)
    assert isinstance(made, Paced)
    assert isinstance(made.source, Aged)
    assert made.source.max_age == timedelta(days=6)


@pytest.mark.parametrize("kind", ["order_book", "rail"])
def test_an_adapter_that_is_not_there_is_named(kind):
    with pytest.raises(BadSettings) as refused:
        make_source(SourceSettings(name="a", kind=kind, adapter="yc"), currencies=("KES",), max_age=HOUR)
    assert refused.value.problems == {"adapter": '"yc" is not configured; there are: none'}
