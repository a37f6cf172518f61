"""Claims as dispatch makes them, cut down to what limits them: attempts for which no order has to be funded first."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from sqlalchemy import text

from gateway.db.session import transaction
from gateway.ledger.post import Entry, Transfer, post, top_up
from gateway.money import Money
from gateway.offramp import Capabilities, Corridor, Method, Resend
from gateway.payouts.allowances import allowances, take
from gateway.payouts.pace import lease_until
from tests.factories import KES, NOW

_numbers = count()
UNITS = 10_000


class Time:
    """A clock that tests set."""

    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now

    def pass_(self, **span):
        self.now += timedelta(**span)


@dataclass
class LimitedRail:
    """An adapter of which only the facts matter."""

    name: str = "fake"
    concurrency: int = 20
    calls_per_s: int | None = None
    answer_within: timedelta = timedelta(seconds=5)
    capabilities: Capabilities = field(init=False)

    def __post_init__(self):
        corridor = Corridor(
            country="KE",
            method=Method.MOBILE_MONEY,
            asset=KES,
            least=Money(1_000, KES),
            most=Money(25_000_000, KES),
            step=Money(100, KES),
        )
        self.capabilities = Capabilities(
            name=self.name,
            corridors=(corridor,),
            resend=Resend.DEDUPED,
            settles_within=timedelta(minutes=5),
            resend_within=timedelta(hours=24),
            answer_within=self.answer_within,
            concurrency=self.concurrency,
            calls_per_s=self.calls_per_s,
        )

    async def close(self):
        return None


_ATTEMPT = text("""
INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, outcome, evidence, asks, due_at, lease_token,
    lease_until, created_at, updated_at)
SELECT id, o, :rail, 'KES', :units, 'sending', '{}', 0, :until, nextval('lease_tokens'), :until, :now, :now
FROM unnest(CAST(:ids AS text[]), CAST(:orders AS text[])) AS n (id, o)
""")


async def free_of_orders(engine):
    """Attempts without orders: what limits a claim asks for nothing of them."""
    async with transaction(engine) as connection:
        await connection.execute(text("ALTER TABLE attempts DISABLE TRIGGER guard_attempts"))
        await connection.execute(text("INSERT INTO assets VALUES ('KES', 2) ON CONFLICT DO NOTHING"))


async def open_attempts(connection, rails, name, number, *, now, units=UNITS):
    ids = [f"att_{next(_numbers):026}" for _ in range(number)]
    until = lease_until(rails.capabilities[name], now=now)
    orders = [one.replace("att", "ord") for one in ids]
    values = {"ids": ids, "orders": orders, "rail": name, "units": units, "until": until, "now": now}
    await connection.execute(_ATTEMPT, values)
    return ids


async def claim(engine, rails, *, name="fake", wanted=200, now=NOW, units=UNITS):
    """Claim as many as are wanted and allowed. Returns their ids."""
    async with transaction(engine) as connection:
        allowance = (await allowances(connection, rails=rails, now=now))[name]
        number = min(wanted, allowance.most)
        if allowance.left is not None:
            number = min(number, allowance.left["KES"] // units)
        ids = await open_attempts(connection, rails, name, number, now=now, units=units) if number else []
        await take(connection, counts={name: number} if number else {}, now=now)
        return ids


async def allowed(engine, rails, *, name="fake", now=NOW):
    async with transaction(engine) as connection:
        return (await allowances(connection, rails=rails, now=now))[name]


async def settle(engine, ids, *, outcome="failed", name="fake", units=UNITS, now=NOW):
    """The attempts end: paid ones are booked as they end."""
    async with transaction(engine) as connection:
        await connection.execute(
            text("""UPDATE attempts SET outcome = :outcome, closed_at = :now, due_at = NULL, lease_until = NULL,
                fault = CASE WHEN :outcome = 'failed' THEN 'transient' END, provider_ref = id WHERE id = ANY(:ids)"""),
            {"outcome": outcome, "now": now, "ids": ids},
        )
        if outcome == "paid":
            entries = [
                Entry(f"paid:{one}", "payout_settled", (Transfer("exchange_desk", f"rail:{name}", Money(units, KES)),))
                for one in ids
            ]
            await post(connection, entries=entries, now=now)


async def book_top_up(engine, *, units, name="fake", reference="one"):
    async with transaction(engine) as connection:
        await post(connection, entries=[top_up(rail=name, money=Money(units, KES), reference=reference)], now=NOW)


async def incidents(engine):
    async with transaction(engine) as connection:
        return list((await connection.execute(text("SELECT kind FROM incidents ORDER BY id"))).scalars())
