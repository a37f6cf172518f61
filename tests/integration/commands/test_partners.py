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
    assert sql("SELECT name, fee_bps FROM partners WHERE disabled_at IS NULL ORDER BY name") == [
        ("Lagos", 50),
        ("Nairobi", 0),
    ]


def test_a_fee_is_changed_by_name_and_with_a_reason(lastmile, sql):
    lastmile("add", "Lagos", "--fee-bps", "50")
    said = lastmile("fee", "Lagos", "--fee-bps", "75", *WHY).stderr
    assert "Lagos takes 75 basis points of its orders from now on; before it took 50." in said
    assert sql("SELECT fee_bps FROM partners WHERE disabled_at IS NULL") == [(75,)]
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
    assert sql("SELECT fee_bps FROM partners WHERE disabled_at IS NULL") == [(50,)]
    assert sql("SELECT count(*) FROM operator_actions") == [(0,)]


def test_no_partner_is_made_with_a_fee_that_takes_everything(lastmile, sql):
    with pytest.raises(BadPartnerFee, match="from 0 to 9999"):
        lastmile("add", "Lagos", "--fee-bps", "10000")
    assert sql("SELECT count(*) FROM partners WHERE disabled_at IS NULL") == [(0,)]


def test_what_a_partner_earned_is_listed_paid_once_and_told_entry_by_entry(lastmile, sql):
    lastmile("add", "Lagos", "--fee-bps", "50")
    assert "Lagos  50 bps  nothing earned" in lastmile("balances").stdout
    [(partner,)] = sql("SELECT id FROM partners WHERE disabled_at IS NULL")
    sql("INSERT INTO assets VALUES ('NGN', 2)")
    sql(
        """INSERT INTO journal_entries (cause, template, posted_at, postings)
        VALUES ('x', 'payout', now(), ARRAY[ROW('capital', %s, 'NGN', 12345)::posting])""",
        f"partner:{partner}:fees",
    )
    paid = ["settle", "Lagos", "--amount", "100", "--currency", "NGN", "--reference", "GTB 17", *WHY]
    assert "Booked 100.00 NGN paid to Lagos." in lastmile(*paid).stderr
    assert "was booked before; nothing was changed." in lastmile(*paid).stderr
    [told] = lastmile("balances", "--json").stdout.splitlines()
    assert json.loads(told) == {
        "id": partner,
        "name": "Lagos",
        "fee_bps": 50,
        "active": True,
        "currency": "NGN",
        "earned": "123.45",
        "paid": "100.00",
        "owed": "23.45",
    }
    lines = [
        json.loads(line) for line in lastmile("statement", "Lagos", "--since", "2020-01-01", "--json").stdout.splitlines()
    ]
    assert [(line["kind"], line["amount"]) for line in lines] == [("payout", "123.45"), ("partner_paid", "-100.00")]
    assert "-100.00 NGN  partner_paid" in lastmile("statement", "Lagos", "--since", "2020-01-01").stdout
