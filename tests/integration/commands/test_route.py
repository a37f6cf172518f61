"""`lastmile route`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gateway
from gateway.clock import system_clock
from gateway.commands.desk import NoSuch
from gateway.commands.route import BadMoment, app
from gateway.config import ConfigError
from gateway.db.session import make_engine
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from tests.factories import know_assets
from tests.integration.payouts.claiming import book_top_up
from tests.integration.payouts.test_dispatch import Rail, funded

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"


@pytest.fixture
def lastmile(database_url: str, tmp_path: Path, adapter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {
        "CHAINS__0__TREASURY": "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "CHAINS__0__QUORUM": "1",
        "PRICING__SOURCES__0__APP_ID": "a" * 32,
        **adapter,
        "DATABASE__URL": database_url,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"LASTMILE_{name}", value)

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--config", str(EXAMPLE), "--data", str(tmp_path)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


@pytest.fixture
def orders(database_url: str) -> list[str]:
    """One that was sent by mpesa, and one that waits for float."""

    async def make() -> list[str]:
        engine, rails, now = make_engine(database_url), Rails({"mpesa": Rail("mpesa")}), system_clock()
        await know_assets(engine)
        found = await funded(engine, at=now)
        await dispatch(engine, rails=rails, clock=lambda: now)
        await book_top_up(engine, units=200_000, name="mpesa")
        found += await funded(engine, at=now)
        await dispatch(engine, rails=rails, clock=lambda: now)
        await engine.dispose()
        return found

    return asyncio.run(make())


def test_a_decision_is_shown_to_people_and_to_programs(lastmile: Any, orders: list[str]) -> None:
    shown = lastmile("show", orders[0])
    assert "by mpesa (" in shown
    assert "in hand 1249.00 KES" in shown
    document = json.loads(lastmile("show", orders[0], "--json"))
    [one] = document["decisions"]
    assert (document["order_id"], one["verdict"], one["rail"]) == (orders[0], "pay", "mpesa")
    assert one["attempt"].startswith("att_")


def test_what_waits_is_told_what_would_be_chosen_now(lastmile: Any, orders: list[str]) -> None:
    assert "It waits" in lastmile("show", orders[1])
    assert "float_low" in lastmile("show", orders[1])


def test_history_is_replayed_and_laid_side_by_side(lastmile: Any, orders: list[str]) -> None:
    assert orders
    told = json.loads(lastmile("replay", "--policy", "cheapest", "--since", "1h", "--json"))
    assert (told["decisions"], told["compared"], told["changed"], told["recorded"]["rails"]) == (1, 1, 0, {"mpesa": 1})
    table = lastmile("replay", "--policy", "configured", "--since", "2020-01-01")
    assert "rails' fees, KES" in table
    assert "1 decisions, 1 compared: 0 would go by another rail" in table


def test_history_is_replayed_with_a_policy_of_the_operators_own(
    lastmile: Any, orders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert orders
    monkeypatch.setenv("LASTMILE_ROUTING__POLICIES__NIGHT__HOUR_BPS", "500")
    told = json.loads(lastmile("replay", "--policy", "night", "--since", "1h", "--json"))
    assert (told["policy"], told["compared"], told["would_wait"]) == ("night", 1, 0)
    written = tmp_path / "strict.toml"
    written.write_text(
        '[routing]\npolicy = "cheapest"\n[[routing.rules]]\nnever = ["mpesa"]\ncurrency = "KES"\nabove = "1"\n'
    )
    told = json.loads(lastmile("replay", "--policy", str(written), "--since", "1h", "--json"))
    assert (told["policy"], told["compared"], told["would_wait"]) == ("strict.toml", 0, 1)


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("show", "ord_none"), NoSuch),
        (("replay", "--policy", "dearest", "--since", "1h"), NoSuch),
        (("replay", "--policy", "/nowhere/dearest.toml", "--since", "1h"), ConfigError),
        (("replay", "--policy", "cheapest", "--since", "yesterday"), BadMoment),
    ],
)
def test_what_is_asked_wrongly_is_said_in_a_sentence(lastmile: Any, arguments: tuple[str, ...], refusal: Any) -> None:
    with pytest.raises(refusal):
        lastmile(*arguments)
