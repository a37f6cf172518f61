"""`lastmile payouts`, as a person at a terminal and a program use it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

import gateway
from gateway.clock import system_clock
from gateway.commands.payouts import app
from gateway.db.session import make_engine, transaction
from gateway.errors import Refusal
from gateway.ledger.post import register_assets
from gateway.money import Asset
from gateway.orders.advance import Move, advance
from gateway.orders.funding import book_deposits
from gateway.orders.states import E
from gateway.payouts.dispatch import dispatch
from gateway.payouts.errors import CannotCancel, HoldStands, NothingToHold, SamePerson
from gateway.payouts.evidence import BadEvidence
from gateway.payouts.rails import Rails
from tests.factories import KES, PENDING, UNKNOWN, FakeRail, make_deposit, make_orders

EXAMPLE = Path(gateway.__file__).parent / "lastmile.example.toml"
USDC = Asset("USDC@8453", 6)
BY, SECOND = ("--by", "amina", "--reason", "asked the rail"), ("--by", "brian", "--reason", "looked too")
SEEN = ("--said", "SG632NMUAB Completed", "--where", "portal, line 14", "--seen-at")
PAID = ("--ref", "SG632NMUAB", "--receipt", "SG632NMUAB", "--amount", "1249")


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
    place = ["--config", str(EXAMPLE), "--data", str(tmp_path)]

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, *place])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


class House:
    """Orders on Base that were sent to the rail, and what it answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url) as connection:
            for name in ("amina", "brian"):
                connection.execute("INSERT INTO operators VALUES (%s, 'x', now())", [name])

    def order(self, answer: Any = None) -> str:
        """A funded order; with an answer, one that was sent."""

        async def make() -> str:
            engine = make_engine(self.url)
            now = system_clock()
            async with transaction(engine) as connection:
                await register_assets(connection, assets=[USDC, KES])
            [order] = await make_orders(engine, now=now, send_asset=USDC.code)
            await make_deposit(engine, order, asset=USDC, at=now)
            async with transaction(engine) as connection:
                await connection.execute(text("UPDATE deposits SET chain_id = 8453"))
                await connection.execute(text("SET LOCAL session_replication_role = replica"))  # no quote ever changes
                await connection.execute(text("UPDATE quotes SET chain_id = 8453"))
            await book_deposits(engine, least={}, now=now)
            if answer is not None:
                await dispatch(engine, rails=Rails({"mpesa": FakeRail(answers=[answer])}), clock=lambda: now)
            await engine.dispose()
            return order.order_id

        return asyncio.run(make())

    def attempt(self, answer: Any = UNKNOWN) -> str:
        order_id = self.order(answer)
        [[found]] = self.run("SELECT id FROM attempts WHERE order_id = %s", order_id)
        return str(found)

    def hold(self, order_id: str, reason: str) -> None:
        async def place() -> None:
            engine = make_engine(self.url)
            async with transaction(engine) as connection:
                move = Move(order_id=order_id, event=E.HOLD_PLACED, cause="h", data={"reason": reason})
                await advance(connection, moves=[move], now=system_clock())
            await engine.dispose()

        asyncio.run(place())

    def run(self, statement: str, *values: object) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode(), values).fetchall()


@pytest.fixture
def house(database_url: str) -> House:
    return House(database_url)


def now() -> str:
    return (system_clock() + timedelta(minutes=1)).isoformat()


def test_an_unknown_end_is_listed_shown_and_settled_by_two(lastmile: Any, house: House, tmp_path: Path) -> None:
    attempt = house.attempt()
    [one] = json.loads(lastmile("list", "--json"))
    assert (one["attempt"], one["outcome"], one["amount"], one["overdue"]) == (attempt, "unknown", "1249.00", False)
    assert attempt in lastmile("list", "--unknown")
    page = tmp_path / "statement.pdf"
    page.write_bytes(b"%PDF-1.7 a statement")
    made = lastmile("resolve", attempt, "paid", *SEEN, now(), *PAID, "--file", str(page), *BY)
    assert made.startswith("res_")
    assert json.loads(lastmile("list", "--proposed", "--json"))[0]["proposal"] == made
    assert f"proposed: {made}" in lastmile("list")
    with pytest.raises(SamePerson):
        lastmile("approve", made, *BY)
    lastmile("approve", made, *SECOND)
    shown = json.loads(lastmile("show", attempt, "--json"))
    [told] = shown["attempts"]
    [resolution] = told["resolutions"]
    assert (shown["state"], told["outcome"], told["receipt"]) == ("paid", "paid", "SG632NMUAB")
    assert (resolution["outcome"], resolution["decided_by"], resolution["said"]) == ("recorded", "brian", SEEN[1])
    assert told["files"][0]["sha256"] == hashlib.sha256(page.read_bytes()).hexdigest()
    assert [one["action"] for one in shown["decisions"]] == ["payouts.approve", "payouts.propose", "payouts.file"]
    assert shown["ledger"][-1]["destination"] == "rail:mpesa"
    assert shown["steps"][-1]["event"] == "outcome_paid"
    assert lastmile("list") == ""
    assert json.loads(lastmile("show", shown["order"])) == shown


