"""Transfers of our coins on a chain that the books don't know: to deposit addresses, and to or from treasury and wallet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.logs import ADDRESS_PADDING, LOG_INDEX_MOST, TRANSFER, Transfer
from gateway.chain.providers import Provider
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.scan import Narrowed, Vote, Wanted, final_vote
from gateway.chain.terms import ChainTerms
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault, data, hash32, quantity, shown

_TOPICS = 3
_WORD_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Movement:
    """One Transfer log in a final block. Addresses and hashes in lower-case hex."""

    block: int
    index: int
    tx_hash: str
    token: str
    sender: str
    recipient: str
    units: int

    @property
    def identity(self) -> str:
        """As causes name it."""
        return f"{self.tx_hash}:{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is in the chain between two blocks."""

    first: int
    last: int
    deposits: tuple[Movement, ...]
    """To deposit addresses of ours."""
    moves: tuple[Movement, ...]
    """To or from treasury and wallet; some may be deposits, too."""


class MovementScan:
    """Reads transfers of a chain's listed tokens in final blocks, by a quorum, in bounded ranges. Writes nothing."""

    def __init__(self, *, terms: ChainTerms, quorum: Quorum, watched: Watchlist, own: Collection[str]) -> None:
        """`own`: lower-case addresses of treasury and wallet."""
        self._quorum = quorum
        self._wanted = Wanted(tokens=frozenset(terms.tokens), watched=watched)
        self._tokens = sorted(terms.tokens)
        self._own = [ADDRESS_PADDING + address[2:] for address in sorted(own)]

    async def read(self, *, first: int, last: int, progress: Callable[[str], None]) -> AsyncIterator[Stretch]:
        """Blocks `first` to `last`, oldest first. Raises `NodeFault`."""
        await self._wanted.watched.refresh()
        refused, begin = False, first
        while begin <= last:
            end = min(begin + self._quorum.width(everybody=refused) - 1, last)
            try:
                vote = await self._deposits(begin, end)
                moves = await self._moves(begin, end)
            except Narrowed:
                refused = True
                continue
            refused = False
            progress(f"transfers up to block {end} of {last}")
            yield Stretch(first=begin, last=end, deposits=tuple(map(_movement, vote.transfers)), moves=moves)
            begin = end + 1

    async def _deposits(self, first: int, last: int) -> Vote:
        async def vote(provider: Provider) -> Vote:
            await self._quorum.newest(provider, least=last)
            return await final_vote(provider.node, provider.reach, self._wanted, first=first, last=last)

        return await self._quorum.decide(vote, what=f"blocks {first} to {last}", wide=True)

    async def _moves(self, first: int, last: int) -> tuple[Movement, ...]:
        where = {"fromBlock": hex(first), "toBlock": hex(last), "address": self._tokens}

        async def question(node: Node) -> tuple[str, tuple[Movement, ...]]:
            logs = [
                log
                for topics in ([TRANSFER, self._own], [TRANSFER, None, self._own])
                for log in await _logs(node, {**where, "topics": topics})
            ]
            # A node that doesn't have these blocks yet answers with nothing: its word on the last one is part of the vote.
            end = await node.header(last)
            return end.hash, _read(logs, first=first, last=last, tokens=self._tokens, own=self._own)

        _, found = await self._quorum.agreed(question)
        return found


async def _logs(node: Node, wanted: Mapping[str, object]) -> list[Any]:
    logs = await node.ask("eth_getLogs", (wanted,))
    if not isinstance(logs, list):
        raise NodeFault(f"logs should be a list, the node says {shown(logs)}")
    return logs


def _read(
    logs: Sequence[Any], *, first: int, last: int, tokens: Collection[str], own: Collection[str]
) -> tuple[Movement, ...]:
    """The transfers of `logs`, each once, without those of zero. Raises `NodeFault` for a log that nobody asked for."""
    found: dict[tuple[int, int], Movement] = {}
    for log in logs:
        move = _move(log)
        ours = {ADDRESS_PADDING + move.sender[2:], ADDRESS_PADDING + move.recipient[2:]} & set(own)
        if move.token not in tokens or not ours or not first <= move.block <= last:
            raise NodeFault(f"asked for transfers of ours in blocks {first} to {last}, the node gives {shown(log)}")
        if move.units and found.setdefault((move.block, move.index), move) != move:
            raise NodeFault(f"the node gives two logs with index {move.index} in block {move.block}")
    return tuple(sorted(found.values()))


def _move(log: Any) -> Movement:
    try:
        topics = [data(topic, "a topic") for topic in log["topics"]]
        amount = data(log["data"], "an amount")
        if len(topics) != _TOPICS or {len(word) for word in (*topics, amount)} != {_WORD_BYTES}:
            raise NodeFault(f"a transfer should have {_TOPICS} topics and an amount, the node says {shown(log)}")
        return Movement(
            block=quantity(log["blockNumber"], "a block number"),
            index=quantity(log["logIndex"], "a log's index", most=LOG_INDEX_MOST),
            tx_hash=hash32(log["transactionHash"], "a transaction"),
            token="0x" + data(log["address"], "a contract").hex(),
            sender="0x" + topics[1][12:].hex(),
            recipient="0x" + topics[2][12:].hex(),
            units=int.from_bytes(amount),
        )
    except (KeyError, TypeError):
        raise NodeFault(f"a log should be an object with topics, the node says {shown(log)}") from None


