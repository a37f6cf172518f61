"""What tests of people's decisions about payouts start from: operators, an attempt of unknown end, evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.offramp import Fault, Report
from gateway.orders.advance import Move, advance
from gateway.orders.funding import book_deposits
from gateway.orders.states import E
from gateway.payouts.dispatch import dispatch
from gateway.payouts.evidence import Evidence, ResolutionRules, Verdict
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record
from gateway.payouts.resolutions import Decision, approve, propose, refuse
from tests.factories import KES, NOW, UNKNOWN, USDC, FakeRail, make_deposit, make_orders

USD = Asset("USD", 2)
ALONE = Money(1_000_00, USD)
WHY = "the portal shows it"


@dataclass
class Bureau:
    """A gateway with one rail and three operators; time stands still until a test moves it."""

    engine: AsyncEngine
    rail: FakeRail = field(default_factory=FakeRail)
    now: datetime = NOW
    above: Money | None = None

    @property
    def rails(self) -> Rails:
        return Rails({"fake": self.rail})

    @property
    def rules(self) -> ResolutionRules:
        return ResolutionRules(above=self.above, dollars={USDC.code}, capabilities=self.rails.capabilities)

    def clock(self) -> datetime:
        return self.now

    async def hire(self, *names: str) -> None:
        for name in names:
            await self.run("INSERT INTO operators (name, password_hash, created_at) VALUES (:n, 'x', :now)", n=name, now=NOW)

    async def run(self, statement: str, **values: object) -> list[Any]:
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def one(self, statement: str, **values: object) -> Any:
        [[value]] = await self.run(statement, **values)
        return value

    async def funded(self, number: int = 1) -> list[str]:
        orders = await make_orders(self.engine, number)
        for order in orders:
            await make_deposit(self.engine, order)
        while await book_deposits(self.engine, least={}, now=NOW):
            pass
        return [order.order_id for order in orders]

    async def attempt(self, answer: Report | Exception = UNKNOWN) -> str:
        """An order that was sent, and what the rail answered."""
        [order_id] = await self.funded()
        self.rail.answers = [answer]
        await dispatch(self.engine, rails=self.rails, clock=self.clock)
        return str(await self.one("SELECT id FROM attempts WHERE order_id = :id", id=order_id))

    def evidence(self, verdict: Verdict = Verdict.PAID, **changes: Any) -> Evidence:
        pays = verdict in (Verdict.PAID, Verdict.PAID_IN_PART, Verdict.DISCHARGED)
        given: dict[str, Any] = {
            "verdict": verdict,
            "said": "SG632NMUAB Completed, KES 1,249.00 to …78",
            "place": "portal, statement of 22 November, line 14",
            "seen_at": self.now,
            "provider_ref": "SG632NMUAB" if pays else None,
            "receipt": "SG632NMUAB" if pays else None,
            "delivered": Money(124_900, KES) if pays else None,
            "fault": None if pays else Fault.RECIPIENT,
        }
        return Evidence(**given | changes)

    async def propose(
        self, attempt_id: str, evidence: Evidence | None = None, *, by: str = "amina", **what: Any
    ) -> Decision:
        async with transaction(self.engine) as connection:
            given = {"attempt_id": attempt_id, "operator": by, "reason": WHY, "rules": self.rules, "now": self.now}
            return await propose(connection, evidence=evidence or self.evidence(), **given | what)

    async def approve(self, resolution_id: str, *, by: str = "brian", reason: str = "seen it too") -> Decision:
        async with transaction(self.engine) as connection:
            given = {"operator": by, "reason": reason, "rules": self.rules, "now": self.now}
            return await approve(connection, resolution_id=resolution_id, **given)

    async def refuse(self, resolution_id: str, *, by: str = "brian") -> None:
        async with transaction(self.engine) as connection:
            await refuse(connection, resolution_id=resolution_id, operator=by, reason="no such line", now=self.now)

    async def hold(self, order_id: str, reason: str) -> None:
        async with transaction(self.engine) as connection:
            move = Move(order_id=order_id, event=E.HOLD_PLACED, cause=f"h:{self.now}", data={"reason": reason})
            await advance(connection, moves=[move], now=self.now)

    async def hear(self, attempt_id: str, report: Report) -> int:
        """The rail's own news."""
        async with transaction(self.engine) as connection:
            return await record(connection, news=[News(attempt_id=attempt_id, report=report)], now=self.now)

    async def state(self, attempt_id: str) -> tuple[str, str]:
        """Of the order and of the attempt."""
        [found] = await self.run(
            "SELECT o.state, a.outcome FROM attempts AS a JOIN orders AS o ON o.id = a.order_id WHERE a.id = :id",
            id=attempt_id,
        )
        return found

    async def actions(self) -> list[tuple[str, str]]:
        return await self.run("SELECT operator, action FROM operator_actions ORDER BY id")

    async def incidents(self) -> list[str]:
        return [kind for (kind,) in await self.run("SELECT kind FROM incidents ORDER BY id")]

    async def books(self) -> dict[str, str]:
        """Accounts by their last two words."""
        async with transaction(self.engine) as connection:
            found = await balances(connection)
        return {f"{account.split(':')[-1]} {money.asset.symbol}": money.decimal() for account, money in found}

    def pass_(self, **span: int) -> None:
        self.now += timedelta(**span)


async def open_bureau(engine: AsyncEngine) -> Bureau:
    bureau = Bureau(engine)
    await bureau.hire("amina", "brian", "chausiku")
    return bureau
