"""`lastmile partner`: an exchange that uses the API, and the fee of its own."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from gateway.cli import app
from gateway.operators.actions import ReasonMissing, UnknownOperator
from gateway.partners.fees import BadPartnerFee, UnknownPartner

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
WHY = ["--by", "amina", "--reason", "agreed on 3 May"]
SECRETS = {
    "LASTMILE_CHAINS__0__TREASURY": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "LASTMILE_PRICING__SOURCES__0__APP_ID": "a" * 32,
    "LASTMILE_ADAPTERS__MPESA__CERTIFICATE": "x",
}


@pytest.fixture
def sql(database_url):
    def run(statement, *values):
        with psycopg.connect(database_url) as connection:
            done = connection.execute(statement, values)
            return done.fetchall() if done.description else []

    return run


@pytest.fixture
def lastmile(database_url, sql, tmp_path, monkeypatch):
    for name, value in {**SECRETS, "LASTMILE_DATABASE__URL": database_url}.items():
        monkeypatch.setenv(name, value)
    sql("INSERT INTO operators VALUES ('amina', '', now())")
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]

    def run(*arguments):
        done = CliRunner().invoke(app, ["partner", *arguments, *place])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_a_partner_has_a_fee_of_its_own_only_if_it_is_given_one(lastmile, sql):
    made = json.loads(lastmile("add", "Nairobi", "--json").stdout)
    assert made["client_secret"]
    lastmile("add", "Lagos", "--fee-bps", "50")
    assert sql("SELECT name, fee_bps FROM partners ORDER BY name") == [("Lagos", 50), ("Nairobi", 0)]


def test_a_fee_is_changed_by_name_and_with_a_reason(lastmile, sql):
    lastmile("add", "Lagos", "--fee-bps", "50")
    said = lastmile("fee", "Lagos", "--fee-bps", "75", *WHY).stderr
    assert "Lagos takes 75 basis points of its orders from now on; before it took 50." in said
    assert sql("SELECT fee_bps FROM partners") == [(75,)]
    assert sql("SELECT operator, action, reason, detail FROM operator_actions") == [
        ("amina", "partner_fee", "agreed on 3 May", {"from_bps": "50", "to_bps": "75"})
    ]


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["Lagos", "--fee-bps", "10000", *WHY], BadPartnerFee),
        (["Lagos", "--fee-bps", "-1", *WHY], BadPartnerFee),
        (["Accra", "--fee-bps", "5", *WHY], UnknownPartner),
        (["Lagos", "--fee-bps", "5", "--by", "nobody", "--reason", "so"], UnknownOperator),
        (["Lagos", "--fee-bps", "5", "--by", "amina", "--reason", " "], ReasonMissing),
    ],
)
def test_what_is_refused_changes_nothing(lastmile, sql, arguments, refusal):
    lastmile("add", "Lagos", "--fee-bps", "50")
    with pytest.raises(refusal):
        lastmile("fee", *arguments)
    assert sql("SELECT fee_bps FROM partners") == [(50,)]
    assert sql("SELECT count(*) FROM operator_actions") == [(0,)]


def test_no_partner_is_made_with_a_fee_that_takes_everything(lastmile, sql):
    with pytest.raises(BadPartnerFee, match="from 0 to 9999"):
        lastmile("add", "Lagos", "--fee-bps", "10000")
    assert sql("SELECT count(*) FROM partners") == [(0,)]
