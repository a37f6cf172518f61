from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from gateway.offramp import BadSettings
from gateway.pricing.kinds import SourceSettings, make_source
from gateway.pricing.sources import (
    BODY_MOST,
    OpenExchangeRates,
    OpenExchangeRatesSettings,
    RateFile,
    RateFileSettings,
    SourceFault,
    read_latest,
    read_rate_file,
)
from gateway.pricing.sources.paced import Paced

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
APP_ID = "0123456789abcdef0123456789abcdef"
OXR = OpenExchangeRatesSettings(name="oxr", app_id=APP_ID, currencies=("KES", "UGX"), max_age=2 * HOUR)
RATES = '{"KES": 129.2, "UGX": 3650}'


def latest(*, rates: str = RATES, timestamp: object = None, base: str = '"USD"') -> bytes:
    when = int(NOW.timestamp()) if timestamp is None else timestamp
    return f'{{"disclaimer": "x", "license": "y", "timestamp": {when}, "base": {base}, "rates": {rates}}}'.encode()


def read(body: bytes):
    return read_latest(body, settings=OXR, now=NOW)


def test_prices_are_read_exactly_as_they_are_written():
    prices = {one.quote: one.price for one in read(latest(rates='{"KES": 129.199999999999999, "UGX": 3650, "ZAR": 18}'))}
    assert prices == {"KES": Fraction(129_199_999_999_999_999, 10**15), "UGX": 3650}


def test_each_price_tells_source_base_and_time():
    first = read(latest(timestamp=int((NOW - HOUR).timestamp())))[0]
    assert (first.source, first.base, first.quote, first.as_of) == ("oxr", "USD", "KES", NOW - HOUR)


def test_a_price_with_an_exponent_is_a_price():
    assert read(latest(rates='{"KES": 1.292e2, "UGX": 3.65E+3}'))[0].price == Fraction("129.2")


@pytest.mark.parametrize(
    "wrong",
    [
        "0", "0.0", "-0", "-129.2", "NaN", "Infinity", "-Infinity", "null", "true", "[]", "{}", '"129.2"', "0e5",
        "1e999999999", "1e-999999999", "0e999999999", "1e13", "1e-13", "1.0000000000000000000000001",
    ],
)  # fmt: skip
def test_what_is_no_plausible_price_is_refused_and_named(wrong):
    with pytest.raises(SourceFault, match=r"^rate source oxr: its rate of UGX is missing or no plausible price$"):
        read(latest(rates=f'{{"KES": 129.2, "UGX": {wrong}}}'))


def test_a_missing_currency_is_refused_and_named():
    with pytest.raises(SourceFault, match="its rate of UGX is missing"):
        read(latest(rates='{"KES": 129.2}'))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html><body>Bad gateway</body></html>", b"null", b"[]", b"129.2", b'"USD"', b'{"timestamp": 1',
        b"\xff\xfe\x00", b"[" * 100_000, b'{"rates": 1e99999999999999999999}', b'{"rates": ' + b"1" * 50_000 + b"}",
    ],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(SourceFault, match="this is not a JSON object"):
        read(body)


@pytest.mark.parametrize("rates", ["null", "[]", "{}", "5", '"KES"'])
def test_an_answer_without_rates_is_refused(rates):
    with pytest.raises(SourceFault, match="it holds no rates"):
        read(latest(rates=rates))


@pytest.mark.parametrize("base", ['"KES"', '"usd"', "null", "1"])
def test_another_base_is_refused(base):
    with pytest.raises(SourceFault, match="its base is not USD"):
        read(latest(base=base))


@pytest.mark.parametrize("timestamp", ["null", '"1686614400"', "0", "-1", "true", "NaN", "1e30", "1686614400000", "[]"])
def test_what_is_no_time_in_seconds_is_refused(timestamp):
    with pytest.raises(SourceFault, match="its timestamp is not a time in Unix seconds"):
        read(latest(timestamp=timestamp))


def test_last_week_is_refused():
    with pytest.raises(SourceFault, match="its prices are of 2026-11-15 12:00:00 UTC, more than 2:00:00 ago"):
        read(latest(timestamp=int((NOW - timedelta(days=7)).timestamp())))


def test_the_future_is_refused():
    with pytest.raises(SourceFault, match="its prices are of 2026-11-22 13:00:00 UTC, in the future"):
        read(latest(timestamp=int((NOW + HOUR).timestamp())))


def test_the_app_id_does_not_show_and_may_not_be_empty():
    assert APP_ID not in repr(OXR)
    assert APP_ID not in repr(SourceSettings(name="a", kind="file", app_id=APP_ID))
    with pytest.raises(ValueError, match="rate source oxr needs an app_id"):
        OpenExchangeRatesSettings(name="oxr", app_id="", currencies=("KES",), max_age=HOUR)


