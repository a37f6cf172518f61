"""What the desk's tests start from: orders, deposits, prices, and an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.desk.consent import Agreed, accept_requote
from gateway.desk.requote import Channel, Consent, RequoteView, offer_requote
from gateway.desk.unmatched import DeskRules, Unmatched, unmatched
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.orders.accept import Accepted
from gateway.orders.funding import book_deposits
from gateway.pricing.models import RateObservation
from gateway.pricing.offer import Offer, PricingRules, Terms, Token
from tests.factories import FACTORIES, KES, NOW, USDC, USDT, make_deposit, make_orders

BY = "wanjiku"
WHY = "the sender wrote on 22 November"
LATE = NOW + timedelta(hours=1)
LEAST = {USDC.code: Money(10_000, USDC), USDT.code: Money(10_000, USDT)}
OTHER_CHAIN = Asset("USDC@1", 6)
TTL = timedelta(minutes=15)


def offer(**changes: Any) -> Offer:
    """USDC and USDT for Kenya, 1 % spread and 30 KES; `changes` are of the corridor."""
    terms: dict[str, Any] = {
        "country": "KE",
        "currency": KES,
        "method": Method.MOBILE_MONEY,
        "spread_bps": 100,
        "fee": Money.parse("30", KES),
        "least": Money.parse("10", KES),
        "most": Money.parse("250000", KES),
        "step": Money.parse("1", KES),
    }
    tokens = [(USDC, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"), (USDT, "0xc2132D05D31c914a87C6611C10748AEb04B58e8F")]
    return Offer(
        tokens={
            ("dev", coin.symbol): Token(chain="dev", chain_id=31337, asset=coin, address=address, peg="USD")
            for coin, address in tokens
        },
        corridors={("KE", "KES", Method.MOBILE_MONEY): Terms(**terms | changes)},
        rules=PricingRules(max_age=timedelta(days=2), max_spread_bps=100, min_sources=1, quote_ttl=TTL),
    )


RULES = DeskRules(least=LEAST, taken={USDC.code, USDT.code}, natives={"ETH@31337"}, swept={31337})


@dataclass
class Office:
    engine: AsyncEngine
    offer: Offer
    now: datetime = LATE

    async def order(self, *, partner: str | None = None, **quote: Any) -> Accepted:
        [order] = await make_orders(self.engine, **quote)
        if partner is not None:
            await self.run("INSERT INTO partners VALUES (:p, :p, :now) ON CONFLICT DO NOTHING", p=partner, now=NOW)
            await self.run("UPDATE orders SET partner_id = :p WHERE id = :id", p=partner, id=order.order_id)
        return order

    async def pay(self, order: Accepted, **what: Any) -> dict[str, object]:
        row = await make_deposit(self.engine, order, **what)
        while await book_deposits(self.engine, least=LEAST, now=NOW):
            pass
        return row

    async def late(self, units: int = 10_000_000, **what: Any) -> Accepted:
        """An order that is held because its money came late."""
        order = await self.order(**what)
        await self.pay(order, units=units, at=LATE)
        return order

    async def run(self, statement: str, **values: object) -> list[Any]:
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def one(self, statement: str, **values: object) -> Any:
        [[value]] = await self.run(statement, **values)
        return value

    async def list(self, **wanted: Any) -> list[Unmatched]:
        async with transaction(self.engine) as connection:
            return await unmatched(connection, rules=RULES, **wanted)

    async def propose(self, order: Accepted, **what: Any) -> RequoteView:
        async with transaction(self.engine) as connection:
            return await offer_requote(
                connection,
                order_id=order.order_id,
                **{"offer": self.offer, "operator": BY, "reason": WHY, "now": self.now} | what,
            )

    async def agree(self, order: Accepted, requote: RequoteView | str, consent: Consent | None = None) -> Agreed:
        async with transaction(self.engine) as connection:
            return await accept_requote(
                connection,
                order_id=order.order_id,
                requote_id=requote if isinstance(requote, str) else requote.id,
                consent=consent or Consent(channel=Channel.TRACKER),
                factories=FACTORIES,
                now=self.now,
            )

    async def state(self, order_id: str) -> str:
        return str(await self.one("SELECT state FROM orders WHERE id = :id", id=order_id))

    async def books(self) -> dict[str, str]:
        """All accounts but empty ones, orders by their number in the order of their making."""
        ids = [row.id for row in await self.run("SELECT id FROM orders ORDER BY created_at, id")]
        async with transaction(self.engine) as connection:
            found = await balances(connection)
        books = {}
        for account, money in found:
            name = account
            for number, order_id in enumerate(ids):
                name = name.replace(order_id, str(number))
            books[f"{name} {money.asset.code}"] = money.decimal()
        return books


async def stock(engine: AsyncEngine) -> None:
    """A price of 129.20 KES, and an operator."""
    async with transaction(engine) as connection:
        rate = {"source": "one", "base": "USD", "quote": "KES", "num": 1292, "den": 10, "as_of": NOW, "fetched_at": NOW}
        await connection.execute(insert(RateObservation).values(rate))
        await connection.execute(text("INSERT INTO operators VALUES (:by, 'x', :now)"), {"by": BY, "now": NOW})
