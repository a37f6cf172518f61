"""Watchers, books and a forking chain in one seeded run: what happens, in which order, is all the seed's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.queries import read_cursor
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.ledger.queries import balances
from gateway.money import Money
from gateway.orders.funding import book_deposits
from tests.factories import NOW, make_orders
from tests.integration.chain.desk import Desk
from tests.sim.expected import Credit, balances_of, credits_of
from tests.sim.forking import EMPTY_MOST, FINAL_AFTER, FollowingNode, ForkingChain
from tests.sim.watching import Watch, watch_memory
from tests.unit.chain.fake_chain import CHAIN_ID, USDC, terms

ORDERS = 6
NODES = 3
QUORUM = 2
DUE = 10_000_000
LEAST = Money(1_000, USDC)
SETTLING_MOST = 400
ROUND_TIME = timedelta(seconds=20)
LONG = timedelta(days=30)


@dataclass
class World:
    """One run. `history` says what was done, for a failure to be read."""

    engine: AsyncEngine
    random: Random
    chain: ForkingChain
    nodes: Sequence[FollowingNode]
    orders: dict[str, str]
    """By deposit address."""
    now: datetime
    history: list[str]
    watches: list[Watch]
    restless: bool = False
    """Whether the chain changes while a watcher reads it."""

    @classmethod
    async def begin(cls, engine: AsyncEngine, seed: object) -> World:
        random = Random(str(seed))
        orders = await _orders(engine)
        chain = ForkingChain(random=random, ours=list(orders))
        nodes = [FollowingNode(chain) for _ in range(NODES)]
        world = cls(engine, random, chain, nodes, orders, NOW, [f"seed {seed}"], [])
        for node in nodes:
            node.before_asked = world._meanwhile
        world.watches = [world.watch()]
        for _ in range(3):
            await world._step(world.watches[0])
        return world

    def terms(self) -> ChainTerms:
        return replace(terms(), quorum=QUORUM)

    def watch(self) -> Watch:
        return watch_memory(transports=self.nodes, terms=self.terms(), engine=self.engine, clock=lambda: self.now)

    async def restart(self, number: int) -> None:
        """New processes in place of the old ones."""
        await self.close()
        self.watches = [self.watch() for _ in range(number)]

    async def close(self) -> None:
        for watch in self.watches:
            await watch.close()

    async def round(self) -> None:
        """A fork, with whatever else the seed brings."""
        self.now += ROUND_TIME
        self._grow()
        self._look()
        if self.random.random() < 0.7:
            await self._watch(self.random.randint(1, 6))
        if self.random.random() < 0.4:
            await self.book()
        self.history.append(f"fork of {self.chain.fork()}")
        self._look()
        if self.random.random() < 0.15:
            await self.restart(self.random.choice([1, 1, 2]))
            self.history.append(f"{len(self.watches)} new watchers")
        if self.random.random() < 0.25:
            self.history.append("nobody watches")
            return
        self.restless = self.random.random() < 0.3
        await self._watch(self.random.randint(1, 6))
        self.restless = False

    async def settle(self) -> None:
        """Let the chain come to rest, every block final, and everybody catch up."""
        self.chain.grow(FINAL_AFTER + 1)
        for node in self.nodes:
            node.look()
        await self.restart(1)
        head = self.chain.blocks[-1]["hash"]
        for _ in range(SETTLING_MOST):
            self.now += ROUND_TIME
            await self._step(self.watches[0])
            await self.book()
            async with transaction(self.engine) as connection:
                cursor = await read_cursor(connection, chain_id=CHAIN_ID)
            assert cursor is not None
            assert cursor.halted is None, cursor.halted
            if cursor.at.hash == head and cursor.final.number == self.chain.final:
                return
        raise AssertionError(f"no rest after {SETTLING_MOST} steps: the cursor is at {cursor}")

    async def check_blocks(self) -> None:
        """What holds at every moment."""
        await Desk(self.engine).check()

    async def check_books(self) -> None:
        """Once all is final: deposits and ledger are those of the chain as it is, whatever it was before."""
        expected = [
            credit for credit in credits_of(self.chain.transfers(), ours=self.orders) if credit[2] <= self.chain.final
        ]
        rows = await Desk(self.engine).deposits()
        assert {_credit(row) for row in rows if row.status == "final"} == set(expected)
        assert len([row for row in rows if row.status == "final"]) == len(expected)
        assert {row.status for row in rows if row.block_number <= self.chain.final} <= {"final", "orphaned"}
        assert all(row.booked == row.status for row in rows)
        async with transaction(self.engine) as connection:
            found = {account: money.units for account, money in await balances(connection)}
        assert found == balances_of(expected, orders=self.orders, due=DUE, least=LEAST.units)

    async def book(self) -> None:
        """Let orders and ledger take note of all deposits that changed."""
        while await book_deposits(self.engine, least={USDC.code: LEAST}, now=self.now):
            pass

    def _grow(self) -> None:
        gap = self.random.random() < 0.15
        blocks = self.random.randint(20, EMPTY_MOST) if gap else self.random.randint(0, 6)
        if gap:
            self.chain.source.mine(blocks=blocks)
        self.chain.grow(0 if gap else blocks)
        self.history.append(f"{blocks} blocks{', empty' if gap else ''}")

    def _look(self) -> None:
        """Most nodes see the chain as it is now; one may stay behind."""
        late = self.random.randrange(NODES) if self.random.random() < 0.4 else None
        for place, node in enumerate(self.nodes):
            if place != late:
                node.look()

    def _meanwhile(self, node: FollowingNode) -> None:
        """Called before each answer: now and then the chain changes just then."""
        if self.restless and self.random.random() < 0.03:
            self.chain.fork()
            self.history.append("fork while asked")
            node.look()

    async def _watch(self, steps: int) -> None:
        for _ in range(steps):
            if self.random.random() < 0.05:
                await self._interrupted()
            else:
                await asyncio.gather(*(self._step(watch) for watch in self.watches))
        await self.check_blocks()

    async def _step(self, watch: Watch) -> None:
        try:
            progress = await watch.step()
        except NodeFault as fault:
            self.history.append(f"fault: {fault}"[:200])
        else:
            self.history.append(f"{progress.did} at {progress.cursor.number if progress.cursor else None}")

    async def _interrupted(self) -> None:
        """A process that dies in the middle of a step, and the one that comes after it."""
        task = asyncio.create_task(self._step(self.watches[0]))
        await asyncio.sleep(self.random.random() * 0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await self.restart(len(self.watches))
        self.history.append("interrupted")


def _credit(row: Any) -> Credit:
    return row.tx_hash, row.log_index, row.block_number, row.block_hash, row.address.lower(), int(row.units)


async def _orders(engine: AsyncEngine) -> dict[str, str]:
    made = await make_orders(engine, ORDERS, now=NOW, expires_at=NOW + LONG)
    async with transaction(engine) as connection:
        rows = await connection.execute(
            text("SELECT address, owner FROM deposit_addresses WHERE owner = ANY(:ids)"),
            {"ids": [order.order_id for order in made]},
        )
        return {row.address.lower(): row.owner for row in rows}
