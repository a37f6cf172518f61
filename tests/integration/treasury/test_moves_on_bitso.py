"""Moves that sell coins at a real exchange adapter over HTTP and withdraw what they bring to our account at a rail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from adapters.ccxt_exchange import CcxtExchange
from adapters.ccxt_exchange.simulator.bitso import app
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.db.session import transaction
from gateway.failpoints import arm
from gateway.ledger.post import post as write
from gateway.ledger.post import register_assets, top_up
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.offramp import AdapterContext, Destination, Fault, Method
from gateway.operators.accounts import add_operator
from gateway.payouts.dossier import dossier
from gateway.payouts.evidence import Evidence, ResolutionRules, Verdict
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.resolutions import propose
from gateway.payouts.stuck import stuck
from gateway.railsim import Options, Scenario
from gateway.sagas.step import step
from gateway.treasury.approvals import approve_move
from gateway.treasury.floatrules import Fill, FloatRules, Marks
from gateway.treasury.floats import keep_floats
from gateway.treasury.moves import Stage, find_view
from gateway.treasury.outlook import FloatBook
from gateway.treasury.plans import newest_plan
from gateway.treasury.reconcile import reconcile
from gateway.treasury.running import run_moves
from tests.factories import USDC, know_assets
from tests.integration.desk.office import offer
from tests.integration.treasury.store import TellingRail

MXN, COIN, USD = Asset("MXN", 2), Asset("USDC", 6), Asset("USD", 2)
OURS = Destination(country="MX", method=Method.BANK, account="646180110400000007", holder="Us SA")
ALONE = ResolutionRules(above=Money(1_000_000_00, USD), dollars=frozenset({USDC.code}))


def mxn(whole: int) -> Money:
    return Money(whole * 100, MXN)


FILL = Fill(
    rail="tienda",
    by="bitso",
    to=OURS,
    pays=MXN,
    source="rail:bitso",
    gives=COIN,
    peg="USD",
    lead=timedelta(hours=24),
    fee_bps=80,
    fee=mxn(3),
    least=mxn(10),
    most=mxn(100_000),
    step=Money(1, MXN),
)
RULES = FloatRules(marks={("tienda", "MXN"): Marks(low=mxn(20_000), target=mxn(50_000))}, fills=(FILL,))


@dataclass
class Office:
    """A shop network that pays pesos and has too few of them, and an exchange with coins."""

    engine: object
    rails: Rails
    rail: object
    tienda: TellingRail
    by: int = 0
    rules: FloatRules = RULES

    def clock(self) -> datetime:
        return system_clock() + timedelta(seconds=self.by)

    @property
    def book(self) -> FloatBook:
        return FloatBook(rails=tuple(self.rails), offer=offer(), rules=self.rules)

    async def look(self):
        await keep_floats(self.engine, rails=self.rails, book=self.book, clock=self.clock)

    async def approved(self):
        """The plan's only move, approved."""
        await self.look()
        async with transaction(self.engine) as connection:
            plan = await newest_plan(connection)
            [move] = plan.moves
            await approve_move(
                connection,
                move_id=move.id,
                operator="amina",
                reason="the shops run dry",
                rules=ALONE,
                book=self.book,
                now=self.clock(),
            )
        return move

    async def work(self, rounds=8):
        for _ in range(rounds):
            await run_moves(self.engine, rails=self.rails, clock=self.clock)
            await step(self.engine, rails=self.rails, clock=self.clock)
            await poll(self.engine, rails=self.rails, clock=self.clock)
            self.by += 60

    async def view(self, move):
        async with transaction(self.engine) as connection:
            return await find_view(connection, move_id=move.id)

    async def books(self):
        async with transaction(self.engine) as connection:
            return {(account, money.asset.code): money.units for account, money in await balances(connection)}

    async def run(self, statement, **values):
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []


@contextmanager
def exchange() -> Iterator[tuple[CcxtExchange, object]]:
    with running(app(Options(delay_s=0))) as rail:
        settings = {**rail.settings(), "answer_within_s": 30, "withdraw_fee": "3.00"}
        context = AdapterContext(name="bitso", settings=settings, callback_address=lambda a, b: a + b, clock=system_clock)
        yield CcxtExchange(context), rail


@pytest.fixture
async def office(engine):
    await know_assets(engine)
    with exchange() as (adapter, rail):
        tienda = TellingRail("tienda", holds=[mxn(8_000)])
        made = Office(engine, Rails({"tienda": tienda, "bitso": adapter}), rail, tienda)
        for source in ("one", "two"):
            await made.run(
                """INSERT INTO rate_observations (source, base, quote, num, den, as_of, fetched_at)
                VALUES (:source, 'USD', 'MXN', 1850, 100, :now, :now)""",
                source=source,
                now=made.clock(),
            )
        async with transaction(engine) as connection:
            await add_operator(connection, name="amina", password_hash="-", now=made.clock())
            await register_assets(connection, assets=[MXN, COIN])
            there = [("tienda", mxn(8_000)), ("bitso", mxn(50_000)), ("bitso", Money(1_000_000_000_000, COIN))]
            entries = [top_up(rail=name, money=money, reference=str(money)) for name, money in there]
            await write(connection, entries=entries, now=made.clock())
        yield made
        arm(None)
        await adapter.close()


