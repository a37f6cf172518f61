r"""Transactions that we want sent: queued as rows, sent by a `Submitter`, looked up by the reference of whoever wanted them.

    queued -> sending -> mined -> succeeded | reverted      final by the chain's own finality, agreed by the quorum
                  \         \-> sending                    its block vanished
                   \-> displaced                           its nonce was finally used by another: it never happened
    queued -> refused                                       it can't succeed: nothing was sent, no nonce used

While a transaction is queued, sending or mined, its outcome is open, and nobody may send the same thing another way.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import wake
from gateway.errors import Refusal
from gateway.ids import new_id


class TransactionState(StrEnum):
    """Where a transaction stands."""

    QUEUED = "queued"
    """Not sent yet; `reason` says what it waits for."""
    SENDING = "sending"
    """It has a nonce and may be mined at any moment, in any form in which it was ever signed."""
    MINED = "mined"
    """In a block that can still vanish."""
    SUCCEEDED = "succeeded"
    REVERTED = "reverted"
    """Finally mined, and the contract refused: nothing happened but the fee."""
    DISPLACED = "displaced"
    """Another transaction finally has its nonce: it never happened and never will."""
    REFUSED = "refused"
    """Never sent: it would have failed."""


OPEN = frozenset({TransactionState.QUEUED, TransactionState.SENDING, TransactionState.MINED})
"""States without an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A transaction to send. `reference` is the caller's own and names it for ever."""

    chain_id: int
    sender: str
    purpose: str
    """What it is for, in a word: "sweep", "refund"."""
    reference: str
    to: str
    data: bytes
    value: int
    """Wei."""
    gas_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of it. `fee_units`: wei paid, all of them, once it is mined; `reason`: why it waits, or failed."""

    state: TransactionState
    hash: str | None
    block_number: int | None
    fee_units: int | None
    reason: str | None


class AnotherBody(Refusal):
    """A reference means one transaction for ever."""

    code = "another_transaction"

    def __init__(self, reference: str) -> None:
        super().__init__(f'"{reference}" is the reference of another transaction already; give a new one')


_QUEUE = text("""
INSERT INTO chain_transactions (id, chain_id, sender, purpose, reference, to_address, data, value, gas_limit, state, due_at,
    created_at, updated_at)
VALUES (:id, :chain_id, :sender, :purpose, :reference, :to_address, :data, :value, :gas_limit, 'queued', :now, :now, :now)
ON CONFLICT (reference) DO NOTHING
""")
_STORED = text("""
SELECT id, (chain_id, sender, purpose, to_address, data, value, gas_limit)
    = (:chain_id, :sender, :purpose, :to_address, :data, CAST(:value AS numeric), :gas_limit) AS same
FROM chain_transactions WHERE reference = :reference
""")
_TAKE_BACK = text("""
UPDATE chain_transactions SET state = 'refused', reason = :reason, due_at = NULL, updated_at = :now
WHERE reference = :reference AND state = 'queued'
""")
_RESULTS = text("""
SELECT reference, state, hash, block_number, fee_units, reason FROM chain_transactions
WHERE reference = ANY(CAST(:references AS text[]))
""")


async def queue(connection: AsyncConnection, *, wanted: Wanted, now: datetime) -> str:
    """Have it sent once this transaction commits; gives its id. No network.

    Wanted again with the same reference it is the same transaction; with another body `AnotherBody` is raised.
    """
    row = {
        "chain_id": wanted.chain_id,
        "sender": wanted.sender.lower(),
        "purpose": wanted.purpose,
        "reference": wanted.reference,
        "to_address": wanted.to.lower(),
        "data": wanted.data,
        "value": wanted.value,
        "gas_limit": wanted.gas_limit,
    }
    await connection.execute(_QUEUE, {**row, "id": new_id("ctx", now=now), "now": now})
    stored = (await connection.execute(_STORED, row)).one()
    if not stored.same:
        raise AnotherBody(wanted.reference)
    await wake(connection, "transactions")
    return str(stored.id)


async def take_back(connection: AsyncConnection, *, reference: str, reason: str, now: datetime) -> bool:
    """End what was queued and never signed. False: it has a nonce, or has ended; then it may be mined, or was."""
    done = await connection.execute(_TAKE_BACK, {"reference": reference, "reason": reason, "now": now})
    return done.rowcount == 1


async def results(connection: AsyncConnection, *, references: Collection[str]) -> dict[str, Result]:
    """What became of each; those never queued are left out."""
    rows = await connection.execute(_RESULTS, {"references": list(references)})
    return {
        row.reference: Result(
            state=TransactionState(row.state),
            hash=row.hash,
            block_number=row.block_number,
            fee_units=None if row.fee_units is None else int(row.fee_units),
            reason=row.reason,
        )
        for row in rows
    }
