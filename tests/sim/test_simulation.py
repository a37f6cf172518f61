"""The whole product in a simulated world: thousands of orders, every kind of fault and crash, and the books are right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.db.embedded import Server
from gateway.offramp import Method
from gateway.payouts import poll
from gateway.refunds.order import Of
from gateway.simulation.chain import CHAIN_ID, SENDER, TREASURY, USDC, Credit
from gateway.simulation.database import prepare
from gateway.simulation.loop import VirtualLoop
from gateway.simulation.market import Deal, Lane
from gateway.simulation.model import CLAIMS, TopUp, expect
from gateway.simulation.rails import KES, Movement
from gateway.simulation.refunds import Back
from gateway.simulation.run import Result, simulate
from gateway.simulation.scheduler import Broken
from tests.sim.databases import own_database

SEEDS = (1, 4, 6, 9)
"""Of those that go through everything: there are seeds in which nothing comes to be refunded."""
ORDERS_EACH = 2_500
SURELY_PASSED = 60
"""A failpoint that a run passes so often has killed a process in it."""
START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    with own_database(postgres) as url:
        prepare(url)
        yield url


def simulated(postgres: Server, *, seed: int, orders: int) -> Result:
    with own_database(postgres) as url:
        prepare(url)
        return simulate(seed=seed, orders=orders, database_url=url)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
def test_ten_thousand_orders_meet_every_fault_and_all_books_are_right(database: str, seed: int) -> None:
    result = simulate(seed=seed, orders=ORDERS_EACH, database_url=database)
    assert sum(result.states.values()) == ORDERS_EACH
    assert set(result.states) <= {"paid", "held", "expired", "refunded"}
    assert result.states["refunded"]
    assert result.reconciled
    assert result.states["paid"] > ORDERS_EACH * 3 // 4
    spared = [point for point, passed in result.passed.items() if passed >= SURELY_PASSED and point not in result.crashes]
    assert spared == []
    assert min(result.checked.values()) > 0


def test_a_seed_goes_the_same_way_again(postgres: Server) -> None:
    first, second, other = (simulated(postgres, seed=seed, orders=40) for seed in (7, 7, 8))
    assert replace(first, seconds=0) == replace(second, seconds=0)
    assert first.trace != other.trace


def test_what_breaks_an_invariant_is_told_with_seed_step_and_the_way_there(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "_may_resend", lambda *_, **__: True)
    with pytest.raises(Broken) as caught:
        simulate(seed=1, orders=400, database_url=database)
    assert "was paid" in caught.value.text
    assert caught.value.last
    assert str(caught.value).startswith(f"seed 1, step {caught.value.step}: {caught.value.text}")


def test_the_command_prints_what_it_came_to(postgres: Server) -> None:
    arguments = ["simulate", "--seed", "3", "--orders", "20", "--database", postgres.url]
    as_json = CliRunner().invoke(app, [*arguments, "--json"])
    told = json.loads(as_json.stdout)
    assert (told["seed"], sum(told["states"].values())) == (3, 20)
    plain = CliRunner().invoke(app, arguments)
    assert f"Trace {told['trace']}" in plain.stdout


def test_virtual_time_passes_only_when_told_to_and_timers_ring_in_their_order() -> None:
    async def act() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        rang: list[str] = []
        loop.call_later(20, rang.append, "second")
        loop.call_later(10, rang.append, "first")
        loop.call_later(15, rang.append, "never").cancel()
        await loop.quiet()
        assert (loop.time(), rang) == (0, [])
        assert loop.next_timer(until_s=30) == 10
        loop.advance(30)
        await loop.quiet()
        assert (loop.time(), rang) == (30, ["first", "second"])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(act())


def deal(order_id: str = "ord_1") -> Deal:
    return Deal(
        order_id=order_id,
        address=f"0x{order_id}",
        send=100,
        asset="KES",
        mid=1000,
        margin=10,
        fee=5,
        rounding=1,
        receive=984,
        expires_at=START,
        lane=Lane(1, "KE", Method.MOBILE_MONEY, KES, 1),
    )


def credit(units: int, *, at_s: int = -60, address: str = "0xord_1", sender: str = SENDER) -> Credit:
    return Credit("0x1", 0, 1, int(START.timestamp()) + at_s, address, units, sender)


MILLION = 1_000_000


@pytest.mark.parametrize(
    ("credits", "state", "funds", "kept"),
    [
        ([], "expired", 0, 0),
        ([credit(MILLION)], "held", MILLION, 0),
        ([credit(MILLION), credit(2 * MILLION)], "held", MILLION, 2 * MILLION),
        ([credit(MILLION, at_s=0)], "held", MILLION, 0),
        ([credit(400_000), credit(600_000)], "held", MILLION, 0),
        ([credit(400_000), credit(600_000, at_s=1)], "held", 400_000, 600_000),
        ([credit(999), credit(MILLION)], "held", MILLION, 999),
    ],
)
def test_the_model_counts_deposits_as_the_quote_does(credits: list[Credit], state: str, funds: int, kept: int) -> None:  # noqa: A002
    expected = expect(
        deals={"ord_1": replace(deal(), send=MILLION)},
        credits=credits,
        movements=[],
        top_ups=[],
        undecided=frozenset(),
        refunds={},
        agreed={},
    )
    found = {account: units for (account, _), units in expected.accounts.items()}
    held = {"order:ord_1:funds": funds, "order:ord_1:unallocated": kept, f"chain:{CHAIN_ID}": -funds - kept}
    assert found == {account: units for account, units in held.items() if units}
    assert expected.states["ord_1"] == {state}


def test_the_model_claims_what_a_rail_paid_a_second_time() -> None:
    twice = [("ord_1", Movement("alpha", "a", 984, wrong=True)), ("ord_1", Movement("bravo", "b", 984, wrong=False))]
    expected = expect(
        deals={"ord_1": replace(deal(), send=1_000)},
        credits=[credit(1_000)],
        movements=twice,
        top_ups=[TopUp("alpha", "KES", 5_000)],
        undecided=frozenset(),
        refunds={},
        agreed={},
    )
    assert expected.accounts["rail:alpha", "KES"] == 984 - 5_000
    assert expected.accounts["rail:bravo", "KES"] == 984
    assert expected.accounts[CLAIMS, "KES"] == -984
    assert expected.accounts["exchange", USDC.code] == 1_000
    assert sum(units for (_, asset), units in expected.accounts.items() if asset == "KES") == 0
    assert expected.states["ord_1"] == {"paid"}


def test_the_model_owes_what_a_rail_paid_too_little() -> None:
    expected = expect(
        deals={"ord_1": replace(deal(), send=1_000)},
        credits=[credit(1_000)],
        movements=[("ord_1", Movement("alpha", "a", 900, wrong=False))],
        top_ups=[],
        undecided=frozenset(),
        refunds={},
        agreed={},
    )
    assert expected.accounts["order:ord_1:owed", "KES"] == 84
    assert (CLAIMS, "KES") not in expected.accounts
    assert sum(units for (_, asset), units in expected.accounts.items() if asset == "KES") == 0


def test_the_model_knows_what_went_back_and_claims_what_a_rail_paid_after_that() -> None:
    paid_in = [credit(10_000, address=TREASURY), credit(1_000), credit(300)]
    paid_back = [credit(1_000, address="0xa", sender=TREASURY), credit(300, address="0xb", sender=TREASURY)]
    expected = expect(
        deals={"ord_1": replace(deal(), send=1_000)},
        credits=[*paid_in, *paid_back],
        movements=[("ord_1", Movement("alpha", "a", 984, wrong=True))],
        top_ups=[],
        undecided=frozenset(),
        refunds={"0xa": Back("ord_1", Of.FUNDS), "0xb": Back("ord_1", Of.UNALLOCATED)},
        agreed={},
    )
    assert expected.states["ord_1"] == {"refunded"}
    assert expected.accounts == {
        (f"treasury:{CHAIN_ID}", USDC.code): 1_300 - 10_000,
        ("capital", USDC.code): 10_000,
        (f"chain:{CHAIN_ID}", USDC.code): -1_300,
        ("rail:alpha", "KES"): 984,
        (CLAIMS, "KES"): -984,
    }
