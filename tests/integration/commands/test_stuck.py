"""`lastmile stuck`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

import gateway
from gateway.commands.stuck import app
from gateway.db.session import make_engine, transaction
from tests.factories import NOW, make_orders

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"


@pytest.fixture
def lastmile(database_url: str, tmp_path: Path, adapter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    given = {
        "CHAINS__0__TREASURY": "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "PRICING__SOURCES__0__APP_ID": "a" * 32,
        "DATABASE__URL": database_url,
        **adapter,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"LASTMILE_{name}", value)
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]
    return lambda *arguments: CliRunner().invoke(app, [*arguments, *place], catch_exceptions=False)


def hold(database_url: str) -> str:
    """An order that has been held for two days before the tests' time."""

    async def make() -> str:
        engine = make_engine(database_url)
        [order] = await make_orders(engine)
        statement = "UPDATE orders SET state = 'held', updated_at = :then, due_at = :then"
        async with transaction(engine) as connection:
            await connection.execute(text(statement), {"then": NOW - timedelta(days=2)})
        await engine.dispose()
        return str(order.order_id)

    return asyncio.run(make())


def test_where_nothing_is_stuck_it_says_so_and_ends_well(lastmile: Any) -> None:
    done = lastmile()
    assert (done.exit_code, done.stdout) == (0, "")
    assert "Nothing is stuck" in done.stderr
    assert json.loads(lastmile("--json").stdout) == []


def test_what_is_stuck_is_listed_with_its_money_and_what_to_do(lastmile: Any, database_url: str) -> None:
    order_id = hold(database_url)
    done = lastmile()
    assert done.exit_code == 1
    times = "since 2026-11-20 12:00 UTC, due 2026-11-21 12:00"
    line = f"order {order_id}: held, 10.000000 USDC, {times}; operators: lastmile deposits show {order_id}"
    assert done.stdout.splitlines() == [line]
    done = lastmile("--json")
    assert done.exit_code == 1
    [document] = json.loads(done.stdout)
    assert document == {
        "what": "order",
        "id": order_id,
        "order_id": order_id,
        "state": "held",
        "amount": "10.000000",
        "asset": "USDC@31337",
        "since": "2026-11-20T12:00:00+00:00",
        "due_at": "2026-11-21T12:00:00+00:00",
        "owner": "operators",
        "action": f"lastmile deposits show {order_id}",
    }
