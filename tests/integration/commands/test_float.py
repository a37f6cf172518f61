"""`lastmile float`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from gateway.cli import app
from gateway.clock import system_clock
from gateway.db.session import make_engine, transaction
from gateway.errors import Refusal
from gateway.ledger.post import post, register_assets, top_up
from gateway.money import Asset, Money
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


BITSO = {
    "KIND": "ccxt_exchange",
    "EXCHANGE": "bitso",
    "BASE_URL": "http://127.0.0.1:9/api",
    "API_KEY": "k",
    "API_SECRET": "s",
}
FILLS = """[{"rail": "mpesa", "currency": "MXN", "by": "bitso", "country": "MX", "account": "646180110400000007",
    "holder": "Us SA", "lead_time_s": 86400}]"""


@pytest.mark.slow
def test_moves_are_approved_by_two_people_listed_and_cancelled(lastmile, database_url, monkeypatch):
    for name, value in BITSO.items():
        monkeypatch.setenv(f"LASTMILE_ADAPTERS__BITSO__{name}", value)
    monkeypatch.setenv("LASTMILE_FLOATS__LEVELS", '[{"rail": "mpesa", "currency": "MXN", "low": "20000"}]')
    monkeypatch.setenv("LASTMILE_FLOATS__FILLS", FILLS)
    asyncio.run(_topped_up(database_url))
    with psycopg.connect(database_url) as connection:
        for name in ("amina", "brian"):
            connection.execute("INSERT INTO operators VALUES (%s, '-', now())", (name,))
    [move] = json.loads(lastmile("float", "plan", "--json"))["moves"]
    assert (move["money"], move["from"]) == ({"amount": "39000.00", "asset": "MXN"}, "rail:bitso")
    said = ("--reason", "the shops run dry")
    assert lastmile("float", "approve", move["id"], "--by", "amina", *said) == ""
    order = lastmile("float", "approve", move["id"], "--by", "brian", *said).strip()
    assert order.startswith("ord_")
    [one] = json.loads(lastmile("float", "moves", "--json"))
    assert (one["state"], one["proposed_by"], one["approved_by"], one["order"]) == ("approved", "amina", "brian", order)
    assert "reserved for approved moves 39000.00 MXN" in lastmile("float")
    with pytest.raises(Refusal, match="is approved, not begun"):
        lastmile("float", "approve", move["id"], "--by", "amina", *said)
    with pytest.raises(Refusal, match="is approved, not begun"):
        lastmile("float", "arrived", move["id"], "--reference", "L1", "--by", "amina", *said)
    lastmile("float", "refuse", move["id"], "--by", "amina", *said)
    shown = lastmile("float", "moves")
    assert f"{move['id']}  cancelled  39000.00 MXN to mpesa, by bitso, from rail:bitso" in shown
    assert "amina: the shops run dry" in shown


async def _topped_up(database_url):
    engine, mxn = make_engine(database_url), Asset("MXN", 2)
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[mxn])
        there = {"mpesa": Money(1_000_00, mxn), "bitso": Money(90_000_00, mxn)}
        entries = [top_up(rail=rail, money=money, reference="one") for rail, money in there.items()]
        await post(connection, entries=entries, now=system_clock())
    await engine.dispose()


def _ids(at):
    from gateway.ids import new_id

    return new_id("att", now=at), new_id("ord", now=at)
