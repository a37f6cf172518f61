"""Points of a payday and of weeks later: a backlog, codes and offers that run out, old decisions, floats and moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.agents.accounts import add_client as add_network_client
from gateway.agents.accounts import fund
from gateway.agents.codes import Wish, make_code
from gateway.agents.rules import PickupRules
from gateway.db.session import reading, transaction
from gateway.fills.clients import FillKey, add_client
from gateway.fills.offers import Offer, make_offer
from gateway.ledger.post import post, top_up
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.operators.accounts import add_operator
from gateway.orders.funding import book_deposits
from gateway.partners.clients import add_partner
from gateway.payouts.placing import SET
from tests.crash.lives import Lives, Mother, free_port, lives, tree
from tests.crash.points import points_of
from tests.crash.rail import Way
from tests.crash.test_every_point import rest
from tests.crash.world import Town, before
from tests.factories import KES, NOW

pytestmark = pytest.mark.slow

WITHIN_S = 240
"""How long nothing may come."""
LATER = timedelta(days=40)
GROUPS = ("orders", "payouts", "treasury")
LOOPS = ("decisions", "codes", "offers", "floats")
MOVERS = ("floats", "moves")
LOW = ("crash", "left", "right")
"""Rails whose float is filled: as many moves as it takes to die at all their points."""
SEVERAL = 3
FUNDS = Money(10_000_00, KES)
FLOAT = Money(100 * 124_900, KES)
"""What the cheap rail can pay of it."""
KEY = bytes(range(32))


@pytest.fixture
def settings(town: Town, tmp_path: Path) -> dict[str, Any]:
    """Two rails, of which the cheap one has float for few."""
    made = tree(rail_url=town.book.url, port=free_port(), rates=tmp_path / "rates.json")
    made["adapters"]["dear"] = dict(made["adapters"]["crash"])
    made["tariffs"] = [{"rail": "dear", "currency": "KES", "charge": [{"fixed": "5"}]}]
    made["floats"] = {"levels": [{"rail": "crash", "currency": "KES", "low": "50000"}]}
    made["routing"] = {"decisions_days": 30}
    return made


def with_moves(settings: dict[str, Any]) -> dict[str, Any]:
    """The same, with floats that the dear rail fills."""
    adapters, crash = settings["adapters"], settings["adapters"]["crash"]
    level = {"currency": "KES", "low": "50000", "target": "100000"}
    way = {"currency": "KES", "by": "dear", "country": "KE", "method": "mobile_money", "holder": "us", "lead_time_s": 60}
    accounts = {rail: f"+2548{number:08}" for number, rail in enumerate(LOW)}
    floats = {
        "levels": [{"rail": rail, **level} for rail in LOW],
        "fills": [{"rail": rail, "account": account, **way} for rail, account in accounts.items()],
    }
    return settings | {"adapters": dict.fromkeys(LOW, crash) | adapters, "floats": floats}


def born(settings: dict[str, Any], url: str, folder: Path, mother: Mother, *, after: timedelta) -> Any:
    folder.mkdir()
    # By the wall's pace: a set of hundreds takes a busy machine longer than a lease of hurried clocks lasts.
    return lives({"tree": settings, "database": url, "now": (NOW + after).isoformat(), "speed": 1}, folder, mother)


@pytest.fixture
def first(settings: dict[str, Any], database_url: str, tmp_path: Path, mother: Mother) -> Iterator[Lives]:
    """Processes of the payday."""
    with born(settings, database_url, tmp_path / "first", mother, after=timedelta()) as made:
        yield made


@pytest.fixture
def second(settings: dict[str, Any], database_url: str, tmp_path: Path, mother: Mother) -> Iterator[Lives]:
    """Processes of weeks later."""
    with born(with_moves(settings), database_url, tmp_path / "second", mother, after=LATER) as made:
        yield made


@pytest.mark.timeout(1200)
async def test_every_point_of_later_is_survived(
    town: Town, first: Lives, second: Lives, settings: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    todo = points_of("later")
    await payday(town, first, [point for point in todo if point.startswith("backlog")])
    await codes_and_offers(town.engine)
    await small_floats(town.engine)
    config = tmp_path / "lastmile.toml"
    config.write_text(_toml(settings | {"database": {"url": database_url}}))
    plans = [point for point in todo if point.startswith("floats.plan")]
    for point in plans:
        person = second.command("float", "plan", "--config", str(config), "--data", str(tmp_path / "data"), points=[point])
        await ended(second, person)
    moves = [point for point in todo if point.startswith("moves")]
    await until_hit(town.engine, second, sorted({*todo} - {*first.deaths(), *plans, *moves}), loops=LOOPS)
    await ended(second, second.approve())
    second.skip(timedelta(hours=25))  # a plan lets money travel when it is cheap or needed
    await until_hit(town.engine, second, moves, loops=MOVERS)
    assert sorted(first.deaths() + second.deaths()) == todo
    assert first.nameless() + second.nameless() == []
    await rests_well(town.engine, second)
    assert set(town.book.paid().values()) == {1}


async def payday(town: Town, first: Lives, todo: Sequence[str]) -> None:
    """More orders than go in one set, assigned together by planners that die, and then paid each once."""
    await town.add([Way.AT_ONCE] * (SET + 1))
    while await book_deposits(town.engine, least={}, now=NOW):
        pass
    async with transaction(town.engine) as connection:
        await post(connection, entries=[top_up(rail="crash", money=FLOAT, reference="payday")], now=NOW)
    hints = "SELECT count(*) FROM backlog_hints"
    for point in sorted(todo, reverse=True):
        await ended(first, first.work(points=[point], only=("payouts",), loops=("backlog",)))
        assert bool(await town.count(hints)) == point.endswith("after_commit")
    worker = first.work()
    await rest(town, first)
    first.kill(worker)
    assert set(town.book.paid().values()) == {1}
    assert await town.count("SELECT count(DISTINCT adapter) FROM attempts") == len(("crash", "dear"))
    async with transaction(town.engine) as connection:
        held = {account: money.units for account, money in await balances(connection) if money.asset == KES}
    assert held.get("rail:crash", 0) + held["rail:dear"] + FLOAT.units == town.book.out()


async def ended(processes: Lives, pid: int) -> None:
    """Wait until the process is gone."""
    ends = before(WITHIN_S)
    while processes.lives(pid):
        assert before(0) < ends, processes.log.read_text()[-3000:]
        await asyncio.sleep(0.01)


async def codes_and_offers(engine: AsyncEngine) -> None:
    """What nobody will have taken up weeks later."""
    rules, holder, phone = PickupRules(key=KEY), "Wanjiku Kamau", "+254712345678"
    async with transaction(engine) as connection:
        network = await add_network_client(connection, name="own gateway", now=NOW)
        account = await fund(connection, client="own gateway", money=FUNDS, reference="first", now=NOW)
        partner = await add_partner(connection, name="filler", now=NOW)
        gateway = await add_client(connection, name="own gateway", key=FillKey(key=KEY), now=NOW)
        for number in range(SEVERAL):
            wish = Wish(
                client_id=network.client_id,
                account_id=account,
                correlation_id=f"correlation-{number}",
                reference=f"att_{number}",
                amount="1000.00",
                currency="KES",
                country="KE",
                holder=holder,
                msisdn=phone,
                lifetime=timedelta(days=14),
            )
            await make_code(connection, wish=wish, rules=rules, now=NOW)
            offer = Offer(
                client_id=gateway.client_id,
                reference=f"att_{number}",
                request_hash=bytes(32),
                partner_id=partner.partner_id,
                money=Money(124_900, KES),
                country="KE",
                method="mobile_money",
                institution=None,
                account=phone,
                holder=holder,
                offered_for=timedelta(minutes=5),
                fulfil_within=timedelta(hours=1),
            )
            await make_offer(connection, offer=offer, now=NOW)


async def small_floats(engine: AsyncEngine) -> None:
    """What we put into the rails that are new later, and somebody who may agree to more."""
    async with transaction(engine) as connection:
        little = [top_up(rail=rail, money=Money(1_000_00, KES), reference="first") for rail in LOW[1:]]
        await post(connection, entries=little, now=NOW)
        await add_operator(connection, name="brian", password_hash="-", now=NOW)


async def old_demand(engine: AsyncEngine) -> None:
    """An hour so long ago that no forecast looks at it."""
    async with transaction(engine) as connection:
        sql = "INSERT INTO float_demand (rail, asset, hour, units, payouts) VALUES ('crash', 'KES', :hour, 1, 1)"
        sql += " ON CONFLICT DO NOTHING"
        await connection.execute(text(sql), {"hour": NOW - timedelta(days=1_000)})


async def until_hit(engine: AsyncEngine, second: Lives, todo: Sequence[str], *, loops: Sequence[str]) -> None:
    """Workers that die at the first point at which none has died, until there is no such point."""
    while left := sorted(set(todo) - set(second.deaths())):
        await old_demand(engine)
        await ended(second, second.work(points=left, only=GROUPS, loops=loops))


async def rests_well(engine: AsyncEngine, second: Lives) -> None:
    """Codes and offers ran out once, old decisions and demand are gone, and each payment is in the sums once."""
    expected = {
        "SELECT count(*) FROM pickup_codes WHERE state = 'expired'": SEVERAL,
        "SELECT count(*) FROM journal WHERE template = 'pickup_freed'": SEVERAL,
        "SELECT free_units FROM network_accounts": FUNDS.units,
        "SELECT held_units FROM network_accounts": 0,
        "SELECT count(*) FROM fills WHERE state = 'expired'": SEVERAL,
        "SELECT count(*) FROM route_decisions": 0,
        "SELECT count(*) FROM route_scenes": 0,
        "SELECT sum(payouts) FROM float_demand": SET + 1,
        "SELECT sum(units) FROM float_demand": (SET + 1) * 124_900,
        "SELECT count(*) FROM incidents WHERE cause LIKE 'float:crash:KES:low:%'": 1,
        "SELECT count(*) FROM float_runs JOIN orders AS o ON o.id = order_id WHERE state = 'paid'": len(LOW),
        "SELECT count(*) FROM attempts WHERE closed_at IS NULL": 0,
        "SELECT count(*) FROM attempts WHERE outcome = 'paid'": SET + 1 + len(LOW),
    }
    second.work(only=GROUPS, loops=(*LOOPS, "moves", "poll"))
    ends, found = before(WITHIN_S), dict[str, int]()
    while found != expected:
        assert before(0) < ends, {sql: (found[sql], wanted) for sql, wanted in expected.items() if found[sql] != wanted}
        async with reading(engine) as connection:
            found = {sql: int((await connection.execute(text(sql))).scalar_one()) for sql in expected}
        await asyncio.sleep(0.1)


def _toml(value: Any) -> str:
    """A tree of settings as the file that a person would have written, in lines of their own."""
    return "\n".join(f"{name} = {_inline(one)}" for name, one in value.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)
