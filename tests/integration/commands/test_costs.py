"""`lastmile costs`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

import gateway
from gateway.cli import app
from gateway.clock import system_clock
from gateway.commands.costs import BadAmount
from gateway.db.session import make_engine, transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.ledger.post import register_assets
from gateway.money import Asset
from gateway.pricing.halts import halt
from gateway.pricing.observations import Observation
from gateway.pricing.refresh import refresh_rates

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
TARIFF = """
[[tariffs]]
currency = "KES"
method = "mobile_money"
charge = [{ up_to = "20000", fixed = "5" }, { fixed = "9" }]
cash_out = [{ up_to = "50000", fixed = "200" }, { percent = "10" }]

[[corridors]]"""


class Tells:
    name = "oxr"

    def __init__(self, **prices: str) -> None:
        """By pair, as in USD_KES."""
        self.prices = prices

    async def fetch(self, now: Any) -> list[Observation]:
        pairs = ((*pair.split("_"), Fraction(price)) for pair, price in self.prices.items())
        return [Observation(source="oxr", base=base, quote=quote, price=price, as_of=now) for base, quote, price in pairs]


@pytest.fixture
def lastmile(database_url: str, tmp_path: Path, adapter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = (
        EXAMPLE.read_text()
        .replace("\n[[corridors]]", TARIFF, 1)
        .replace('fee = "25" ', 'fee = "25"\npass_on_rail_fee = true ', 1)
    )
    file = tmp_path / "lastmile.toml"
    file.write_text(settings)
    given = {
        "CHAINS__0__TREASURY": "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "CHAINS__0__QUORUM": "1",
        "CHAINS__0__NETWORK_FEE": "0.05",
        "PRICING__SOURCES__0__APP_ID": "a" * 32,
        "PRICING__MIN_SOURCES": "1",
        **adapter,
        "DATABASE__URL": database_url,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"LASTMILE_{name}", value)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["costs", *arguments, "--config", str(file), "--data", str(tmp_path)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def in_database(url: str, act: Any) -> Any:
    async def go() -> Any:
        engine = make_engine(url)
        try:
            return await act(engine)
        finally:
            await engine.dispose()

    return asyncio.run(go())


@pytest.fixture
def priced(database_url: str) -> str:
    """129.20 KES for a dollar."""

    async def act(engine: Any) -> None:
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[Asset("KES", 2)])
            await connection.execute(text("INSERT INTO operators VALUES ('amina', '', now())"))
        await refresh_rates(engine, sources=[Tells(USD_KES="129.20")], now=system_clock())

    in_database(database_url, act)
    return database_url


def test_two_hundred_and_five_hundred_dollars_are_priced_as_a_quote_would_be_and_nothing_is_stored(lastmile, priced):
    first, second = json.loads(lastmile("--json"))
    way = {"country": "KE", "currency": "KES", "method": "mobile_money", "speed": "standard"}
    assert first == way | {
        "chain": "base",
        "asset": "USDC",
        "usd": "200.00",
        "price": {
            "send": "200.000000",
            "mid": "129.20000000",
            "applied": "128.55400000",
            "value": "25840.00",
            "fees": {
                "fx_margin": "129.20",
                "service_fee": "25.00",
                "partner_fee": "0.00",
                "rail_fee": "9.00",
                "network_fee": "6.46",
                "rounding": "0.34",
            },
            "receive": "25670.00",
            "cash_out": "200.00",
            "in_hand": "25470.00",
            "total_cost_percent": "1.44",
            "sdg_target_percent": "3.00",
            "within_sdg_target": True,
        },
    }
    assert (second["usd"], second["price"]["total_cost_percent"], second["price"]["within_sdg_target"]) == (
        "500.00",
        "10.51",
        False,
    )

    async def count(engine: Any) -> Any:
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT count(*) FROM quotes"))).scalar()

    assert in_database(priced, count) == 0


def test_two_hundred_dollars_are_more_coins_where_a_coin_is_worth_less(lastmile, priced):
    in_database(priced, lambda engine: refresh_rates(engine, sources=[Tells(USDC_USD="0.998")], now=system_clock()))
    [cost] = json.loads(lastmile("--amount", "200", "--json"))
    assert (cost["price"]["send"], cost["price"]["mid"], cost["price"]["value"]) == (
        "200.400802",
        "128.94160000",
        "25840.00",
    )


@pytest.mark.usefixtures("priced")
def test_a_person_reads_a_table_with_every_fee_and_who_keeps_to_the_target(lastmile):
    head, first, second, last = lastmile().splitlines()
    fees = ["fx margin", "service fee", "partner fee", "rail fee", "network fee", "rounding"]
    named = ["corridor", "coin", "for", "sent", "rate", *fees, "received", "cash-out", "in hand", "total %", "SDG 10.c"]
    places = [head.index(name) for name in named]
    assert places == sorted(places)
    assert " ".join(first.split()).startswith(
        "KE KES mobile_money USDC on base 200.00 USD 200.000000 128.5540 129.20 25.00 "
    )
    assert (first.split()[-1], second.split()[-1]) == ("within", "above")
    assert last == "1 of 2 prices are within the target of SDG 10.c, at most 3.00 %"


@pytest.mark.usefixtures("priced")
def test_what_is_outside_the_limits_says_so_and_the_others_are_priced(lastmile):
    told = lastmile("--amount", "200", "--amount", "0.10", "--amount", "5000").splitlines()
    low, high = told[2:4]
    assert low.startswith(
        "no price: KE KES mobile_money, USDC on base, 0.10 USD: The recipient has to get at least 100.00 KES"
    )
    assert high.startswith(
        "no price: KE KES mobile_money, USDC on base, 5000.00 USD: The recipient can get at most 250000.00"
    )
    assert told[-1].startswith("1 of 1 prices")
    _, refused = json.loads(lastmile("--amount", "200", "--amount", "0.10", "--json"))
    assert (refused["price"], refused["code"]) == (None, "below_minimum")


def test_where_no_rate_is_known_that_is_said_with_what_is_missing(lastmile):
    first, *_, last = lastmile().splitlines()
    assert "There is no current exchange rate for KES." in first
    assert "USD/KES: 0 fresh sources, 1 needed" in first
    assert last.startswith("0 of 0 prices")


def test_a_halted_corridor_has_no_price(lastmile, priced):
    async def stop(engine: Any) -> None:
        async with transaction(engine) as connection:
            subject = "KE/KES/mobile_money"
            await halt(connection, subject=subject, operator="amina", reason="elections", now=system_clock())

    in_database(priced, stop)
    assert {one["code"] for one in json.loads(lastmile("--json"))} == {"corridor_halted"}


def test_a_frozen_coin_has_no_price(lastmile, priced):
    async def freeze(engine: Any) -> None:
        async with transaction(engine) as connection:
            coin = Asset("USDC@8453", 6)
            await register_assets(connection, assets=[coin])
            await freeze_asset(connection, asset=coin.code, kind=FreezeKind.PAUSED, reason="paused", now=system_clock())

    in_database(priced, freeze)
    assert {one["code"] for one in json.loads(lastmile("--json"))} == {"asset_frozen"}


def test_an_old_rate_prices_nothing(lastmile, priced):
    async def age(engine: Any) -> None:
        async with transaction(engine) as connection:
            await connection.execute(
                text("UPDATE rate_observations SET as_of = as_of - CAST(:age AS interval)"), {"age": timedelta(days=2)}
            )

    in_database(priced, age)
    assert {one["code"] for one in json.loads(lastmile("--json"))} == {"rate_unavailable"}


@pytest.mark.parametrize("amount", ["1e5", "-1", "0", "0.001", "ten", ""])
def test_what_is_no_amount_of_dollars_is_refused_in_a_sentence(lastmile, amount):
    with pytest.raises(BadAmount, match="--amount"):
        lastmile("--amount", amount)
