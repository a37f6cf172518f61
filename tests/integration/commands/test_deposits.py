"""`lastmile deposits`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from sqlalchemy import insert, text
from typer.testing import CliRunner

import gateway
from gateway.clock import system_clock
from gateway.commands.deposits import app
from gateway.db.session import make_engine, transaction
from gateway.desk.errors import RequoteReplaced, TermsDoNotHold
from gateway.errors import Refusal
from gateway.ledger.post import register_assets
from gateway.money import Asset
from gateway.orders.funding import book_deposits
from gateway.pricing.models import RateObservation
from tests.factories import KES, NOW, make_deposit, make_orders

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
USDC = Asset("USDC@8453", 6)
BY = ("--by", "amina", "--reason", "asked for by phone")
TREASURY = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
KEY = "0x" + "17" * 32
MINE = Account.from_key("0x" + "31" * 32).address


@pytest.fixture
def lastmile(database_url: str, tmp_path: Path, adapter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {
        "CHAINS__0__TREASURY": TREASURY,
        "CHAINS__0__QUORUM": "1",
        "PRICING__SOURCES__0__APP_ID": "a" * 32,
        **adapter,
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
        return done.stdout.strip()

    return run


@pytest.fixture
def order_id(database_url: str) -> str:
    """An order on Base whose money came late, from the key's address, with a second deposit after it."""

    async def make() -> str:
        engine = make_engine(database_url)
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[USDC, KES])
            for source in ("oxr", "desk"):
                rate = {"source": source, "base": "USD", "quote": "KES", "num": 1292, "den": 10}
                now = system_clock()
                await connection.execute(insert(RateObservation).values(rate | {"as_of": now, "fetched_at": now}))
        [order] = await make_orders(engine, send_asset=USDC.code)
        for units, block in ((10_000_000, 7), (700_000, 8)):
            await make_deposit(engine, order, asset=USDC, units=units, block=block, at=NOW + timedelta(hours=1))
        async with transaction(engine) as connection:
            await connection.execute(
                text("UPDATE deposits SET chain_id = 8453, sender = :sender"),
                {"sender": Account.from_key(KEY).address.lower()},
            )
            await connection.execute(text("SET LOCAL session_replication_role = replica"))  # no quote ever changes
            await connection.execute(text("UPDATE quotes SET chain_id = 8453"))
        await book_deposits(engine, least={}, now=NOW)
        await engine.dispose()
        return order.order_id

    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now())")
    return asyncio.run(make())


def test_what_waits_is_listed_for_people_and_programs(lastmile: Any, order_id: str) -> None:
    late, second = json.loads(lastmile("unmatched", "--json"))
    assert (late["kind"], late["amount"], late["asset"], late["order"]) == ("late", "10.000000", USDC.code, order_id)
    assert (second["kind"], second["amount"], second["lies_at"]) == ("late", "0.700000", "deposit_address")
    assert late["sender"] == Account.from_key(KEY).address
    line, _ = lastmile("unmatched").splitlines()
    assert "10.000000 USDC" in line
    assert "requote" in line
    assert lastmile("unmatched", "--kind", "dust") == lastmile("unmatched", "--order", "ord_none") == ""
    with pytest.raises(Refusal, match="wrong_chain"):
        lastmile("unmatched", "--kind", "odd")


def test_a_person_offers_a_price_and_writes_the_consent_down(lastmile: Any, order_id: str) -> None:
    with pytest.raises(TermsDoNotHold):
        lastmile("release", order_id, *BY)
    older = lastmile("requote", order_id, *BY)
    newer = lastmile("requote", order_id, "--minutes", "120", *BY)
    with pytest.raises(RequoteReplaced):
        lastmile("accept", order_id, older, *BY)
    shown = json.loads(lastmile("show", order_id, "--json"))
    assert (shown["offer"]["id"], shown["offer"]["open"], shown["offer"]["send"]) == (newer, True, "10.700000 USDC")
    assert lastmile("accept", order_id, newer, *BY) == order_id
    assert lastmile("unmatched") == ""
    actions = [one["action"] for one in json.loads(lastmile("show", order_id, "--json"))["decisions"]]
    assert actions == ["deposits.accept", "deposits.requote", "deposits.requote"]


def test_small_change_is_set_aside_and_given_back(lastmile: Any, order_id: str) -> None:
    lastmile("write-off", order_id, "--asset", USDC.code, "--cost", "0.85", *BY)
    assert len(json.loads(lastmile("unmatched", "--json"))) == 1
    lastmile("take-back", order_id, "--asset", USDC.code, *BY)
    assert len(json.loads(lastmile("unmatched", "--json"))) == 2
    with pytest.raises(Refusal):
        lastmile("refund", order_id, *BY)
    with pytest.raises(Refusal, match="write one of"):
        lastmile("refund", order_id, "--of", "everything", *BY)


def test_coins_are_recovered_by_their_contract(
    lastmile: Any, order_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    with pytest.raises(Refusal, match=r"\[chains\.sweep\]"):
        lastmile("recover", order_id, "--chain", "base", "--token", usdc, *BY)
    keystore = tmp_path / "gas.json"
    keystore.write_text(json.dumps({"version": 3, "address": "ab" * 20}))
    keystore.chmod(0o600)
    for name, value in {"KEYSTORE": str(keystore), "PASSWORD": "x", "NATIVE_USD": "3000"}.items():
        monkeypatch.setenv(f"LASTMILE_CHAINS__0__SWEEP__{name}", value)
    assert lastmile("recover", order_id, "--chain", "base", "--token", usdc, *BY).startswith("swp_")
    with pytest.raises(Refusal):
        lastmile("recover", order_id, "--chain", "base", "--token", "native", *BY)
    with pytest.raises(Refusal, match="No chain is named"):
        lastmile("recover", order_id, "--chain", "moon", "--token", usdc, *BY)
    with pytest.raises(Refusal):
        lastmile("close", order_id, "--chain", "base", "--transfer", "0x" + "ab" * 32 + ":1", *BY)


def test_a_sender_proves_an_address_by_letter(lastmile: Any, order_id: str) -> None:
    with pytest.raises(Refusal):
        lastmile("prove", order_id, MINE, "--until", "2026-01-01T00:00:00Z")
    text_to_sign = lastmile("prove", order_id, MINE)
    until = text_to_sign.rpartition("until ")[2].rstrip(".")
    signature = "0x" + bytes(Account.sign_message(encode_defunct(text=text_to_sign), KEY).signature).hex()
    lastmile("prove", order_id, MINE, "--until", until, "--signature", signature)
    with pytest.raises(Refusal):
        lastmile("prove", order_id, TREASURY)


def test_a_chain_that_was_never_watched_is_named(lastmile: Any, order_id: str) -> None:
    with pytest.raises(AssertionError, match="not watched yet"):
        lastmile("scan", order_id)
