"""Orders of which each recipient is paid in a way of his own, and what must be true of them in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count

import psycopg
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.freezes import FreezeKind, freeze_asset
from gateway.ledger.post import register_assets
from gateway.ledger.queries import balances
from gateway.money import Asset
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.pricing import halts
from gateway.pricing.models import Quote
from tests.crash.rail import Book, Way
from tests.factories import FACTORIES, KES, NOW, USDC, make_deposit, quote_row

HELD_AFTER = {Way.RETURNED, Way.STOPPED, Way.MUDDLED}
"""A person has to say what becomes of it."""
ROBBED = {"payout_parked", "callback_parked", "answer_not_recorded"}
FORESEEN = {"payout_delayed", "payout_overdue", "paid_after_returned", "breaker_open", "held_too_long", "rail_gone", *ROBBED}
"""Incidents that kills explain: something takes long; an answer to a payment is recorded after the news of its return."""
LONG = timedelta(days=7)
_numbers = count(1)


@dataclass
class Town:
    """Orders, the rail's book, and where each order has to rest: by the recipient's account."""

    engine: AsyncEngine
    book: Book
    url: str
    ends: dict[str, str] = field(default_factory=dict)
    robbed: list[str] = field(default_factory=list)
    """Orders whose money has been taken, or will be."""
    stopped: list[str] = field(default_factory=list)
    """Coins that nobody takes."""

    async def unlike(self) -> dict[str, tuple[str | None, str, str]]:
        """Which orders aren't where they have to rest: account, state, end, and what their rail does."""
        states = await self._states()
        return {a: (states.get(a), end, self.book.ways[a]) for a, end in self.ends.items() if states.get(a) != end}

    async def add(self, ways: Sequence[Way]) -> None:
        """Orders whose money has just become final."""
        for account, order in (await self._accept(ways)).items():
            await make_deposit(self.engine, order)
            # What was acknowledged has to be there, whatever becomes of the rest.
            self.ends[account] = "held" if self.book.ways[account] in HELD_AFTER else "paid"

    async def add_late(self, number: int) -> None:
        """Orders that nobody pays in time."""
        orders = await self._accept([Way.AT_ONCE] * number, ttl=timedelta(milliseconds=1))
        self.ends |= dict.fromkeys(orders, "expired")

    async def add_frozen(self, number: int) -> None:
        """Funded orders whose coin is frozen before anybody looks at them: no worker may be alive."""
        coin = Asset(f"USDT{next(_numbers)}@31337", 6)
        orders = await self._accept([Way.AT_ONCE] * number, asset=coin)
        for order in orders.values():
            await make_deposit(self.engine, order, asset=coin)
        while await book_deposits(self.engine, least={}, now=NOW):
            pass
        async with transaction(self.engine) as connection:
            await freeze_asset(connection, asset=coin.code, kind=FreezeKind.PAUSED, reason="It is paused.", now=NOW)
        self.ends |= dict.fromkeys(orders, "held")

    async def add_depegged(self, number: int) -> None:
        """Funded orders whose coin had been stopped, which nobody knew when they were booked: no worker may be alive."""
        coin = Asset(f"USDP{next(_numbers)}@31337", 6)
        orders = await self._accept([Way.AT_ONCE] * number, asset=coin)
        for order in orders.values():
            await make_deposit(self.engine, order, asset=coin)
        while await book_deposits(self.engine, least={}, now=NOW):
            pass
        self.stopped.append(coin.code.partition("@")[0])
        async with transaction(self.engine) as connection:
            await halts.halt(connection, subject=self.stopped[-1], operator="amina", reason="it fell", now=NOW)
        self.ends |= dict.fromkeys(orders, "paid")

    async def coins_recover(self) -> None:
        """Every coin is worth what it should be: what was held because of it goes on by itself."""
        async with transaction(self.engine) as connection:
            for symbol in self.stopped:
                await halts.resume(connection, subject=symbol, operator="amina", reason="it rose", now=NOW)
        self.stopped.clear()

    async def add_robbed(self, ways: Sequence[Way]) -> None:
        """Orders whose money is taken out of the books while the rail pays them: their answers can't be recorded."""
        for account, order in (await self._accept(ways)).items():
            self.book.robbers[account] = partial(self._rob, order.order_id)
            self.robbed.append(order.order_id)
            self.ends[account] = "paid"
            await make_deposit(self.engine, order)

    async def add_empty(self, number: int) -> None:
        """Orders that are said to be funded, and nothing is there: no worker may be alive."""
        orders = await self._accept([Way.AT_ONCE] * number)
        ids = [order.order_id for order in orders.values()]
        async with transaction(self.engine) as connection:
            values = {"ids": ids, "now": NOW}
            await connection.execute(text("UPDATE orders SET state = 'funded', due_at = :now WHERE id = ANY(:ids)"), values)
        self.ends |= dict.fromkeys(orders, "funded")

    def _rob(self, order_id: str) -> None:
        """Move an order's money away, as no code of ours would."""
        self._move(order_id, "order:{}:payout", "capital")

    def give_back(self) -> None:
        """Put it back."""
        for order_id in self.robbed:
            self._move(order_id, "capital", "order:{}:payout")
        self.robbed.clear()

    def _move(self, order_id: str, source: str, destination: str) -> None:
        number = next(_numbers)
        line = {"source": source.format(order_id), "destination": destination.format(order_id), "cause": f"robbery:{number}"}
        with psycopg.connect(self.url) as connection:
            connection.execute(
                """INSERT INTO journal_entries (cause, template, posted_at, postings) VALUES (%(cause)s, 'robbery', now(),
                    ARRAY[ROW(%(source)s, %(destination)s, 'USDC@31337', 10000000)::posting])""",
                line,
            )

    async def clocks_go_wrong(self) -> None:
        """What machines with a wrong clock leave behind."""
        far = NOW + timedelta(days=400)
        for change in (
            "UPDATE orders SET due_at = :far WHERE state = 'funded'",
            "UPDATE orders SET due_at = :now WHERE state = 'held'",
        ):
            async with transaction(self.engine) as connection:
                await connection.execute(text(change), {"far": far, "now": NOW})

    async def ring(self) -> None:
        """Every rail is asked about everything now: who was killed often is asked about ever less often."""
        async with transaction(self.engine) as connection:
            await connection.execute(
                text("UPDATE attempts SET asks = 0, due_at = :now WHERE closed_at IS NULL"), {"now": NOW}
            )

    async def rail_goes(self) -> None:
        """A rail has left the settings, though one of its payments is open."""
        accounts = [account for account, way in self.book.ways.items() if way is Way.POLLED]
        gone = """UPDATE attempts SET adapter = 'gone' WHERE id = (SELECT min(a.id) FROM attempts AS a
            JOIN recipients AS r USING (order_id) WHERE a.outcome = 'pending' AND r.account = ANY(:accounts))"""
        async with transaction(self.engine) as connection:
            await connection.execute(text(gone), {"accounts": accounts})

    async def rail_comes_back(self) -> None:
        """Every attempt is of a rail that we have."""
        async with transaction(self.engine) as connection:
            await connection.execute(
                text("UPDATE attempts SET adapter = 'crash', due_at = :now WHERE adapter = 'gone'"), {"now": NOW}
            )

    async def stoppable(self) -> list[str]:
        """Attempts that a person could have stopped."""
        accounts = [account for account, way in self.book.ways.items() if way in (Way.STOPPED, Way.MUDDLED)]
        sql = """SELECT a.id FROM attempts AS a JOIN recipients AS r USING (order_id)
                 WHERE a.outcome = 'pending' AND r.account = ANY(:accounts) ORDER BY a.id"""
        async with transaction(self.engine) as connection:
            return [row.id for row in await connection.execute(text(sql), {"accounts": accounts})]

    async def _accept(self, ways: Sequence[Way], *, asset: Asset = USDC, ttl: timedelta = LONG) -> dict[str, Accepted]:
        made = {}
        async with transaction(self.engine) as connection:
            await register_assets(connection, assets=[USDC, asset, KES])
            for way in ways:
                account = f"+2547{next(_numbers):08}"
                self.book.ways[account] = way
                row = quote_row(ttl=ttl) | {"send_asset": asset.code}
                await connection.execute(insert(Quote).values(row))
                recipient = Recipient(name="Wanjiku Kamau", account=account)
                acceptance = Acceptance(quote_id=str(row["id"]), partner_id=None, recipient=recipient)
                made[account] = await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=NOW)
        return made

    async def resting(self) -> bool:
        """Whether nothing is under way any more."""
        return not await self.count(
            """SELECT (SELECT count(*) FROM deposits WHERE booked IS DISTINCT FROM status)
            + (SELECT count(*) FROM orders WHERE state IN ('confirming', 'paying', 'uncertain', 'refunding'))
            + (SELECT count(*) FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id
               WHERE o.state = 'awaiting_deposit' AND q.expires_at - q.created_at < '1 s')
            + (SELECT count(*) FROM callbacks WHERE handled_at IS NULL)"""
        ) and all(await self._ended())

    async def _ended(self) -> Iterator[bool]:
        """What comes back later has to have come."""
        states = await self._states()
        return (states[account] == end for account, end in self.ends.items())

    async def check(self) -> None:
        """Every order at its right end, the books balanced and equal to the rail's, nothing left open."""
        assert {account: state for account, state in (await self._states()).items() if account in self.ends} == self.ends
        async with transaction(self.engine) as connection:
            found = {(account, money.asset.code): money.units for account, money in await balances(connection)}
        paid = self.book.paid()
        assert {account: paid[account] for account in self.ends} == {
            account: int(end == "paid") for account, end in self.ends.items()
        }
        assert found.get(("rail:crash", KES.code), 0) == self.book.out()
        assert {account for (account, _), units in found.items() if units < 0 and account.startswith("order:")} == set()
        assert await self.count("SELECT count(*) FROM balances WHERE units < 0") == 0
        assert await self.count("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 0
        assert _more_than_once(await self.column("SELECT order_id FROM attempts WHERE outcome = 'paid'")) == []
        incidents = await self.column("SELECT kind || ' ' || detail FROM incidents")
        assert [each for each in incidents if each.split()[0] not in FORESEEN] == []

    async def _states(self) -> dict[str, str]:
        async with transaction(self.engine) as connection:
            rows = await connection.execute(
                text("SELECT o.state, r.account FROM orders AS o JOIN recipients AS r ON r.order_id = o.id")
            )
            return {row.account: row.state for row in rows}

    async def count(self, sql: str) -> int:
        async with transaction(self.engine) as connection:
            return int((await connection.execute(text(sql))).scalar_one())

    async def column(self, sql: str) -> list[str]:
        async with transaction(self.engine) as connection:
            return [str(value) for value in (await connection.execute(text(sql))).scalars()]


def _more_than_once(values: Iterable[str]) -> list[str]:
    return [value for value, times in Counter(values).items() if times > 1]


def before(seconds: float) -> float:
    """The moment so many seconds from now."""
    return time.monotonic() + seconds
