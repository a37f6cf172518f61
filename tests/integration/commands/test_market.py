"""`lastmile rates` and `lastmile corridor`, as a person at a terminal and a program use them."""

from __future__ import annotations

import asyncio
import json
import os

import httpx
import psycopg
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.clock import system_clock
from gateway.commands.place import gateway_at
from gateway.config import load
from gateway.devchain.stablecoin import call
from gateway.errors import Refusal
from gateway.pricing.ecb_simulator import app as ecb_app
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.rounds import make_round
from tests.chain_tools import deploy, transact
from tests.integration.commands.test_rails import certificate, lastmile
from tests.integration.pricing.conftest import served

__all__ = ["certificate", "lastmile"]
BY = ("--by", "amina", "--reason", "the rails there are down")
KENYA = ("KE", "KES", "mobile_money")


@pytest.fixture
def priced(lastmile, database_url):
    """Two sources that say 129.20, and one of USDC."""
    with psycopg.connect(database_url) as connection:
        for source, base, quote, price in (
            ("oxr", "USD", "KES", 1292),
            ("desk", "USD", "KES", 1292),
            ("desk", "USDC", "USD", 10),
        ):
            connection.execute(
                "INSERT INTO rate_observations (source, base, quote, num, den, as_of, fetched_at)"
                " VALUES (%s, %s, %s, %s, 10, %s, %s)",
                (source, base, quote, price, system_clock(), system_clock()),
            )
    return lastmile


def listed(lastmile):
    return json.loads(lastmile("corridor", "list", "--json").stdout)


def test_rates_are_printed_for_people_and_for_programs(priced):
    shown = priced("rates").stdout
    assert "USDC  1.000000 USD  open" in shown
    assert "USDC in KES  129.200000" in shown
    assert "    KE mobile_money  " in shown
    document = json.loads(priced("rates", "--json").stdout)
    pair = next(one for one in document["rates"] if (one["asset"], one["currency"]) == ("USDC", "KES"))
    assert (pair["mid"], pair["sources"], document["stops"]) == ("129.20000000", ["desk", "oxr"], [])


def test_who_is_left_out_is_printed_with_the_reason(priced, database_url, monkeypatch):
    for key, value in {"NAME": "bitso", "KIND": "file", "PATH": "bitso.json"}.items():
        monkeypatch.setenv(f"LASTMILE_PRICING__SOURCES__2__{key}", value)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO rate_observations (source, base, quote, num, den, as_of, fetched_at)"
            " VALUES ('bitso', 'USDC', 'KES', 140, 1, now(), now()), ('gone', 'USD', 'KES', 200, 1, now(), now())"
        )
    shown = priced("rates").stdout
    assert "    left out: bitso by USDC says 140.000000 KES for one USD, the others 129.200000: too far away" in shown
    assert "gone" not in shown


def test_a_corridor_is_halted_and_resumed_by_name_and_with_a_reason(priced):
    priced("corridor", "halt", *KENYA, *BY)
    [stop] = listed(priced)
    assert (stop["subject"], stop["by"], stop["reason"]) == ("KE/KES/mobile_money", "amina", "the rails there are down")
    shown = priced("rates").stdout
    assert "KE mobile_money  STOPPED (by_hand)" in shown
    assert "the rails there are down" in shown
    assert "KE/KES/mobile_money  by_hand by amina since" in priced("corridor", "list").stdout
    with pytest.raises(Refusal, match="halted by hand before"):
        priced("corridor", "halt", *KENYA, *BY)
    priced("corridor", "resume", *KENYA, *BY)
    assert listed(priced) == []
    with pytest.raises(Refusal, match="nothing halts"):
        priced("corridor", "resume", *KENYA, *BY)


def test_a_coin_or_everything_is_halted_the_same_way(priced):
    priced("corridor", "halt", "--coin", "USDC", *BY)
    priced("corridor", "halt", "--all", *BY)
    assert [stop["subject"] for stop in listed(priced)] == ["USDC", "*"]
    priced("corridor", "resume", "--all", *BY)
    priced("corridor", "resume", "--coin", "USDC", *BY)
    assert listed(priced) == []


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ((), "name one thing"),
        (("KE", "KES"), "name one thing"),
        ((*KENYA, "--all"), "name one thing"),
        (("--coin", "USDX"), "no coin is called"),
        (("KE", "KES", "pigeon"), "there are: KE/KES/mobile_money"),
    ],
)
def test_what_does_not_exist_is_not_halted(priced, arguments, right):
    with pytest.raises(Refusal, match=right):
        priced("corridor", "halt", *arguments, *BY)
    assert listed(priced) == []


def test_nobody_halts_without_a_name_that_is_known(priced):
    with pytest.raises(Refusal, match="no operator is named"):
        priced("corridor", "halt", *KENYA, "--by", "nobody", "--reason", "so")