def written(path: Path, **changes: object) -> RateFile:
    document = {"as_of": "2026-11-22T11:00:00Z", "base": "USD", "rates": {"KES": "129.20"}} | changes
    path.write_text(json.dumps(document))
    return RateFile(RateFileSettings(name="desk", path=path, max_age=2 * HOUR))


async def test_the_operators_file_tells_all_its_prices(tmp_path):
    found = await written(tmp_path / "rates.json", rates={"KES": "129.20", "UGX": "3650"}).fetch(NOW)
    assert [(one.source, one.base, one.quote, one.price, one.as_of) for one in found] == [
        ("desk", "USD", "KES", Fraction("129.2"), NOW - HOUR),
        ("desk", "USD", "UGX", Fraction(3650), NOW - HOUR),
    ]


async def test_a_file_is_read_anew_each_time(tmp_path):
    source = written(tmp_path / "rates.json")
    await source.fetch(NOW)
    written(tmp_path / "rates.json", rates={"KES": "130"})
    assert (await source.fetch(NOW))[0].price == 130


@pytest.mark.parametrize(
    "wrong",
    ["1e2", "-1", "NaN", "1_000", "١٢٩", " 129", "", "0", "0.0", "+1", ".5", "5.", "1" * 41, "129." + "0" * 40, 129.2, 1],
)
async def test_a_price_in_the_file_is_plain_decimal_text(tmp_path, wrong):
    with pytest.raises(SourceFault, match="rate source desk: its rate of KES is missing or no plausible price"):
        await written(tmp_path / "rates.json", rates={"KES": wrong}).fetch(NOW)


@pytest.mark.parametrize("as_of", ["2026-11-22T11:00:00", "yesterday", None, 1, ""])
async def test_the_files_time_has_a_time_zone(tmp_path, as_of):
    with pytest.raises(SourceFault, match="its as_of is not a time with a time zone"):
        await written(tmp_path / "rates.json", as_of=as_of).fetch(NOW)


async def test_an_old_file_is_refused(tmp_path):
    with pytest.raises(SourceFault, match="more than 2:00:00 ago"):
        await written(tmp_path / "rates.json", as_of="2026-11-22T09:59:59Z").fetch(NOW)


@pytest.mark.parametrize("base", [None, "", 5])
async def test_a_file_without_a_base_is_refused(tmp_path, base):
    with pytest.raises(SourceFault, match="it names no base"):
        await written(tmp_path / "rates.json", base=base).fetch(NOW)


async def test_a_missing_file_is_named(tmp_path):
    source = RateFile(RateFileSettings(name="desk", path=tmp_path / "none.json", max_age=HOUR))
    with pytest.raises(SourceFault, match=r"none\.json can't be read: No such file"):
        await source.fetch(NOW)


async def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "rates.json"
    path.write_bytes(b" " * (BODY_MOST + 1))
    with pytest.raises(SourceFault, match="is longer than"):
        await RateFile(RateFileSettings(name="desk", path=path, max_age=HOUR)).fetch(NOW)


def test_a_file_in_another_time_zone_is_the_same_moment():
    body = b'{"as_of": "2026-11-22T14:00:00+03:00", "base": "USD", "rates": {"KES": "129.20"}}'
    settings = RateFileSettings(name="desk", path=Path("rates.json"), max_age=HOUR)
    assert read_rate_file(body, settings=settings, now=NOW)[0].as_of == NOW - HOUR


def test_sources_are_made_by_kind():
    oxr = make_source(SourceSettings(name="a", kind="open_exchange_rates", app_id=APP_ID), currencies=("KES",), max_age=HOUR)
    desk = make_source(SourceSettings(name="b", kind="file", path=Path("rates.json")), currencies=("KES",), max_age=HOUR)
    assert isinstance(oxr, Paced)
    assert isinstance(oxr.source, OpenExchangeRates)
    assert isinstance(desk, RateFile)
    assert (oxr.name, desk.name) == ("a", "b")


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        (
            {"kind": "guess"},
            {
                "kind": "is none of the kinds there are: "
                "open_exchange_rates, file, ecb, signed_file, chainlink, order_book, rail"
            },
        ),
        (
            {"kind": "open_exchange_rates"},
            {"app_id": "is missing; give the App ID of your account at Open Exchange Rates"},
        ),
        (
            {"kind": "open_exchange_rates", "app_id": ""},
            {"app_id": "is missing; give the App ID of your account at Open Exchange Rates"},
        ),
        (
            {"kind": "file", "app_id": APP_ID},
            {
                "path": 'is missing; give the file with the rates, as in "rates.json"',
                "app_id": "means nothing to a source of kind file; leave it out",
            },
        ),
    ],
)
def test_wrong_settings_are_named_key_by_key(settings, problems):
    with pytest.raises(BadSettings) as refused:
        make_source(SourceSettings(name="a", **settings), currencies=("KES",), max_age=HOUR)
    assert refused.value.problems == problems