def kept(held, told):
    """What the exchange says that it has against what the books say; pesos may be a centavo more, of each rounding."""
    coins = int(told["USDC"].replace(".", "")) + held["rail:bitso", "USDC"]
    pesos = int(told["MXN"].replace(".", "")) + held["rail:bitso", "MXN"]
    return coins, pesos


async def test_a_plan_s_move_is_approved_sold_withdrawn_and_arrives(office):
    move = await office.approved()
    await office.work(4)
    view = await office.view(move)
    assert (view.stage, view.reason) == (Stage.IN_TRANSIT, None)
    [taken] = office.rail.client.get("/_sim/payouts").json()
    assert (taken["amount"], taken["times"]) == (move.money.decimal(), 1)
    async with transaction(office.engine) as connection:
        found = await dossier(connection, subject=view.order_id)
    assert [(leg.name, leg.outcome) for leg in found.attempts[-1].legs] == [("sell", "paid"), ("withdraw", "paid")]
    held = await office.books()
    coins, pesos = kept(held, office.rail.balances())
    # The simulator doesn't take what a withdrawal costs, the books do.
    assert (coins, 0 <= pesos - 300 <= 6) == (0, True)
    assert -held["cost:rail_fees", "MXN"] > 300, "the withdrawal's fee and the sale's"
    assert held["transit:tienda", "MXN@move"] == -move.money.units
    office.tienda.holds = [mxn(8_000) + move.money]
    office.by += 3600
    await office.look()
    await office.work(1)
    assert (await office.view(move)).stage is Stage.ARRIVED
    held = await office.books()
    assert held["rail:tienda", "MXN"] == -(mxn(8_000) + move.money).units
    assert not any(asset == "MXN@move" for _, asset in held)
    report = await reconcile(office.engine, rails=office.rails, chains=(), clock=office.clock)
    assert {(one.kind, one.effect) for one in report.breaks} <= {("balance_differs", pesos)}
    await office.look()
    async with transaction(office.engine) as connection:
        assert (await newest_plan(connection)).moves in ((), (move,))


@pytest.mark.slow
async def test_what_was_sold_for_a_move_that_then_fails_stays_float_at_the_exchange(office):
    office.rail.script(Scenario.FAILED)
    move = await office.approved()
    await office.work(4)
    view = await office.view(move)
    assert (view.stage, "bitso says failed" in view.reason) == (Stage.FAILED, True)
    held = await office.books()
    coins, pesos = kept(held, office.rail.balances())
    assert (coins, 0 <= pesos <= 6) == (0, True)
    assert not any(account.startswith(("transit:", "order:")) for account, _ in held)
    assert [kind for (kind,) in await office.run("SELECT kind FROM incidents")] == ["float_low", "float_move_failed"]


@pytest.mark.slow
async def test_an_answer_that_is_lost_is_asked_for(office):
    office.rail.script(Scenario.ANSWER_LOST)
    move = await office.approved()
    await office.work(12)
    assert (await office.view(move)).stage is Stage.IN_TRANSIT
    assert [each["times"] for each in office.rail.client.get("/_sim/payouts").json()] == [1]


@pytest.mark.slow
async def test_what_nobody_can_find_waits_for_a_person_who_says_what_became_of_it(office):
    office.rail.script(Scenario.CUT_BEFORE_ACCEPT)
    move = await office.approved()
    await office.work(10)
    view = await office.view(move)
    assert view.stage is Stage.UNKNOWN
    office.by += 7 * 86_400
    async with transaction(office.engine) as connection:
        found = await stuck(connection, capabilities=office.rails.capabilities, now=office.clock())
        assert view.order_id in {one.order_id for one in found}
        [attempt] = (await dossier(connection, subject=view.order_id)).attempts
        await propose(
            connection,
            attempt_id=attempt.case.attempt_id,
            evidence=Evidence(
                verdict=Verdict.FAILED,
                said="no withdrawal",
                place="Bitso's page of withdrawals",
                seen_at=office.clock(),
                fault=Fault.RAIL,
            ),
            rules=ResolutionRules(
                above=Money(10**9, USD), dollars=frozenset({"MXN@move"}), capabilities=office.rails.capabilities
            ),
            operator="amina",
            reason="looked",
            now=office.clock(),
        )
    await office.work(2)
    assert (await office.view(move)).stage is Stage.FAILED


POINTS = [
    *("moves.step:before_commit", "moves.step:after_commit", "moves.record:before_commit", "moves.record:after_commit"),
    *("legs.begin:after_commit", "legs.record:before_commit", "legs.record:after_commit"),
]


class Dead(BaseException):
    """The process."""


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_whenever_the_process_dies_coins_are_sold_once_and_withdrawn_once(office, point):
    move = await office.approved()
    left = 1

    def die(name):
        nonlocal left
        left -= name == point
        if left == 0:
            left = -1
            raise Dead

    arm(die)
    with pytest.raises(Dead):
        await office.work()
    await office.work(8)
    assert (await office.view(move)).stage is Stage.IN_TRANSIT
    assert [each["times"] for each in office.rail.client.get("/_sim/payouts").json()] == [1]
    coins, _ = kept(await office.books(), office.rail.balances())
    assert coins == 0
