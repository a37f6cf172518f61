"""Whatever is done in whatever order: no money appears, none is lost, and an order pays out what its price says."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

import pytest

from gateway.db.session import transaction
from gateway.desk.found import Found, keep
from gateway.desk.resolve import release_hold, take_back, write_off
from gateway.errors import Refusal
from gateway.ledger.queries import balances
from gateway.orders.states import E
from tests.factories import NOW, USDC, USDT
from tests.integration.desk.office import LATE
from tests.integration.desk.test_resolve import do
from tests.integration.desk.test_unmatched import KNOWN, LISTED, NATIVE, TX, UNKNOWN


class Play:
    """Random deposits, finds and decisions."""

    def __init__(self, office, seed):
        self.office, self.rng = office, random.Random(seed)
        self.orders = []
        self.arrived = Counter()

    async def pay(self, order):
        asset = self.rng.choice([USDC, USDC, USDT])
        units = self.rng.choice([5_000, 2_000_000, 9_000_000, 10_000_000, 30_000_000])
        at, block = self.rng.choice([NOW, LATE]), self.rng.randrange(5, 50)
        await self.office.pay(order, asset=asset, units=units, at=at, block=block)
        self.arrived[asset.code] += units

    async def find(self, order):
        token = self.rng.choice([LISTED, NATIVE, UNKNOWN])
        units, number = self.rng.randrange(1, 10**9), self.rng.randrange(6)
        address = await self.office.one("SELECT deposit_address FROM orders WHERE id = :id", id=order.order_id)
        identity = f"native:{address}:{number}" if token == NATIVE else f"{TX}:{number}"
        found = Found(identity=identity, address=address, token=token, sender=None, units=units, block_number=9)
        async with transaction(self.office.engine) as connection:
            new = await keep(connection, chain_id=31337, found=[found], known=KNOWN, now=NOW)
        if new and token in KNOWN:
            self.arrived[KNOWN[token].code] += units

    async def agree(self, order):
        for row in await self.office.run("SELECT id FROM requotes WHERE order_id = :id", id=order.order_id):
            with suppress(Refusal):
                agreed = await self.office.agree(order, row.id)
                if agreed.order_id not in {one.order_id for one in self.orders}:
                    self.orders.append(type(order)(order_id=agreed.order_id, tracking_token=""))

    async def decide(self, order):
        asset = self.rng.choice([USDC.code, USDT.code])
        acts = (
            lambda: self.office.propose(order, asset=asset),
            lambda: do(self.office, write_off, order.order_id, asset=asset, cost=self.rng.choice(["0.02", "50"])),
            lambda: do(self.office, take_back, order.order_id, asset=asset),
            lambda: do(self.office, release_hold, order.order_id),
        )
        with suppress(Refusal):
            await self.rng.choice(acts)()


@pytest.mark.parametrize("seed", range(3))
async def test_no_money_is_made_or_lost_whatever_is_decided(office, seed):
    play = Play(office, seed)
    play.orders = [await office.order() for _ in range(3)]
    for _ in range(30):
        move = play.rng.choice([play.pay, play.find, play.decide, play.decide, play.agree])
        await move(play.rng.choice(play.orders))
        await check(office, play.arrived)


async def check(office, arrived):
    held: Counter[str] = Counter()
    total: Counter[str] = Counter()
    async with transaction(office.engine) as connection:
        for account, money in await balances(connection):
            total[money.asset.code] += money.units
            if account.startswith("chain:"):
                held[money.asset.code] -= money.units
            else:
                assert money.units > 0, account
    assert held == arrived
    assert not any(total.values())
    wrong = await office.run("""
        SELECT o.id FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id
        WHERE o.state = 'funded' AND NOT EXISTS (SELECT FROM balances AS b
            WHERE b.account = 'order\\:' || o.id || '\\:funds' AND b.asset = q.send_asset AND b.units = q.send_units)""")
    assert wrong == []
    listed = Counter()
    for one in await office.list():
        if one.amount is not None:
            listed[one.amount.asset.code] += one.amount.units
    waiting = await office.run("""
        SELECT asset, sum(units) AS units FROM balances AS b
        WHERE account LIKE '%\\:unallocated' OR account IN (
            SELECT 'order\\:' || id || '\\:funds' FROM orders WHERE state = 'held')
        GROUP BY asset HAVING sum(units) > 0""")
    assert dict(listed) == {row.asset: int(row.units) for row in waiting}


async def test_the_database_takes_every_event_that_there_is(office):
    [[text]] = await office.run(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'order_events_event_check'"
    )
    assert {event for event in E if f"'{event}'" in text} == set(E)
