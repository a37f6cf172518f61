"""A gateway with two rails and an exchange, whose balances and past a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ids import new_id
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Asset, Money
from gateway.offramp import Destination, Method, OfframpError
from gateway.payouts.rails import Rails
from gateway.treasury.floatrules import Calendar, CoinDeposit, Fill, FloatRules, Marks
from gateway.treasury.floats import keep_floats
from gateway.treasury.outlook import FloatBook, Outlook, make_plan, read_outlook
from gateway.treasury.plan import Plan
from tests.factories import KES, NOW, USDC, FakeRail
from tests.integration.desk.office import offer

HOUR = timedelta(hours=1)
COIN = Asset("USDC", 6)
OURS = Destination(country="KE", method=Method.BANK, account="0123456789", holder="Us Ltd", institution="01")


class TellingRail(FakeRail):
    """Tells its balance."""

    def __init__(self, name: str, *, holds: list[Money] | None = None) -> None:
        super().__init__(name=name)
        self.holds = holds
        self.asked = 0

    async def balance(self) -> tuple[Money, ...]:
        self.asked += 1
        if self.holds is None:
            raise OfframpError("not now")
        return tuple(self.holds)


def kes(whole: int) -> Money:
    return Money(whole * 100, KES)


def fill(**changes: object) -> Fill:
    made: dict[str, object] = {
        "rail": "mpesa",
        "by": "exchange",
        "to": OURS,
        "pays": KES,
        "source": "rail:exchange",
        "gives": COIN,
        "peg": "USD",
        "lead": 4 * HOUR,
        "fee_bps": 50,
        "fee": kes(0),
        "least": kes(10),
        "most": kes(10_000_000),
        "step": kes(1),
    }
    return Fill(**made | changes)  # type: ignore[arg-type]


def deposit() -> CoinDeposit:
    return CoinDeposit(
        by="exchange",
        source="treasury:31337",
        gives=USDC,
        pays=COIN,
        address="0xours",
        lead=HOUR,
        fee=Money(0, COIN),
        keep=Money(5_000_000, USDC),
        least=Money(0, COIN),
    )


@dataclass
class Store:
    """The rails, the rules, and a clock."""

    engine: AsyncEngine
    now: datetime = NOW
    mpesa: TellingRail = field(default_factory=lambda: TellingRail("mpesa", holds=[kes(100_000)]))
    exchange: TellingRail = field(default_factory=lambda: TellingRail("exchange", holds=[Money(9_000_000_000, COIN)]))
    rules: FloatRules = field(
        default_factory=lambda: FloatRules(
            marks={("mpesa", "KES"): Marks(low=kes(50_000), critical=kes(20_000), target=kes(200_000))},
            fills=(fill(),),
            calendars={"KES": Calendar(countries=("KE",), zone="Africa/Nairobi")},
        )
    )

    @property
    def rails(self) -> Rails:
        return Rails({"mpesa": self.mpesa, "exchange": self.exchange})

    @property
    def book(self) -> FloatBook:
        return FloatBook(rails=("mpesa", "exchange"), offer=offer(), rules=self.rules)

    async def look(self, **later: float) -> None:
        """A round of the loop, so much later than the last."""
        self.now += timedelta(**later)
        assert await keep_floats(self.engine, rails=self.rails, book=self.book, clock=lambda: self.now) == 0

    async def outlook(self) -> Outlook:
        async with transaction(self.engine) as connection:
            return await read_outlook(connection, book=self.book, now=self.now)

    async def plan(self) -> Plan:
        async with transaction(self.engine) as connection:
            outlook = await read_outlook(connection, book=self.book, now=self.now)
            return await make_plan(connection, outlook=outlook, book=self.book)

    async def incidents(self) -> list[tuple[str, bool, str | None]]:
        found = await self.run("SELECT kind, closed_at IS NOT NULL, closed_by FROM incidents ORDER BY id")
        return [tuple(row) for row in found]

    async def run(self, statement: str, **values: object) -> list:
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def rate(self) -> None:
        """129.20 KES for a dollar, from two sources."""
        for source in ("one", "two"):
            await self.run(
                """INSERT INTO rate_observations (source, base, quote, num, den, as_of, fetched_at)
                VALUES (:source, 'USD', 'KES', 1292, 10, :now, :now)""",
                source=source,
                now=self.now,
            )

    async def book_in(self, rail: str, money: Money) -> None:
        async with transaction(self.engine) as connection:
            entry = Entry(f"top_up:{rail}:{money}", "top_up", (Transfer(f"rail:{rail}", "capital", money),))
            await post(connection, entries=[entry], now=self.now)

    async def coins(self, money: Money) -> None:
        """What the operator put into the treasury."""
        async with transaction(self.engine) as connection:
            await register_assets(connection, assets=[money.asset])
            entry = Entry(f"coins:{money}", "capital", (Transfer("treasury:31337", "capital", money),))
            await post(connection, entries=[entry], now=self.now)

    async def paid(self, *, days: int, whole: int, rail: str = "mpesa", outcome: str = "paid", hour: int = 10) -> None:
        """One payout a day in the past, at one hour."""
        await self.run("ALTER TABLE attempts DISABLE TRIGGER guard_attempts")
        for back in range(1, days + 1):
            at = (self.now - timedelta(days=back)).replace(hour=hour, minute=30)
            await self.run(
                """INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, fault, provider_ref,
                    evidence, asks, lease_token, created_at, updated_at, closed_at)
                VALUES (:id, :order, :rail, 'KES', :units, :outcome, CASE WHEN :outcome = 'failed' THEN 'transient' END,
                    'ref', '{}', 0, 0, :at, :at, CASE WHEN :outcome <> 'pending' THEN CAST(:at AS timestamptz) END)""",
                id=new_id("att", now=at),
                order=new_id("ord", now=at),
                rail=rail,
                units=whole * 100,
                outcome=outcome,
                at=at,
            )
