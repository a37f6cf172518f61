"""Find what the watcher can't see: other tokens and the native coin at deposit addresses of ours, on each configured chain.

A slow search behind the watcher, over final blocks only, so that nothing it finds can vanish. Coins that the registry knows,
and the native coin, go on the ledger as unallocated under their own asset. Of any other contract only its address is kept,
off the ledger: anybody can write one that claims to have sent us a million of whatever it calls itself, so neither its
amounts nor its symbol mean anything here. They can still be recovered to the treasury, if a person finds them worth it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.queries import read_cursor
from gateway.chain.quorum import Quorum
from gateway.chain.registry import registry
from gateway.chain.strays import ADDRESSES_MOST, Foreign, foreign_transfers, native_balances
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault
from gateway.clock import Clock
from gateway.db.session import reading, transaction
from gateway.desk.found import Found, alarm_missing, count_natives, keep, native_arrival
from gateway.ids import new_id
from gateway.money import Asset

RANGE_MOST = 2_000
"""Final blocks searched at once; halved when the nodes won't answer for so many."""
BALANCES = 50
"""Addresses whose native coin is counted in one step."""
RECENT = timedelta(days=45)
"""How old an order may be for its address to be searched unasked; a held one is searched however old it is."""

_START = text("""
INSERT INTO stray_cursors (chain_id, number, looked_at, updated_at) VALUES (:chain_id, :number, '', :now)
ON CONFLICT (chain_id) DO NOTHING
""")
_CURSOR = text("SELECT number, looked_at, updated_at FROM stray_cursors WHERE chain_id = :chain_id")
_MOVE = text("""
UPDATE stray_cursors SET number = :number, updated_at = :now WHERE chain_id = :chain_id AND number = :was
""")
_TURN = text("UPDATE stray_cursors SET looked_at = :looked_at WHERE chain_id = :chain_id")
# Ids sort by time, so that the primary key finds the recent ones.
_ADDRESSES = text("""
SELECT id, deposit_address FROM (
    (SELECT id, deposit_address FROM orders WHERE id >= :since AND id > :after ORDER BY id LIMIT :most)
    UNION
    (SELECT o.id, o.deposit_address FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
     WHERE w.state IN ('held', 'uncertain', 'refunding') AND w.order_id > :after ORDER BY w.order_id LIMIT :most)
) AS searched ORDER BY id LIMIT :most
""")


def known_coins(terms: ChainTerms) -> dict[str, Asset]:
    """The coins of a chain that the registry vouches for and the watcher doesn't follow, and the native one, by contract."""
    coins = {
        coin.address.lower(): Asset(f"{coin.symbol}@{terms.chain_id}", coin.decimals)
        for coin in registry().coins
        if coin.chain_id == terms.chain_id
    }
    return {address: asset for address, asset in coins.items() if address not in terms.tokens} | {NO_ADDRESS: terms.native}


