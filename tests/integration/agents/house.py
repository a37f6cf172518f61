"""A network with a client, his funds, and agents; and what tests do with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.agents.accounts import NewAgent, NewClient, add_agent, add_client, fund, set_limit
from gateway.agents.claim import ClaimWish, claim
from gateway.agents.claims import ClaimView
from gateway.agents.codes import CodeView, Wish, cancel_code, find_code, make_code
from gateway.agents.confirm import confirm
from gateway.agents.rules import PickupRules
from gateway.db.session import transaction
from gateway.money import Money
from gateway.operators.accounts import add_operator
from tests.factories import KES, NOW

RULES = PickupRules(key=bytes(range(32)))
PHONE = "+254712345678"
DOCUMENT = "passport A1234567"
_numbers = count(1)


@dataclass
class House:
    engine: AsyncEngine
    client: NewClient = field(init=False)
    account: str = field(init=False)
    now = NOW

    async def stock(self, funds: str = "10000.00") -> None:
        async with transaction(self.engine) as connection:
            await add_operator(connection, name="amina", password_hash="x", now=NOW)
            self.client = await add_client(connection, name="own gateway", now=NOW)
            money = Money.parse(funds, KES)
            self.account = await fund(connection, client="own gateway", money=money, reference="first", now=NOW)

    async def agent(self, *, most: str = "100000.00") -> NewAgent:
        name = f"kiosk.{next(_numbers)}"
        async with transaction(self.engine) as connection:
            new = await add_agent(connection, name=name, shop=f"{name}, Gikomba", password_hash="x", now=NOW)
            await set_limit(connection, name=name, most=Money.parse(most, KES))
        return new

    def wish(self, amount: str = "1000.00", **changes: Any) -> Wish:
        number = next(_numbers)
        values: dict[str, Any] = {
            "client_id": self.client.client_id,
            "account_id": self.account,
            "correlation_id": f"correlation-{number}",
            "reference": f"att_{number}",
            "amount": amount,
            "currency": "KES",
            "country": "KE",
            "holder": "Wanjiku Kamau",
            "msisdn": PHONE,
            "lifetime": timedelta(days=14),
        }
        return Wish(**(values | changes))

    async def code(self, amount: str = "1000.00", **changes: Any) -> tuple[CodeView, str]:
        async with transaction(self.engine) as connection:
            return await make_code(connection, wish=self.wish(amount, **changes), rules=RULES, now=self.now)

    async def find(self, code: CodeView) -> CodeView:
        async with transaction(self.engine) as connection:
            return await find_code(connection, client_id=self.client.client_id, code_id=code.id, now=self.now)

    async def cancel(self, code: CodeView) -> CodeView:
        async with transaction(self.engine) as connection:
            return await cancel_code(connection, client_id=self.client.client_id, code_id=code.id, now=self.now)

    async def claim(self, agent: NewAgent, digits: str, **changes: Any) -> ClaimView:
        values: dict[str, Any] = {
            "agent_id": agent.agent_id,
            "agent_reference": f"till-{next(_numbers)}",
            "code": digits,
            "phone": "5678",
        }
        return await claim(self.engine, wish=ClaimWish(**(values | changes)), rules=RULES, now=self.now)

    async def confirm(self, agent: NewAgent, claimed: ClaimView) -> ClaimView:
        return await confirm(self.engine, agent_id=agent.agent_id, claim_id=claimed.id, document=DOCUMENT, now=self.now)

    async def run(self, statement: str, **values: object) -> list[Any]:
        async with transaction(self.engine) as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def ledger(self) -> dict[str, int]:
        """What each account has, from the postings."""
        rows = await self.run(
            "SELECT account, sum(units)::bigint FROM (SELECT destination AS account, units FROM postings "
            "UNION ALL SELECT source, -units FROM postings) AS p GROUP BY account"
        )
        return {row[0]: row[1] for row in rows if row[1]}

    async def check(self) -> None:
        """The running amounts are those of the ledger, and nothing is lost."""
        ledger = await self.ledger()
        for row in await self.run("SELECT id, free_units, held_units FROM network_accounts"):
            assert (int(row[1]), int(row[2])) == (
                ledger.get(f"network:{row[0]}", 0),
                ledger.get(f"network:{row[0]}:held", 0),
            )
        for row in await self.run("SELECT agent_id, sum(owed_units) FROM agent_floats GROUP BY agent_id"):
            assert int(row[1]) == ledger.get(f"agent:{row[0]}", 0)
        waiting = await self.run("SELECT coalesce(sum(units), 0) FROM pickup_codes WHERE state IN ('active', 'claimed')")
        assert waiting[0][0] == (await self.run("SELECT coalesce(sum(held_units), 0) FROM network_accounts"))[0][0]
        reserved = await self.run(
            "SELECT coalesce(sum(c.units), 0) FROM pickup_claims AS w JOIN pickup_codes AS c ON c.id = w.code_id "
            "WHERE w.state = 'reserved'"
        )
        assert reserved[0][0] == (await self.run("SELECT coalesce(sum(reserved_units), 0) FROM agent_floats"))[0][0]