def _movement(transfer: Transfer) -> Movement:
    return Movement(
        block=transfer.block_number,
        index=transfer.log_index,
        tx_hash=transfer.tx_hash,
        token=transfer.token,
        sender=transfer.sender,
        recipient=transfer.recipient,
        units=transfer.units,
    )


_LISTED = "jsonb_to_recordset(CAST(:moves AS jsonb)) AS m (tx_hash text, log_index integer, sender text, token text)"
# Booked, or part of a transaction of ours that isn't over: then it will be booked by itself.
_KNOWN = text(f"""
SELECT m.tx_hash, m.log_index FROM {_LISTED}
WHERE EXISTS (SELECT FROM deposits AS d
    WHERE (d.chain_id, d.tx_hash, d.log_index) = (:chain_id, m.tx_hash, m.log_index) AND d.status <> 'orphaned')
OR EXISTS (SELECT FROM sweep_items AS i WHERE (i.chain_id, i.address, i.token) = (:chain_id, m.sender, m.token)
    AND i.state = 'flushed' AND i.tx_hash = m.tx_hash)
OR EXISTS (SELECT FROM refunds AS r WHERE r.chain_id = :chain_id AND r.outcome = 'paid' AND r.tx_hash = m.tx_hash)
OR EXISTS (SELECT FROM legs AS l JOIN chain_transactions AS t ON t.reference = l.id
    WHERE l.on_chain AND t.chain_id = :chain_id AND t.hash = m.tx_hash AND l.outcome IN ('sending', 'pending', 'paid'))
OR EXISTS (SELECT FROM chain_transaction_sends AS s JOIN chain_transactions AS t ON t.id = s.transaction_id
    LEFT JOIN sweeps AS w ON w.reference = t.reference LEFT JOIN refunds AS r ON r.id = t.reference
    WHERE s.hash = m.tx_hash AND t.chain_id = :chain_id
    AND (w.id IS NOT NULL AND w.closed_at IS NULL OR r.id IS NOT NULL AND r.closed_at IS NULL))
OR EXISTS (SELECT FROM journal_entries AS j WHERE j.cause IN (
    'wallet_funded\\:' || :chain_id || '\\:' || m.tx_hash, 'coins_moved\\:' || :chain_id || '\\:' || m.tx_hash,
    'booked\\:log\\:' || :chain_id || '\\:' || m.tx_hash || '\\:' || m.log_index))
""")  # noqa: S608 - composed of our own text only
_OURS = text("SELECT address FROM deposit_addresses WHERE address = ANY(CAST(:addresses AS text[]))")
_TABLE = text("""
SELECT d.tx_hash, d.log_index, d.asset, d.units, d.address, d.block_number, w.owner FROM deposits AS d
JOIN deposit_addresses AS w ON w.address = d.address
WHERE d.chain_id = :chain_id AND d.block_number BETWEEN :first AND :last AND d.status IN ('seen', 'final')
AND d.vanished_at IS NULL
""")


async def unknown_movements(
    connection: AsyncConnection, *, chain_id: int, moves: Sequence[Movement]
) -> tuple[list[Movement], set[str]]:
    """Those that neither the books nor what is under way explains; and which of their senders are deposit addresses."""
    listed = [
        {"tx_hash": move.tx_hash, "log_index": move.index, "sender": move.sender, "token": move.token} for move in moves
    ]
    rows = await connection.execute(_KNOWN, {"chain_id": chain_id, "moves": json.dumps(listed)})
    known = {(row.tx_hash, row.log_index) for row in rows}
    unknown = [move for move in moves if (move.tx_hash, move.index) not in known]
    parties = list({address for move in unknown for address in (move.sender, move.recipient)})
    return unknown, set((await connection.execute(_OURS, {"addresses": parties})).scalars())


async def deposits_not_there(
    connection: AsyncConnection, *, terms: ChainTerms, stretch: Stretch
) -> list[tuple[Row[Any], Movement | None]]:
    """Deposits of our table that a quorum doesn't have in that stretch, or has otherwise."""
    values = {"chain_id": terms.chain_id, "first": stretch.first, "last": stretch.last}
    there = {(move.tx_hash, move.index): move for move in stretch.deposits}
    found = []
    for row in await connection.execute(_TABLE, values):
        move = there.get((row.tx_hash, row.log_index))
        same = move is not None and (terms.tokens[move.token].code, move.recipient, move.units) == (
            row.asset,
            row.address,
            int(row.units),
        )
        if not same:
            found.append((row, move))
    return found