def test_a_jump_is_believed_by_a_person(priced, database_url):
    with pytest.raises(Refusal, match="no price of USD/KES waits"):
        priced("rates", "accept", "USD", "KES", *BY)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO market_pairs (base, quote, price, at, low, high, since, moves, newest, pending, rounds)"
            " VALUES ('USD', 'KES', '100', now(), '100', '100', now(), 0, now(), '646/5', 1)"
        )
    assert "STOPPED (jump)" in priced("rates").stdout
    priced("rates", "accept", "USD", "KES", *BY)
    assert "USDC in KES  129.200000" in priced("rates").stdout


SETTINGS = """
[server]
public_url = "https://pay.example.org"
[[chains]]
name = "dev"
chain_id = 31337
rpc = ["{rpc}"]
quorum = 1
finality = {{ tag = "finalized" }}
treasury = "{treasury}"
[[chains.tokens]]
symbol = "USDC"
address = "{usdc}"
decimals = 6
peg = "USD"
[[corridors]]
country = "KE"
currency = "KES"
methods = ["mobile_money"]
spread_bps = 50
fee = "0"
min = "100"
max = "1000"
[pricing]
max_age_s = 7200
max_spread_bps = 100
quote_ttl_s = 900
min_sources = 2
[[pricing.sources]]
name = "link"
kind = "chainlink"
chain = "dev"
feeds = [
    {{ base = "USDC", quote = "USD", address = "{usdc_feed}", heartbeat_s = 86400 }},
    {{ base = "KES", quote = "USD", address = "{kes_feed}", heartbeat_s = 3600 }},
]
[[pricing.sources]]
name = "desk"
kind = "file"
path = "{desk}"
[[pricing.sources]]
name = "ecb"
kind = "ecb"
base_url = "{ecb}"
[adapters.mpesa]
kind = "mpesa"
base_url = "https://sandbox.safaricom.co.ke"
initiator_name = "testapi"
short_code = "600992"
"""


@pytest.fixture
def place(lastmile, devchain, test_contracts, database_url, tmp_path, monkeypatch):  # noqa: ARG001 - its environment
    """Feeds on a chain, a file with a coin's price in shillings, and a bank: changes what they say and asks them all."""
    usdc_feed, kes_feed = (
        deploy(devchain, test_contracts["TestFeed"]["bytecode"], ["uint8", "string"], [8, name]) for name in ("USDC", "KES")
    )
    for name in ("CHAINS__0__TREASURY", "PRICING__SOURCES__0__APP_ID"):
        monkeypatch.delenv(f"LASTMILE_{name}")
    config, desk = tmp_path / "lastmile.toml", tmp_path / "desk.json"
    with served(ecb_app()) as ecb:
        config.write_text(
            SETTINGS.format(
                rpc=devchain.rpc_url,
                treasury=devchain.treasury,
                usdc=devchain.usdc,
                usdc_feed=usdc_feed,
                kes_feed=kes_feed,
                desk=desk,
                ecb=ecb,
            )
        )

        async def ask(settings):
            async with gateway_at(settings, tmp_path, database_url) as found:
                refreshed = await refresh_rates(found.engine, sources=found.sources, now=system_clock())
                await make_round(found.engine, offer=found.offer, now=system_clock())
            return [str(fault) for fault in refreshed.faults]

        def tell(*, usdc, kes, local, bank):
            for feed, answer in ((usdc_feed, usdc), (kes_feed, kes)):
                assert transact(devchain, to=feed, data=call("report(int256)", answer))["status"] == "0x1"
            desk.write_text(json.dumps({"as_of": system_clock().isoformat(), "base": "USDC", "rates": {"KES": local}}))
            httpx.put(f"{ecb}/_sim/rates", json={"USD": "1", "KES": bank}, trust_env=False).raise_for_status()
            assert asyncio.run(ask(load(path=config, environment=dict(os.environ)))) == []
            return json.loads(
                CliRunner().invoke(app, ["rates", "--json", "--config", str(config), "--data", str(tmp_path)]).stdout
            )

        yield tell


def test_feeds_on_a_chain_a_coins_local_price_and_a_bank_come_all_the_way_to_the_rates(place):
    """A shilling is 0.008 dollars by the feed, and a coin of 0.995 dollars brings 124.375: both say 125 for a dollar."""
    told = place(usdc=99_500_000, kes=800_000, local="124.375", bank="130.0000")
    [coin], [pair] = told["coins"], told["rates"]
    assert (coin["price"], coin["sources"]) == ("0.99500000", ["link"])
    assert (pair["sources"], pair["state"], pair["mid"][:5]) == (["desk", "link"], "open", "124.3")
    told = place(usdc=99_500_000, kes=800_000, local="124.375", bank="132.0000")
    [stop] = told["stops"]
    assert (stop["breaker"], stop["subject"]) == ("spread", "USD/KES")
    assert "desk by USDC, link agree on 125.000000" in stop["reason"]
    assert "more than 500 bps from what ecb bounds it by: 132.000000" in stop["reason"]
