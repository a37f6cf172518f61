"""`lastmile reconcile`, as a person at a terminal and a program use it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

import gateway
from adapters.mpesa.simulator.statement import statement_csv
from gateway.commands.reconcile import app
from gateway.errors import Refusal
from gateway.money import Money
from gateway.railsim import Movement
from tests.factories import KES

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
TREASURY = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
BY = ("--by", "amina", "--reason", "they wrote to us")


@pytest.fixture
def lastmile(database_url: str, tmp_path: Path, adapter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {
        "CHAINS__0__TREASURY": TREASURY,
        "CHAINS__0__QUORUM": "1",
        "PRICING__SOURCES__0__APP_ID": "a" * 32,
        **adapter,
        "ADAPTERS__MPESA__BASE_URL": "http://127.0.0.1:9",  # nobody is there to ask for the balance
        "DATABASE__URL": database_url,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"LASTMILE_{name}", value)
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now())")

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["reconcile", *arguments, *place])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout.strip()

    return run


@pytest.fixture
def statement(tmp_path: Path) -> str:
    """A downloaded statement with one payment that nobody here knows."""
    line = Movement(
        number=1,
        kind="payout",
        payment_id="att_lost",
        account="+254712345678",
        receipt="TKM1AB2CD3",
        amount="77.00",
        currency="KES",
        leaves=True,
        at=datetime(2026, 11, 22, 12, tzinfo=UTC),
    )
    path = tmp_path / "statement.csv"
    path.write_text(statement_csv([line], short_code="600997", held=Money(0, KES)), newline="")
    return f"mpesa={path}"


def test_a_break_is_shown_booked_and_gone(lastmile: Any, statement: str) -> None:
    code, shown = lastmile("--statement", statement)
    assert code == 1
    assert "unknown_payout  rail:mpesa" in shown
    assert "line TKM1AB2CD3:Business Payment to Customer via API: the rail paid 77.00 KES" in shown
    assert "not compared: chain:8453: nobody has begun to watch this chain" in shown
    assert shown.splitlines()[-1] == "breaks: 1 break, 2 not compared"
    code, listed = lastmile("breaks", "--json")
    [open_break] = json.loads(listed)
    assert (code, open_break["effect_units"], open_break["detail"]["named"]) == (0, "-7700", "att_lost")
    code, listed = lastmile("breaks")
    assert f"lastmile reconcile book {open_break['id']} --as claim" in listed
    code, booked = lastmile("book", open_break["id"], "--as", "claim", *BY)
    assert (code, booked.partition(":")[0]) == (0, "77.00 KES from claims")
    code, document = lastmile("--statement", statement, "--json")
    report = json.loads(document)
    assert (code, report["outcome"], report["breaks"]) == (2, "incomplete", [])
    assert [one["check"] for one in report["not_made"]] == ["rail:mpesa", "chain:8453"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--statement", "mpesa"), 'write the rail and the file, as in "mpesa=statement.csv"'),
        (("--statement", "mpesa=/nowhere.csv"), "can't be read: No such file"),
        (("--since", "yesterday"), 'write a date or a time, as in "2026-11-01"'),
        (("book", "brk_1", "--as", "gift", *BY), "--as gift: write one of fee, claim, top-up, capital, loss"),
        (("book", "brk_1", "--as", "fee", *BY), 'there is no break "brk_1"'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(lastmile: Any, arguments: Any, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        lastmile(*arguments)
    assert said in str(refused.value)
