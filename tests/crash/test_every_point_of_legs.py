"""Every point of payments in legs, one of which are coins on a real node: killed there, and each leg is made once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from eth_account import Account

from gateway.db.session import transaction
from gateway.ledger.queries import balances
from tests.chain_tools import balance, mine
from tests.crash.harbour import CHAIN, Harbour
from tests.crash.lives import PATIENT, Lives, Mother, free_port, lives, tree
from tests.crash.points import points_of
from tests.crash.rail import Book, Way, rail
from tests.crash.relay import COINS
from tests.crash.world import before
from tests.factories import KES, USDC

pytestmark = pytest.mark.slow

WITHIN_S = 400
"""How long nothing may come."""
GROUPS = ("chains", "keys", "orders", "payouts")
WAYS = (Way.AT_ONCE, Way.POLLED, Way.LOST, Way.UNPAID)
THERE = Account.create().address
"""Where the provider gets its coins."""
_numbers = count(1)


@pytest.fixture
def book() -> Iterator[Book]:
    with rail() as made:
        yield made


@pytest.fixture
def ferry(harbour: Harbour, book: Book, database_url: str, tmp_path: Path, mother: Mother) -> Iterator[Lives]:
    """A gateway whose only rail is paid on chain first."""
    chain = harbour.settings_of_chain(tmp_path)
    chain["legs"] = chain.pop("refunds")
    del chain["sweep"]
    settings = tree(rail_url=book.url, port=free_port(), rates=tmp_path / "rates.json", now=harbour.now, **chain)
    token = {"chain_id": CHAIN, "token": harbour.chain.usdc, "to": THERE}
    settings["adapters"] = {"relay": {"kind": "relay", "base_url": book.url} | token}
    given = {"tree": settings, "database": database_url, "now": harbour.now.isoformat(), "speed": PATIENT}
    with lives(given, tmp_path, mother) as made:
        yield made


async def add(harbour: Harbour, book: Book) -> None:
    """An order with its deposit, whose recipient the rail pays in the next way."""
    number = next(_numbers)
    account = f"+2547{number:08}"
    book.ways[account] = WAYS[number % len(WAYS)]
    await harbour.pay(await harbour.order(account=account))


@pytest.mark.timeout(1800)
async def test_every_point_of_legs_is_survived(harbour: Harbour, book: Book, ferry: Lives) -> None:
    todo = points_of("legs")
    ends = before(WITHIN_S)
    worker = died = 0
    while left := sorted(set(todo) - set(ferry.deaths())):
        assert before(0) < ends, f"nobody came to {left}\n{ferry.log.read_text()[-3000:]}"
        if len(ferry.deaths()) > died:
            died, ends = len(ferry.deaths()), before(WITHIN_S)
        if not ferry.lives(worker):
            worker = ferry.work(points=left, only=GROUPS)
            await add(harbour, book)
        await asyncio.to_thread(mine, harbour.chain, 1)
        await asyncio.sleep(0.05)
    worker = ferry.work(only=GROUPS)
    ends = before(WITHIN_S)
    while await harbour.states() != harbour.ends:
        assert before(0) < ends, f"{await harbour.unlike()}\n{ferry.log.read_text()[-3000:]}"
        await asyncio.to_thread(mine, harbour.chain, 1)
        await asyncio.sleep(0.05)
    ferry.kill(worker)
    assert sorted(ferry.deaths()) == todo
    assert ferry.nameless() == []
    await check(harbour, book)


async def check(harbour: Harbour, book: Book) -> None:
    """Coins went to the provider once for each order, it paid each recipient once, and the books say both."""
    orders = len(harbour.ends)
    assert balance(harbour.chain, THERE, harbour.chain.usdc) == orders * COINS
    assert book.paid() == Counter(dict.fromkeys(book.ways, 1))
    async with transaction(harbour.engine) as connection:
        found = {(account, money.asset): money.units for account, money in await balances(connection)}
    assert found[f"wallet:{CHAIN}:legs", USDC] == orders * COINS == -found["rail:relay", USDC]
    assert found["rail:relay", KES] == book.out()
    assert await harbour.value("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 0
    assert await harbour.value("SELECT count(*) FROM legs WHERE outcome = 'paid'") == 2 * orders
    assert await harbour.value("SELECT count(*) FROM legs WHERE closed_at IS NULL") == 0
    assert await harbour.value("SELECT count(*) FROM incidents WHERE kind = 'paid_after_failed'") == 0