class StraySearch:
    """Searches one chain, one bounded step at a time. Any number may run at once: each thing is found once."""

    def __init__(
        self,
        *,
        terms: ChainTerms,
        quorum: Quorum,
        engine: AsyncEngine,
        clock: Clock,
        known: Mapping[str, Asset] | None = None,
    ) -> None:
        self._terms = terms
        self._chain_id = terms.chain_id
        self._quorum = quorum
        self._engine = engine
        self._clock = clock
        self._known = known_coins(terms) if known is None else known
        self._range = RANGE_MOST

    async def step(self) -> int:
        """Read one range of final blocks, then count the native coin at some addresses.

        How much was done; 0: nothing is due for now. Raises `NodeFault` when too few nodes say the same; nothing moved then.
        """
        async with reading(self._engine) as connection:
            watched = await read_cursor(connection, chain_id=self._chain_id)
        if watched is None or watched.halted is not None:
            return 0
        final = watched.final.number
        return await self._read_blocks(final) + await self._count_in_turn(final)

    async def look(self, *, address: str, first: int, last: int) -> int:
        """Search one address (lower case) in final blocks from `first` to `last` now, and count its native coin at `last`.

        Returns how many things were new. Raises `NodeFault`.
        """
        await self._cursor(last)
        new = 0
        for begin in range(first, last + 1, RANGE_MOST):
            found = await self._foreign([address], first=begin, last=min(begin + RANGE_MOST - 1, last))
            new += await self._keep(found)
        return new + await self._count([address], block=last)

    async def _read_blocks(self, final: int) -> int:
        cursor = await self._cursor(final)
        if cursor.number >= final:
            return 0
        last = min(cursor.number + self._range, final)
        found: list[Found] = []
        # Recent as of the last look: after an outage no address falls out.
        oldest = min(cursor.updated_at, self._clock()) - RECENT
        try:
            async for addresses in self._addresses(since=new_id("ord", now=oldest)):
                found += await self._foreign(addresses, first=cursor.number + 1, last=last)
        except NodeFault:
            self._range = max(self._range // 2, 1)
            raise
        self._range = min(self._range + self._range // 16 + 1, RANGE_MOST)
        # What was found is kept before the cursor moves: found again, it is the same.
        await self._keep(found)
        async with transaction(self._engine, point="strays.move") as connection:
            place = {"chain_id": self._chain_id, "number": last, "was": cursor.number, "now": self._clock()}
            await connection.execute(_MOVE, place)
        moved: int = last - cursor.number
        return moved

    async def _cursor(self, final: int) -> Row[tuple[object, ...]]:
        start = self._terms.start_block
        begin = final if start is None else min(max(start - 1, 0), final)
        async with transaction(self._engine, point="strays.start") as connection:
            await connection.execute(_START, {"chain_id": self._chain_id, "number": begin, "now": self._clock()})
            return (await connection.execute(_CURSOR, {"chain_id": self._chain_id})).one()

    async def _addresses(self, *, since: str) -> AsyncIterator[list[str]]:
        after, full = "", True
        while full:
            values = {"since": since, "after": after, "most": ADDRESSES_MOST}
            async with reading(self._engine) as connection:
                rows = (await connection.execute(_ADDRESSES, values)).all()
            if rows:
                yield [row.deposit_address for row in rows]
                after = rows[-1].id
            full = len(rows) == ADDRESSES_MOST

    async def _foreign(self, addresses: Sequence[str], *, first: int, last: int) -> list[Found]:
        without = self._terms.tokens.keys()
        return [
            _found(transfer)
            for transfer in await foreign_transfers(self._quorum, to=addresses, first=first, last=last, without=without)
        ]

    async def _count_in_turn(self, final: int) -> int:
        """The next addresses in turn; at the end of all the next step begins anew."""
        cursor = await self._cursor(final)
        since = new_id("ord", now=self._clock() - RECENT)
        async with reading(self._engine) as connection:
            values = {"since": since, "after": cursor.looked_at, "most": BALANCES}
            rows = (await connection.execute(_ADDRESSES, values)).all()
        new = await self._count([row.deposit_address for row in rows], block=final)
        looked_at = rows[-1].id if len(rows) == BALANCES else ""
        async with transaction(self._engine, point="strays.turn") as connection:
            await connection.execute(_TURN, {"chain_id": self._chain_id, "looked_at": looked_at})
        return new

    async def _count(self, addresses: Sequence[str], *, block: int) -> int:
        present = await native_balances(self._quorum, of=addresses, block=block)
        async with transaction(self._engine, point="strays.count") as connection:
            counted = await count_natives(connection, chain_id=self._chain_id, present=present, block=block)
            await alarm_missing(
                connection, chain_id=self._chain_id, present=present, counted=counted, block=block, now=self._clock()
            )
            arrivals = [
                native_arrival(address=address, present=present[address], counted=known, block=block)
                for address, known in counted.items()
            ]
            found = [arrival for arrival in arrivals if arrival]
            return await keep(connection, chain_id=self._chain_id, found=found, known=self._known, now=self._clock())

    async def _keep(self, found: Sequence[Found]) -> int:
        async with transaction(self._engine, point="strays.keep") as connection:
            return await keep(connection, chain_id=self._chain_id, found=found, known=self._known, now=self._clock())


def _found(transfer: Foreign) -> Found:
    return Found(
        identity=f"{transfer.tx_hash}:{transfer.log_index}",
        address=transfer.recipient,
        token=transfer.token,
        sender=transfer.sender,
        units=transfer.units,
        block_number=transfer.block_number,
    )
