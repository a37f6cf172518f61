"""`lastmile operator`, as a person at a terminal and a program use it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from gateway.commands.operator import app
from gateway.errors import Refusal
from gateway.operators.passwords import Passwords

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
SECRETS = {
    "LASTMILE_CHAINS__0__TREASURY": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "LASTMILE_PRICING__SOURCES__0__APP_ID": "a" * 32,
    "LASTMILE_ADAPTERS__MPESA__CERTIFICATE": "x",
}
LONG = "mkate wa asubuhi na chai"


@pytest.fixture
def lastmile(database_url, tmp_path, monkeypatch):
    for name, value in {**SECRETS, "LASTMILE_DATABASE__URL": database_url}.items():
        monkeypatch.setenv(name, value)
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]

    def run(*arguments, given=None):
        done = CliRunner().invoke(app, [*arguments, *place], input=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture
def kept(database_url):
    def read(name):
        with psycopg.connect(database_url) as connection:
            return connection.execute("SELECT password_hash FROM operators WHERE name = %s", (name,)).fetchone()[0]

    return read


def test_a_new_operators_password_is_shown_once_and_only_its_hash_is_kept(lastmile, kept):
    added = json.loads(lastmile("add", "amina", "--json").stdout)
    assert added["name"] == "amina"
    assert Passwords().match(added["password"], kept("amina"))
    assert added["password"] not in lastmile("list").output
    shown = lastmile("add", "brian")
    assert "name      brian" in shown.stdout
    assert "can't be shown again" in shown.stderr


def test_a_given_password_is_judged_and_not_shown(lastmile, kept):
    done = lastmile("add", "amina", "--password-stdin", given=f"{LONG}\n")
    assert LONG not in done.output
    assert Passwords().match(LONG, kept("amina"))
    with pytest.raises(Refusal, match="15 to 256"):
        lastmile("add", "brian", "--password-stdin", given="short\n")
    assert "brian" not in lastmile("list").stdout


def test_a_lost_password_is_replaced(lastmile, kept):
    lastmile("add", "amina", "--password-stdin", given=f"{LONG}\n")
    replaced = json.loads(lastmile("password", "amina", "--json").stdout)
    assert not Passwords().match(LONG, kept("amina"))
    assert Passwords().match(replaced["password"], kept("amina"))
    with pytest.raises(Refusal, match='no operator is named "nobody"'):
        lastmile("password", "nobody")


def test_who_leaves_is_disabled_by_name_and_with_a_reason(lastmile):
    assert "There are no operators" in lastmile("list").stderr
    lastmile("add", "amina")
    lastmile("add", "brian")
    lastmile("disable", "brian", "--by", "amina", "--reason", "left the company")
    listed = lastmile("list").stdout.splitlines()
    assert listed[0] == "amina  active"
    assert listed[1].startswith("brian  disabled since ")
    as_json = [json.loads(line) for line in lastmile("list", "--json").stdout.splitlines()]
    assert [one["disabled_at"] is None for one in as_json] == [True, False]
    with pytest.raises(Refusal):
        lastmile("disable", "amina", "--by", "brian", "--reason", "revenge")
    assert lastmile("disable", "amina", "--by", "amina").exit_code == 2
