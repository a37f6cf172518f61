"""Scan final blocks once more: what is missing is added, what is there is compared, nothing is changed.

The watcher catches up by itself after an outage. This is for doubts: a deposit that somebody claims and nobody has seen.
It can be run again at any time, beside the watcher, and again from the start if it was interrupted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain import queries
from gateway.chain.logs import Transfer
from gateway.chain.models import Deposit
from gateway.chain.providers import Provider
from gateway.chain.quorum import Quorum
from gateway.chain.scan import Ahead, Narrowed, Vote, Wanted, final_vote
from gateway.chain.terms import ChainTerms
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.clock import Clock
from gateway.db.session import reading, transaction, wake
from gateway.errors import Refusal


class NotFinalYet(Refusal):
    """The watcher hasn't been there."""

    code = "not_final_yet"

    def __init__(self, *, last: int, final: int | None) -> None:
        known = "none has been scanned yet" if final is None else f"give --to {final} at most"
        super().__init__(f"block {last} isn't among the final blocks that the watcher has scanned; {known}")


class NoRange(Refusal):
    """The range has no block."""

    code = "no_range"

    def __init__(self, *, first: int, last: int) -> None:
        super().__init__(
            f"from block {first} to block {last} there is none; give --from 0 or more, and --to no less than that"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One scanned part of the range."""

    first: int
    last: int
    found: int
    """Deposits in the chain."""
    added: int
    """Those that were missing."""
    differences: tuple[str, ...]
    """Where our table says something else than the chain; a person has to judge."""


_KNOWN = text("""
SELECT tx_hash, log_index, block_hash, asset, sender, address, units, status, vanished_at IS NOT NULL AS vanished
FROM deposits WHERE chain_id = :chain_id AND (block_number BETWEEN :first AND :last OR (tx_hash, log_index) IN (
    SELECT * FROM unnest(CAST(:hashes AS text[]), CAST(:indexes AS integer[]))))
""")


class Backfill:
    """A scan of final blocks of one chain, by a quorum."""

    def __init__(self, *, terms: ChainTerms, quorum: Quorum, engine: AsyncEngine, clock: Clock, watched: Watchlist) -> None:
        self._terms = terms
        self._quorum = quorum
        self._engine = engine
        self._clock = clock
        self._wanted = Wanted(tokens=frozenset(terms.tokens), watched=watched)
        self._ahead = Ahead(self._vote)

    async def scan(self, *, first: int, last: int) -> AsyncIterator[Stretch]:
        """Scan blocks `first` to `last`, oldest first; each stretch has been written when it is given.

        Raises `NoRange`, `NotFinalYet`, and `NodeFault` if too few providers can be reached or agree.
        """
        if not 0 <= first <= last:
            raise NoRange(first=first, last=last)
        async with reading(self._engine) as connection:
            cursor = await queries.read_cursor(connection, chain_id=self._terms.chain_id)
        if cursor is None or cursor.final.number < last:
            raise NotFinalYet(last=last, final=cursor.final.number if cursor else None)
        if (await self._quorum.ends(beyond=last, final=last - 1)).final < last:
            raise NotFinalYet(last=last, final=cursor.final.number)
        await self._wanted.watched.refresh()
        try:
            async for stretch in self._stretches(first, last):
                yield stretch
        finally:
            await self._ahead.drop()

    async def _stretches(self, first: int, last: int) -> AsyncIterator[Stretch]:
        below: str | None = None
        refused = False
        while first <= last:
            try:
                vote = await self._ahead.next(first=first, final=last, width=self._quorum.width(everybody=refused))
            except Narrowed:
                refused = True
                await self._ahead.drop()
                continue
            if below not in (None, vote.before):
                raise NodeFault(f"block {first - 1} changed while the range was read")
            refused, below = False, vote.headers[-1].hash
            yield await self._write(vote, first)
            first = vote.headers[-1].number + 1

    async def _vote(self, first: int, last: int) -> Vote:
        async def vote(provider: Provider) -> Vote:
            await self._quorum.newest(provider, least=last)
            return await final_vote(provider.node, provider.reach, self._wanted, first=first, last=last)

        return await self._quorum.decide(vote, what=f"blocks {first} to {last}", wide=True)

    async def _write(self, vote: Vote, first: int) -> Stretch:
        last = vote.headers[-1].number
        async with transaction(self._engine) as connection:
            known = await self._known(connection, vote.transfers, first, last)
            missing = [transfer for transfer in vote.transfers if _identity(transfer) not in known]
            added = await self._add(connection, missing, vote)
            if added:
                await wake(connection, "deposits")
        found = {_identity(transfer): transfer for transfer in vote.transfers}
        return Stretch(
            first=first,
            last=last,
            found=len(vote.transfers),
            added=added,
            differences=tuple(self._differences(known, found)),
        )

    async def _known(
        self, connection: AsyncConnection, transfers: Sequence[Transfer], first: int, last: int
    ) -> dict[tuple[str, int], Row[Any]]:
        values = {"chain_id": self._terms.chain_id, "first": first, "last": last}
        keys = {"hashes": [t.tx_hash for t in transfers], "indexes": [t.log_index for t in transfers]}
        rows = await connection.execute(_KNOWN, {**values, **keys})
        return {(row.tx_hash, row.log_index): row for row in rows}

    async def _add(self, connection: AsyncConnection, transfers: Sequence[Transfer], vote: Vote) -> int:
        if not transfers:
            return 0
        now = self._clock()
        rows = [
            {
                "chain_id": self._terms.chain_id,
                "tx_hash": transfer.tx_hash,
                "log_index": transfer.log_index,
                "block_number": transfer.block_number,
                "block_hash": transfer.block_hash,
                "block_time": vote.times[transfer.block_number],
                "asset": self._terms.tokens[transfer.token].code,
                "sender": transfer.sender,
                "address": transfer.recipient,
                "units": transfer.units,
                "status": "final",
                "seen_at": now,
                "updated_at": now,
            }
            for transfer in transfers
        ]
        await connection.execute(insert(Deposit).on_conflict_do_nothing(), rows)
        return len(rows)

    def _differences(
        self, known: Mapping[tuple[str, int], Row[Any]], found: Mapping[tuple[str, int], Transfer]
    ) -> list[str]:
        told = []
        for identity, row in known.items():
            name = f"deposit {row.tx_hash} log {row.log_index}"
            transfer = found.get(identity)
            if transfer is None:
                if row.status != "orphaned" and not row.vanished:
                    told.append(f"{name} is {row.status} here and isn't in the chain")
            elif row.status != "final" or row.vanished:
                told.append(f"{name} is in the chain and {'vanished' if row.vanished else row.status} here")
            else:
                told += [
                    f"{name}: {field} is {ours} here and {theirs} in the chain"
                    for field, ours, theirs in self._fields(row, transfer)
                    if ours != theirs
                ]
        return told

    def _fields(self, row: Row[Any], transfer: Transfer) -> list[tuple[str, object, object]]:
        return [
            ("block", row.block_hash, transfer.block_hash),
            ("asset", row.asset, self._terms.tokens[transfer.token].code),
            ("sender", row.sender, transfer.sender),
            ("address", row.address, transfer.recipient),
            ("units", int(row.units), transfer.units),
        ]


def _identity(transfer: Transfer) -> tuple[str, int]:
    return transfer.tx_hash, transfer.log_index
