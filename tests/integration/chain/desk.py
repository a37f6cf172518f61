"""The database of a watcher's test: rows to start from, a short way to run watchers, and what must hold after each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.models import ChainBlock, ChainCursor, Deposit, DepositAddress
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node, Transport
from gateway.chain.terms import ChainTerms
from gateway.chain.watcher import Did, Progress, Watcher
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.db.session import rows_of_all, transaction
from gateway.ledger.post import register_assets
from gateway.money import Asset

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STEPS_MOST = 500
STATE = [
    (text(f"SELECT * FROM {table} ORDER BY {key}"), {})
    for table, key in (
        ("chain_cursors", "chain_id"),
        ("chain_blocks", "chain_id, number"),
        ("deposits", "chain_id, tx_hash, log_index"),
    )
]


@dataclass
class Desk:
    """The database of one test, as its watchers see it, and its clock."""

    engine: AsyncEngine
    now: datetime = NOW

    def watcher(self, transport: Transport, terms: ChainTerms) -> Watcher:
        """A watcher that believes one node."""
        return self.watcher_of(Quorum(nodes=[Node(transport)], quorum=1), terms)

    def watcher_of(self, quorum: Quorum, terms: ChainTerms) -> Watcher:
        return Watcher(
            terms=terms, quorum=quorum, engine=self.engine, clock=lambda: self.now, watched=Watchlist(self.engine)
        )

    async def know(self, assets: Iterable[Asset], addresses: Iterable[str]) -> None:
        async with transaction(self.engine) as connection:
            await register_assets(connection, assets=assets)
            rows = [
                {"address": a, "factory": "0x", "salt": a, "owner": f"ord_{a}", "created_at": self.now} for a in addresses
            ]
            await connection.execute(insert(DepositAddress), rows)

    async def rows(self, table: type[Any]) -> Sequence[Any]:
        keys = list(table.__table__.primary_key)
        async with transaction(self.engine) as connection:
            return (await connection.execute(select(table.__table__).order_by(*keys))).all()

    async def deposits(self) -> Sequence[Any]:
        return await self.rows(Deposit)

    async def deposit(self) -> Any:
        (row,) = await self.deposits()
        return row

    async def cursor(self) -> Any:
        (row,) = await self.rows(ChainCursor)
        return row

    async def everything(self) -> list[Any]:
        """All that the chain's word has moved; not why it waits."""
        cursors = [{**row._mapping, "waiting": None} for row in await self.rows(ChainCursor)]
        return [cursors, await self.rows(ChainBlock), await self.rows(Deposit)]

    async def run(self, statement: str, **parameters: object) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(text(statement), parameters)

    async def state(self) -> State:
        """What the chain's word has moved, in one round trip: it's asked after every step of every story."""
        async with transaction(self.engine) as connection:
            cursors, blocks, deposits = await rows_of_all(connection, STATE)
        return State(cursor=next(iter(cursors), None), blocks=blocks, deposits=deposits)

    async def check(self) -> None:
        """What holds after every step: the stored blocks are all from the last final one to the cursor, and linked."""
        (await self.state()).check()


@dataclass(frozen=True)
class State:
    """The books of a chain at one moment."""

    cursor: Any
    blocks: Sequence[Any]
    deposits: Sequence[Any]

    def check(self) -> None:
        """As `Desk.check`."""
        cursor, blocks = self.cursor, self.blocks
        assert [block.number for block in blocks] == list(range(cursor.finalized_number, cursor.number + 1))
        assert (blocks[0].hash, blocks[-1].hash) == (cursor.finalized_hash, cursor.hash)
        assert all(child.parent_hash == parent.hash for parent, child in pairwise(blocks))
        stored = {block.number: block.hash for block in blocks}
        for deposit in self.deposits:
            if deposit.status == "seen":
                assert stored[deposit.block_number] == deposit.block_hash
                assert deposit.block_number > cursor.finalized_number
            if deposit.status == "final":
                assert deposit.block_number <= cursor.finalized_number


async def catch_up(watcher: Watcher) -> list[Progress]:
    """Step until there is nothing more to do for now; the last one says why."""
    steps: list[Progress] = []
    while len(steps) < STEPS_MOST:
        steps.append(await watcher.step())
        if not steps[-1].more and steps[-1].did is not Did.SCANNED:
            return steps
    pytest.fail(f"no rest after {STEPS_MOST} steps")


async def catch_up_at_last(watcher: Watcher) -> list[Progress]:
    """The same with a node that fails now and then."""
    for _ in range(STEPS_MOST):
        try:
            return await catch_up(watcher)
        except NodeFault:
            continue
    pytest.fail(f"no rest after {STEPS_MOST} faults")
