"""`lastmile float`, as a person at a terminal and a program use it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from gateway.cli import app
from gateway.clock import system_clock
from tests.integration.commands.test_rails import MPESA, SECRETS, certificate  # noqa: F401 - a fixture

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
LEVELS = '[{"rail": "mpesa", "currency": "KES", "low": "50000", "critical_hours": 6}]'


@pytest.fixture
def lastmile(database_url, tmp_path, monkeypatch, certificate):  # noqa: F811 - the fixture above
    mpesa = {**MPESA, "CERTIFICATE": certificate}
    settings = {**SECRETS, **{f"LASTMILE_ADAPTERS__MPESA__{name}": value for name, value in mpesa.items()}}
    for name, value in {**settings, "LASTMILE_DATABASE__URL": database_url, "LASTMILE_FLOATS__LEVELS": LEVELS}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--config", str(EXAMPLE), "--data", str(tmp_path)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    return run


def test_levels_and_plan_are_shown_to_people_and_programs(lastmile, database_url):
    assert "No float is known" in lastmile("float")
    lastmile("rails", "top-up", "mpesa", "40000.00", "KES", "--reference", "one")
    shown = lastmile("float")
    assert "mpesa  KES  available 40000.00 KES" in shown
    assert "low 50000.00 KES  <- below" in shown
    [one] = json.loads(lastmile("float", "--json"))["floats"]
    assert (one["held"], one["told"], one["low"], one["target"], one["critical"]) == (
        "40000.00",
        None,
        "50000.00",
        "100000.00",
        None,
    )
    plan = json.loads(lastmile("float", "plan", "--json"))
    assert plan["moves"] == []
    [note] = plan["notes"]
    assert "mpesa: mpesa has 40000.00 KES free, below its mark of 50000.00 KES" in note
    assert "no way to fill it is configured" in note
    assert note in lastmile("float", "plan")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM float_plans").fetchone() == (2,)


def test_the_past_is_summed_by_the_command_itself(lastmile, database_url):
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO assets VALUES ('KES', 2) ON CONFLICT DO NOTHING")
        connection.execute("ALTER TABLE attempts DISABLE TRIGGER guard_attempts")
        for back in range(1, 6):
            at = system_clock() - timedelta(days=back)
            connection.execute(
                """INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, provider_ref,
                evidence, asks, lease_token, created_at, updated_at, closed_at)
                VALUES (%s, %s, 'mpesa', 'KES', 100000, 'paid', 'r', '{}', 0, 0, %s, %s, %s)""",
                (*_ids(at), at, at, at),
            )
    [demand] = json.loads(lastmile("float", "--json"))["demand"]
    assert (demand["currency"], demand["days_seen"]) == ("KES", 5)
    assert demand["terms_percent"]["Monday"] > 0
    assert "KES  24 h need" in lastmile("float")


def _ids(at):
    from gateway.ids import new_id

    return new_id("att", now=at), new_id("ord", now=at)
