"""A rail with a statement and a balance that a test sets right or wrong, and a gateway of one rail around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.post import post, top_up
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.offramp import Instruction, LineKind, Outcome, Report, StatementLine
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.treasury.reconcile import reconcile
from tests.factories import KES, NOW, FakeRail, make_deposit, make_orders

FLOAT = Money(1_000_000_00, KES)


@dataclass
class Till(FakeRail):
    """A fake rail that writes down what it pays, as a rail does. Tests change its books behind our back."""

    lines: list[StatementLine] = field(default_factory=list)
    held: Money = FLOAT
    now: datetime = NOW
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    broken: Exception | None = None
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def pay(self, instruction: Instruction) -> Report:
        report = await super().pay(instruction)
        if report.outcome is Outcome.PAID:
            self.write(LineKind.PAYOUT, instruction.deliver, attempt_id=instruction.attempt_id)
        return report

    def write(self, kind: LineKind, amount: Money, *, leaves: bool = True, **fields: Any) -> StatementLine:
        """One more movement on the account, with its line."""
        leaves = leaves if kind is LineKind.OTHER else kind in (LineKind.PAYOUT, LineKind.FEE)
        line_id = fields.pop("line_id", None) or f"L{next(self.numbers)}"
        at = self.now + timedelta(milliseconds=len(self.lines))
        line = StatementLine(line_id=line_id, kind=kind, amount=amount, at=at, leaves=leaves, **fields)
        self.lines.append(line)
        self.held = self.held - amount if leaves else self.held + amount
        return line

    def forget(self, line: StatementLine) -> None:
        """As if it had never moved."""
        self.lines.remove(line)
        leaves = line.kind in (LineKind.PAYOUT, LineKind.FEE)
        self.held = self.held + line.amount if leaves else self.held - line.amount

    def change(self, line: StatementLine, **fields: Any) -> StatementLine:
        """As if it had always been so."""
        self.forget(line)
        changed = replace(line, **fields)
        named = {"attempt_id": changed.attempt_id, "provider_ref": changed.provider_ref}
        self.write(changed.kind, changed.amount, line_id=changed.line_id, leaves=changed.leaves, **named)
        return changed

    async def statement(self, *, since: datetime, until: datetime) -> list[StatementLine]:
        self.asked.append((since, until))
        if self.broken:
            raise self.broken
        return [line for line in self.lines if since <= line.at < until]

    async def balance(self) -> tuple[Money, ...]:
        if self.broken:
            raise self.broken
        return (self.held,)


@dataclass
class House:
    """Orders, the till that pays them, and the time."""

    engine: AsyncEngine
    till: Till = field(default_factory=lambda: Till(name="till"))
    now: datetime = NOW
    orders: list[Any] = field(default_factory=list)

    @property
    def rails(self) -> Rails:
        return Rails({"till": self.till})

    def clock(self) -> datetime:
        return self.now

    def later(self, **span: Any) -> None:
        self.now += timedelta(**span)
        self.till.now = self.now

    async def open(self) -> None:
        """The float, booked."""
        async with transaction(self.engine) as connection:
            await connection.execute(text("INSERT INTO assets VALUES ('KES', 2) ON CONFLICT DO NOTHING"))
            await post(connection, entries=[top_up(rail="till", money=FLOAT, reference="opening")], now=self.now)

    async def pay(self, number: int = 1) -> list[str]:
        """Orders that are paid; gives their attempts."""
        orders = await make_orders(self.engine, number, now=self.now)
        for order in orders:
            await make_deposit(self.engine, order, at=self.now)
        while await book_deposits(self.engine, least={}, now=self.now):
            pass
        while await dispatch(self.engine, rails=self.rails, clock=self.clock):
            pass
        ids = [order.order_id for order in orders]
        rows = await self.rows("SELECT id, order_id FROM attempts WHERE order_id = ANY(:ids)", ids=ids)
        attempts = {row.order_id: row.id for row in rows}
        return [attempts[order_id] for order_id in ids]

    def line_of(self, attempt_id: str) -> StatementLine:
        return next(line for line in self.till.lines if line.attempt_id == attempt_id)

    async def run(self, **options: Any) -> Any:
        """One reconciliation, a while later: so late that nothing is in flight for the statement."""
        self.later(hours=3)
        return await reconcile(self.engine, rails=self.rails, chains=(), clock=self.clock, **options)

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with transaction(self.engine) as connection:
            return list((await connection.execute(text(statement), values)).all())

    async def books(self) -> dict[str, str]:
        async with transaction(self.engine) as connection:
            return {account: money.decimal() for account, money in await balances(connection) if money.asset == KES}


def kinds(report: Any) -> list[str]:
    return sorted(one.kind for one in report.breaks)
