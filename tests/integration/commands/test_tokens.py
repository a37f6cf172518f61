"""`lastmile tokens`, as a person at a terminal and a program use it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from gateway.commands.tokens import app
from gateway.errors import Refusal

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
SECRETS = {
    "LASTMILE_CHAINS__0__TREASURY": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "LASTMILE_PRICING__SOURCES__0__APP_ID": "a" * 32,
    "LASTMILE_ADAPTERS__MPESA__CERTIFICATE": "x",
}
USDC = "USDC@8453"
LOOK = {"address": "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", "code": "0x" + "c" * 64, "decimals": "6", "paused": "1"}
BY = ("--by", "amina", "--reason", "the issuer says so")


@pytest.fixture
def lastmile(database_url, tmp_path, monkeypatch):
    for name, value in {**SECRETS, "LASTMILE_DATABASE__URL": database_url}.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators VALUES ('amina', 'x', now(), NULL)")
        connection.execute("INSERT INTO assets VALUES (%s, 6), ('OLD@1', 6)", (USDC,))

    def run(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--config", str(EXAMPLE), "--data", str(tmp_path)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def listed(lastmile):
    return {row["asset"]: row for row in map(json.loads, lastmile("list", "--json").stdout.splitlines())}


def test_a_coin_is_frozen_and_thawed_by_name_and_both_are_on_record(lastmile, database_url):
    assert "is frozen" in lastmile("freeze", USDC, *BY).stderr
    assert "before" in lastmile("freeze", USDC, *BY).stderr
    assert "frozen since" in lastmile("list").stdout
    (freeze,) = listed(lastmile)[USDC]["freezes"]
    assert (freeze["kind"], freeze["reason"]) == ("by_hand", "amina stopped it: the issuer says so")
    assert "is taken again" in lastmile("lift", USDC, *BY).stderr
    assert listed(lastmile)[USDC]["freezes"] == []
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT operator, action, subject, reason FROM operator_actions ORDER BY id").fetchall()
    said = ("amina", "asset.freeze", f"asset:{USDC}", "the issuer says so")
    assert rows == [said, said, ("amina", "asset.lift", *said[2:])]


def test_the_list_tells_what_is_known_of_each_coin(lastmile):
    row = listed(lastmile)[USDC]
    assert (row["kind"], row["looked_at"], row["findings"]) == ("FiatToken", None, [])
    assert row["address"] == "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    assert "never looked at" in lastmile("list").stdout
    lastmile("freeze", "OLD@1", *BY)
    assert listed(lastmile)["OLD@1"]["address"] is None
    assert "OLD@1  not configured  not in the registry" in lastmile("list").stdout


def test_what_is_still_wrong_is_shown_and_not_lifted(lastmile, database_url):
    with psycopg.connect(database_url) as connection:
        look = json.dumps(LOOK | {"blocklist": "isBlacklisted(address)", "blocked": ""})
        connection.execute("INSERT INTO token_looks VALUES (%s, %s, %s, now())", (USDC, look, look))
    lastmile("freeze", USDC, *BY)
    assert "at the last look: Its issuer has paused" in lastmile("list").stdout
    with pytest.raises(Refusal, match="can't be thawed") as caught:
        lastmile("lift", USDC, *BY)
    assert caught.value.code == "still_wrong"
    assert len(listed(lastmile)[USDC]["freezes"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("freeze", "USDX@8453", *BY), "unknown_asset_code"),
        (("freeze", USDC, "--by", "nobody", "--reason", "x"), "unknown_operator"),
        (("freeze", USDC, "--by", "amina", "--reason", " "), "reason_missing"),
        (("lift", USDC, *BY), "not_frozen"),
        (("lift", "USDX@8453", *BY), "not_frozen"),
    ],
)
def test_what_can_not_be_done_is_refused_with_a_sentence(lastmile, arguments, code):
    with pytest.raises(Refusal) as caught:
        lastmile(*arguments)
    assert caught.value.code == code
    assert listed(lastmile)[USDC]["freezes"] == []
