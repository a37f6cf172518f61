"""`lastmile refunds`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eth_account import Account
from typer.testing import CliRunner

import gateway
from gateway.commands.refunds import app
from gateway.config import ConfigError
from gateway.db.session import make_engine, transaction
from gateway.errors import Refusal
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Asset, Money
from tests.factories import NOW, make_orders
from tests.integration.refunds.house import SENDER

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
KEY = Account.create()
CHAIN, USDC = 8453, Asset("USDC@8453", 6)
TREASURY = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
OPERATOR = ("--by", "amina", "--reason", "asked for by phone")
HASH = "0x" + "aB" * 32


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "refunds.json"
    path.write_text(json.dumps(Account.encrypt(KEY.key, "open", kdf="pbkdf2", iterations=1)))
    path.chmod(0o600)
    return path


@pytest.fixture
def lastmile(database_url: str, tmp_path: Path, keystore: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {
        "CHAINS__0__TREASURY": TREASURY,
        "CHAINS__0__REFUNDS__KEYSTORE": str(keystore),
        "CHAINS__0__REFUNDS__PASSWORD": "open",
        "CHAINS__0__TOKENS__0__REFUND_PER_DAY": "100",
        "PRICING__SOURCES__0__APP_ID": "a" * 32,
        "ADAPTERS__MPESA__CERTIFICATE": "x",
        "DATABASE__URL": database_url,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"LASTMILE_{name}", value)
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, *place])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done

    return run


@pytest.fixture
def order_id(database_url: str) -> str:
    """An order on Base, held, with 10 USDC of its own and 5 beyond."""

    async def make() -> str:
        engine = make_engine(database_url)
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[USDC])
        [order] = await make_orders(engine, send_asset=USDC.code)
        own = f"order:{order.order_id}"
        transfers = tuple(
            Transfer(f"chain:{CHAIN}", f"{own}:{name}", Money(units, USDC))
            for name, units in (("funds", 10_000_000), ("unallocated", 5_000_000))
        )
        async with transaction(engine) as connection:
            await post(connection, entries=[Entry("test", "deposit_received", transfers, order.order_id)], now=NOW)
        await engine.dispose()
        return order.order_id

    made = asyncio.run(make())
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE orders SET state = 'held'")
        connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now())")
    return made


def test_an_order_is_refunded_by_a_named_person(lastmile: Any, order_id: str) -> None:
    with pytest.raises(Refusal, match="No refund address is confirmed"):
        lastmile("order", order_id, "--of", "funds", *OPERATOR)
    lastmile("address", order_id, SENDER, "--evidence", "called from the number on file", *OPERATOR)
    with pytest.raises(Refusal, match="the most is"):
        lastmile("order", order_id, "--of", "unallocated", "--amount", "5.000001", *OPERATOR)
    refund_id = lastmile("order", order_id, "--of", "funds", *OPERATOR).stdout.strip()
    [listed] = json.loads(lastmile("list", "--json").stdout)
    assert (listed["id"], listed["amount"], listed["address"]) == (refund_id, "10.000000", SENDER)
    assert json.loads(lastmile("show", refund_id, "--json").stdout) == listed
    assert (listed["owner"], listed["outcome"]) == ("operator:amina", "sending")
    assert SENDER in lastmile("show", refund_id).stdout
    assert refund_id in lastmile("list", "--order", order_id).stdout
    assert lastmile("list", "--order", "ord_none", "--json").stdout.strip() == "[]"


def test_a_part_of_what_came_beyond_goes_back(lastmile: Any, order_id: str) -> None:
    lastmile("address", order_id, SENDER, "--evidence", "signed a message", *OPERATOR)
    lastmile("order", order_id, "--of", "unallocated", "--amount", "1.5", "--asset", USDC.code, *OPERATOR)
    assert json.loads(lastmile("list", "--json").stdout)[0]["amount"] == "1.500000"


def test_the_wallets_coins_are_booked_once_per_transaction(lastmile: Any, order_id: str) -> None:
    lastmile("address", order_id, SENDER, "--evidence", "signed a message", *OPERATOR)
    lastmile("order", order_id, "--of", "unallocated", *OPERATOR)
    for said in ("500.000000 USDC booked", "booked before"):
        done = lastmile("fund", "base", "500", "USDC", "--reference", HASH, *OPERATOR)
        assert said in done.stderr
    assert json.loads(lastmile("wallet", "base", "--json").stdout) == {
        "chain": "base",
        "address": KEY.address,
        "account": f"wallet:{CHAIN}",
        "coins": [{"asset": USDC.code, "held": "500.000000", "wanted": "5.000000"}],
    }
    assert KEY.address in lastmile("wallet", "base").stdout
    with pytest.raises(Refusal, match="with another amount"):
        lastmile("fund", "base", "501", "USDC", "--reference", HASH.lower(), *OPERATOR)
    new = "0x" + "cd" * 32
    for amount, symbol, reference in (("0", "USDC", new), ("x", "USDC", new), ("1", "DAI", new), ("1", "USDC", "0x1")):
        with pytest.raises(Refusal):
            lastmile("fund", "base", amount, symbol, "--reference", reference, *OPERATOR)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("order", "ord_none", "--of", "funds", *OPERATOR), "There is no such order"),
        (("order", "ord_none", "--of", "all", *OPERATOR), "write one of funds, unallocated"),
        (("order", "ord_none", "--of", "funds", "--amount", "1", *OPERATOR), "There is no such order"),
        (("show", "ref_none"), "There is no refund ref_none"),
        (("wallet", "solana"), 'No chain is named "solana"'),
    ],
)
def test_what_is_not_there_is_said(lastmile: Any, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        lastmile(*arguments)


def test_without_a_wallet_nothing_is_refunded(lastmile: Any, order_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEYSTORE", "PASSWORD"):
        monkeypatch.delenv(f"LASTMILE_CHAINS__0__REFUNDS__{name}")
    with pytest.raises(Refusal, match=r"\[chains\.refunds\]"):
        lastmile("wallet", "base")
    with pytest.raises(Refusal, match=r"\[chains\.refunds\]"):
        lastmile("order", order_id, "--of", "funds", *OPERATOR)


def test_a_keystore_that_cannot_be_read_is_named(lastmile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_CHAINS__0__REFUNDS__KEYSTORE", "nowhere.json")
    with pytest.raises(ConfigError, match=r"chains\[0\]\.refunds\.keystore"):
        lastmile("wallet", "base")


def test_a_wallet_that_is_the_treasury_needs_no_booking(lastmile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_CHAINS__0__TREASURY", KEY.address)
    with pytest.raises(Refusal, match="the treasury itself"):
        lastmile("fund", "base", "1", "USDC", "--reference", HASH, *OPERATOR)
