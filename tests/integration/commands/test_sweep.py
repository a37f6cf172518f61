"""`lastmile sweep` as a person runs it: on a development chain, with a keystore, and a worker that sends."""

from __future__ import annotations

import asyncio
import json
from fractions import Fraction
from pathlib import Path

import psycopg
import pytest
from eth_account import Account
from typer.testing import CliRunner

from gateway.chain.forwarders import factory_address, forwarder_address, salt_of
from gateway.cli import app
from gateway.config import load
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.errors import Refusal
from gateway.wiring import open_signer, sweep_rules
from tests.chain_tools import deal_usdc, mine

PASSWORD = "only for this test"

SETTINGS = """
[server]
public_url = "https://pay.example.org"
[database]
url = "{database}"
[[chains]]
name = "dev"
chain_id = 31337
rpc = ["{rpc}"]
quorum = 1
finality = {{ tag = "finalized" }}
treasury = "{treasury}"
[chains.sweep]
keystore = "{keystore}"
password = {{ file = "{password}" }}
native_usd = "2000"
cost_most_bps = 9000
[[chains.tokens]]
symbol = "USDC"
address = "{usdc}"
decimals = 6
peg = "USD"
[[chains]]
name = "bare"
chain_id = 31338
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
min_sources = 1
[[pricing.sources]]
name = "file"
kind = "file"
path = "rates.json"
[adapters.mpesa]
kind = "mpesa"
"""


@pytest.fixture
def place(devchain: DevChain, database_url: str, tmp_path: Path) -> list[str]:
    """The options that name a place with one deposit of 50 USDC and an operator."""
    keystore = tmp_path / "gas.json"
    account = Account.create()
    keystore.write_text(json.dumps(Account.encrypt(account.key, PASSWORD, kdf="pbkdf2", iterations=2)))
    keystore.chmod(0o600)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    config = tmp_path / "lastmile.toml"
    config.write_text(
        SETTINGS.format(
            database=database_url,
            rpc=devchain.rpc_url,
            treasury=devchain.treasury,
            usdc=devchain.usdc,
            keystore=keystore,
            password=password,
        )
    )
    salt = salt_of("ord_1")
    address = forwarder_address(factory=factory_address(treasury=devchain.treasury), salt=salt).lower()
    deal_usdc(devchain, address, 50_000_000)
    mine(devchain, 3)
    with Rpc(devchain.rpc_url) as rpc:
        rpc("anvil_setBalance", account.address, hex(10**19))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('ada', '-', now())")
        connection.execute("INSERT INTO assets VALUES ('USDC@31337', 6), ('ETH@31337', 18)")
        connection.execute(
            "INSERT INTO deposit_addresses (address, factory, salt, owner, created_at) VALUES (%s, %s, %s, 'ord_1', now())",
            (address, devchain.factory, salt.hex()),
        )
        connection.execute(
            "INSERT INTO deposits (chain_id, tx_hash, log_index, block_number, block_hash, block_time, asset, sender, "
            "address, units, status, seen_at, updated_at) "
            "VALUES (31337, %s, 0, 1, '0x', now(), 'USDC@31337', '0x', %s, 50000000, 'final', now(), now())",
            ("0x" + "12" * 32, address),
        )
    return ["--config", str(config), "--data", str(tmp_path / "data")]


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_plan_run_and_status(place: list[str]) -> None:
    (line,) = run("sweep", "plan", "dev", *place).splitlines()
    assert line.startswith("sweep  0x")
    assert "50.000000 USDC@31337  ord_1  worth 50.00 USD, gas costs " in line
    document = json.loads(run("sweep", "plan", "dev", "--json", *place))
    assert (document["chain"], document["factory"]) == ("dev", "yes")
    assert [(one["held_units"], one["worth_it"]) for one in document["holdings"]] == [("50000000", True)]
    decided = ["--by", "ada", "--reason", "the month ends"]
    (sweep,) = json.loads(run("sweep", "run", "dev", "--order", "ord_1", "--json", *decided, *place))
    assert "waits for the factory" in run("sweep", "status", *place)
    listed = json.loads(run("sweep", "status", "--json", *place))
    assert [one["id"] for one in listed["sweeps"]] == [sweep]
    assert run("sweep", "run", "dev", "--order", "ord_1", *decided, *place) == "", "another sweep takes it"


def test_what_is_missing_is_said(place: list[str]) -> None:
    for words, sentence in (
        (("plan", "nowhere"), "there are: dev, bare"),
        (("plan", "bare"), r"give it a \[chains.sweep\] table"),
        (("run", "dev", "--by", "bob", "--reason", "x"), 'no operator is named "bob"'),
        (("run", "dev", "--by", "ada", "--reason", "x", "--address", "0x" + "12" * 20), "is no deposit address"),
        (("adopt", "dev", "0x" + "12" * 32, "--by", "ada", "--reason", "x"), "isn't a final transaction"),
    ):
        with pytest.raises(Refusal, match=sentence):
            run("sweep", *words, *place)


def test_the_settings_become_rules(place: list[str]) -> None:
    (chain, _) = load(path=Path(place[1]), environment={}).chains
    rules = sweep_rules(chain)
    assert rules.worth == {chain.tokens[0].address.lower(): Fraction(1)}
    assert (rules.native_usd, rules.cost_most_bps, rules.every_s) == (Fraction(2000), 9000, 3600)
    assert asyncio.iscoroutinefunction(open_signer(chain.sweep).sign)
