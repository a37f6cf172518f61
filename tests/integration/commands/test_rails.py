"""`lastmile rails` and `lastmile incidents`, as a person at a terminal and a program use them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

import gateway
from gateway.cli import app
from gateway.clock import system_clock
from gateway.db.session import make_engine, transaction
from gateway.errors import Refusal
from gateway.operators.incidents import Alarm, open_incidents

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
MPESA = {
    "CONSUMER_KEY": "key",
    "CONSUMER_SECRET": "secret",
    "INITIATOR_PASSWORD": "password",
}
SECRETS = {
    "LASTMILE_CHAINS__0__TREASURY": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "LASTMILE_PRICING__SOURCES__0__APP_ID": "a" * 32,
}


@pytest.fixture
def lastmile(database_url, tmp_path, monkeypatch, certificate):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators VALUES ('amina', '', now())")
    mpesa = {**MPESA, "CERTIFICATE": certificate}
    settings = {**SECRETS, **{f"LASTMILE_ADAPTERS__MPESA__{name}": value for name, value in mpesa.items()}}
    for name, value in {**settings, "LASTMILE_DATABASE__URL": database_url}.items():
        monkeypatch.setenv(name, value)
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]

    def run(*arguments):
        done = CliRunner().invoke(app, [*arguments, *place])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture(scope="module")
def certificate():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rail.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def standing(lastmile):
    return json.loads(lastmile("rails", "status", "--json").stdout)


def test_a_rail_is_stopped_and_started_by_name_and_with_a_reason(lastmile):
    assert standing(lastmile)["breaker"] == "closed"
    lastmile("rails", "stop", "mpesa", "--by", "amina", "--reason", "maintenance until noon")
    stopped = standing(lastmile)
    assert (stopped["breaker"], stopped["stopped_by"], stopped["reason"]) == ("stopped", "amina", "maintenance until noon")
    assert "maintenance until noon" in lastmile("rails", "status").stdout
    with pytest.raises(Refusal, match="was stopped already, by amina"):
        lastmile("rails", "stop", "mpesa", "--by", "amina", "--reason", "again")
    lastmile("rails", "start", "mpesa", "--by", "amina", "--reason", "it is noon")
    assert standing(lastmile)["breaker"] == "closed"
    with pytest.raises(Refusal, match="nothing stops rail"):
        lastmile("rails", "start", "mpesa", "--by", "amina", "--reason", "again")


def test_a_rail_that_is_not_configured_is_not_stopped(lastmile):
    with pytest.raises(Refusal, match='No rail is named "mpeza"; there are: mpesa'):
        lastmile("rails", "stop", "mpeza", "--by", "amina", "--reason", "maintenance")


def test_float_is_shown_from_the_first_top_up_on(lastmile):
    assert standing(lastmile)["float"] == []
    assert "float not tracked" in lastmile("rails", "status").stdout
    lastmile("rails", "top-up", "mpesa", "2500.00", "KES", "--reference", "one")
    assert standing(lastmile)["float"] == [{"currency": "KES", "held": "2500.00", "promised": "0.00"}]


def test_an_incident_is_listed_and_closed_once_by_a_named_person(lastmile, database_url):
    async def open_one():
        engine = make_engine(database_url)
        async with transaction(engine) as connection:
            alarm = Alarm("attempt:1:paid", "paid_after_failed", "ord_1", {"attempt": "att_1"})
            await open_incidents(connection, alarms=[alarm], now=system_clock())
        await engine.dispose()

    asyncio.run(open_one())
    shown = json.loads(lastmile("incidents", "list", "--json").stdout)
    assert (shown["kind"], shown["order_id"], shown["detail"]) == ("paid_after_failed", "ord_1", {"attempt": "att_1"})
    assert "paid_after_failed  ord_1" in lastmile("incidents", "list").stdout
    with pytest.raises(Refusal, match="no operator is named"):
        lastmile("incidents", "close", str(shown["id"]), "--by", "nobody", "--reason", "seen")
    lastmile("incidents", "close", str(shown["id"]), "--by", "amina", "--reason", "the rail corrected it")
    assert lastmile("incidents", "list").stdout == ""
    with pytest.raises(Refusal, match="is not open"):
        lastmile("incidents", "close", str(shown["id"]), "--by", "amina", "--reason", "again")