def test_below_the_amount_of_the_settings_one_person_is_enough(
    lastmile: Any, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMILE_PAYOUTS__TWO_PERSONS_ABOVE", "10")
    attempt = house.attempt()
    lastmile("resolve", attempt, "failed", *SEEN, now(), "--fault", "rail", *BY)
    assert house.run("SELECT outcome, fault FROM attempts") == [("failed", "rail")]
    assert json.loads(lastmile("list", "--failed", "--json"))[0]["fault"] == "rail"


REFUSED = (
    (("resolve", "ATT", "gone", *SEEN, "2026-11-22", *BY), "write one of paid, paid_in_part"),
    (("resolve", "ATT", "discharged", *SEEN, "2026-11-22", *BY), "write one of paid, paid_in_part"),
    (("resolve", "ATT", "failed", *SEEN, "2026-11-22", "--fault", "god", *BY), "write one of recipient"),
    (("resolve", "ATT", "paid", *SEEN, "yesterday", *PAID, *BY), "write the time in UTC"),
    (("resolve", "ATT", "paid", *SEEN, "2026-11-22", *PAID, "--file", "/nonexistent", *BY), "No such file"),
    (("resolve", "att_none", "paid", *SEEN, "2026-11-22", *PAID, *BY), "no such attempt"),
    (("resolve", "ATT", "paid", *SEEN, "2026-11-22", *PAID, *BY), "seen before this payment was sent"),
    (("resolve", "ATT", "paid", *SEEN, "2026-11-22", *PAID[:-1], "1,249.00", *BY), "not an amount"),
    (("discharge", "ATT", *SEEN, "2026-11-22", "--ref", "X", "--amount", "1", *BY), "Nothing is owed"),
    (("approve", "res_none", *BY), "no such proposal"),
    (("refuse", "res_none", *BY), "no such proposal"),
    (("show", "ord_none"), "no attempt and no order"),
    (("list", "--unknown", "--failed"), "Choose one"),
    (("hold", "ord_none", *BY), "no such order"),
    (("cancel", "att_none", *BY), "no such attempt"),
)


def test_what_cannot_be_is_refused_in_a_sentence(lastmile: Any, house: House) -> None:
    attempt = house.attempt()
    for arguments, says in REFUSED:
        with pytest.raises(Refusal, match=says):
            lastmile(*(attempt if word == "ATT" else word for word in arguments))
    assert house.run("SELECT count(*) FROM resolutions") == [(0,)]


def test_a_file_that_is_too_large_is_not_kept(lastmile: Any, house: House, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (5 * 1024 * 1024 + 1))
    attempt = house.attempt()
    with pytest.raises(Refusal, match="between 1 and"):
        lastmile("resolve", attempt, "paid", *SEEN, now(), *PAID, "--file", str(large), *BY)
    assert house.run("SELECT count(*) FROM evidence_files") == [(0,)]


def test_an_order_is_held_before_it_is_sent_and_goes_on_again(lastmile: Any, house: House) -> None:
    order_id = house.order()
    lastmile("hold", order_id, *BY)
    with pytest.raises(NothingToHold):
        lastmile("hold", order_id, *BY)
    [one] = json.loads(lastmile("held", "--json"))
    assert (one["order"], one["reason"], one["amount"], one["deliver"]) == (order_id, "by_hand", "10.000000", "1249.00")
    assert "lastmile payouts release" in lastmile("held")
    lastmile("release", order_id, *SECOND)
    assert lastmile("held", "--order", order_id) == ""
    assert house.run("SELECT operator, action FROM operator_actions ORDER BY id") == [
        ("amina", "payouts.hold"),
        ("brian", "deposits.release"),
    ]


def test_a_refused_recipient_is_redirected_not_tried_again(lastmile: Any, house: House) -> None:
    order_id = house.order()
    house.hold(order_id, "recipient_refused")
    with pytest.raises(HoldStands, match="payouts redirect"):
        lastmile("release", order_id, *BY)
    assert "payouts redirect" in lastmile("held")
    lastmile("redirect", order_id, "--account", "+254733000111", *BY)
    assert house.run("SELECT state FROM orders") == [("funded",)]
    assert ("amina", "payouts.redirect") in house.run("SELECT operator, action FROM operator_actions")


def test_only_rails_that_can_are_asked_to_stop_a_payment(lastmile: Any, house: House) -> None:
    with pytest.raises(CannotCancel, match="can't stop a payment"):
        lastmile("cancel", house.attempt(PENDING), *BY)
    assert house.run("SELECT count(*) FROM order_stops") == [(0,)]


def test_discharge_and_amounts_are_read_exactly(lastmile: Any, house: House) -> None:
    with pytest.raises(BadEvidence):
        lastmile("resolve", house.attempt(), "paid", *SEEN, now(), "--ref", "X", "--amount", "1249.001", *BY)
