"""Rows of transactions on their way: claimed, signed, placed, decided. Every write asks again what the caller relied on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.accounts import Receipt, Sight
from gateway.chain.gas import Fees
from gateway.chain.signer import Signed
from gateway.db.session import wake
from gateway.ledger.post import Entry, Transfer, post
from gateway.money import Asset, Money

SET = 50
"""Transactions that one step looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A transaction without an outcome."""

    id: str
    reference: str
    to: str
    data: bytes
    value: int
    gas_limit: int
    state: str
    nonce: int | None
    stuck_at: datetime | None
    gone_number: int | None
    gone_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One signed form of it."""

    number: int
    hash: str
    raw: bytes
    fees: Fees
    signed_block: int


_CLAIM = text("""
UPDATE chain_transactions SET due_at = :again
WHERE id IN (
    SELECT id FROM chain_transactions WHERE chain_id = :chain_id AND sender = :sender AND due_at <= :now
    ORDER BY nonce NULLS LAST, created_at, id LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING id, reference, to_address, data, value, gas_limit, state, nonce, stuck_at, gone_number, gone_hash, created_at
""")
_SENDS = text("""
SELECT number, hash, raw, fee_per_gas, tip_per_gas, signed_block FROM chain_transaction_sends
WHERE transaction_id = :id ORDER BY number
""")
# What is signed and not mined may yet cost all of this.
_RESERVED = text("""
SELECT COALESCE(sum(t.value + t.gas_limit * s.fee_per_gas), 0) FROM chain_transactions AS t
JOIN LATERAL (SELECT max(fee_per_gas) AS fee_per_gas FROM chain_transaction_sends WHERE transaction_id = t.id) AS s ON true
WHERE t.chain_id = :chain_id AND t.sender = :sender AND t.state = 'sending'
""")
_WAIT = text(
    "UPDATE chain_transactions SET reason = :reason, updated_at = :now WHERE id = :id AND state IN ('queued', 'sending')"
)
_REFUSE = text("""
UPDATE chain_transactions SET state = 'refused', reason = :reason, due_at = NULL, updated_at = :now
WHERE id = :id AND state = 'queued'
""")
_LOCK_SENDING = text("SELECT FROM chain_transactions WHERE id = :id AND state = 'sending' AND nonce = :nonce FOR UPDATE")
_KEEP = text("""
INSERT INTO chain_transaction_sends (transaction_id, number, hash, raw, fee_per_gas, tip_per_gas, signed_at, signed_block)
VALUES (:id, :number, :hash, :raw, :fee_per_gas, :tip_per_gas, :now, :block)
ON CONFLICT DO NOTHING
""")
_STUCK_AT = text("UPDATE chain_transactions SET stuck_at = :stuck_at WHERE id = :id")
_ANEW = text("""
UPDATE chain_transactions SET state = 'queued', nonce = NULL, gone_number = NULL, gone_hash = NULL, due_at = :now
WHERE id = :id AND state = 'sending' AND NOT EXISTS (SELECT FROM chain_transaction_sends WHERE transaction_id = :id)
""")
_UNPLACE = text("""
UPDATE chain_transactions
SET state = 'sending', hash = NULL, block_number = NULL, fee_units = NULL,
    gone_number = :gone_number, gone_hash = :gone_hash, updated_at = :now
WHERE id = :id AND state IN ('sending', 'mined')
""")
_PLACE = text("""
UPDATE chain_transactions
SET state = :state, hash = :hash, block_number = :block_number, fee_units = :fee, reason = :reason, gone_number = NULL,
    gone_hash = NULL, due_at = CASE WHEN :over THEN NULL ELSE due_at END, updated_at = :now
WHERE id = :id AND state IN ('sending', 'mined')
""")
# Not `register_assets`, which reads what it may have to wait for: two workers that come first at once would fail.
_KNOW = text("INSERT INTO assets (code, decimals) VALUES (:code, :decimals) ON CONFLICT DO NOTHING")
_DISPLACE = text("""
UPDATE chain_transactions SET state = 'displaced', reason = :reason, hash = NULL, block_number = NULL, fee_units = NULL,
    due_at = NULL, updated_at = :now
WHERE id = :id AND state IN ('sending', 'mined')
""")


async def claim(connection: AsyncConnection, *, chain_id: int, sender: str, again: datetime, now: datetime) -> list[Open]:
    """Transactions to look at, by nonce, those without one last. They are due again at `again`, whatever happens to us."""
    parameters = {"chain_id": chain_id, "sender": sender, "again": again, "now": now, "most": SET}
    rows = (await connection.execute(_CLAIM, parameters)).all()
    # What an UPDATE returns has no order of its own.
    rows = sorted(rows, key=lambda row: (row.nonce is None, row.nonce or 0, row.created_at, row.id))
    return [
        Open(
            id=row.id,
            reference=row.reference,
            to=row.to_address,
            data=bytes(row.data),
            value=int(row.value),
            gas_limit=row.gas_limit,
            state=row.state,
            nonce=row.nonce,
            stuck_at=row.stuck_at,
            gone_number=row.gone_number,
            gone_hash=row.gone_hash,
        )
        for row in rows
    ]


async def read_sends(connection: AsyncConnection, *, transaction_id: str) -> list[Send]:
    """Every form that was ever signed, oldest first."""
    rows = await connection.execute(_SENDS, {"id": transaction_id})
    return [
        Send(
            number=row.number,
            hash=row.hash,
            raw=bytes(row.raw),
            fees=Fees(
                fee_per_gas=int(row.fee_per_gas), tip_per_gas=None if row.tip_per_gas is None else int(row.tip_per_gas)
            ),
            signed_block=row.signed_block,
        )
        for row in rows
    ]


async def reserved(connection: AsyncConnection, *, chain_id: int, sender: str) -> int:
    """Wei that what is under way may still cost at most."""
    return int((await connection.execute(_RESERVED, {"chain_id": chain_id, "sender": sender})).scalar_one())


async def wait(connection: AsyncConnection, *, transaction_id: str, reason: str | None, now: datetime) -> None:
    """Say what it waits for."""
    await connection.execute(_WAIT, {"id": transaction_id, "reason": reason, "now": now})


async def refuse(connection: AsyncConnection, *, transaction_id: str, reason: str, now: datetime) -> bool:
    """End what was never sent."""
    done = await connection.execute(_REFUSE, {"id": transaction_id, "reason": reason, "now": now})
    return await _told(connection, done.rowcount)


async def keep(
    connection: AsyncConnection, *, row: Open, number: int, signed: Signed, fees: Fees, block: int, now: datetime
) -> bool:
    """Keep a signed form, before it is sent. False: another worker kept one of that number; this one must not be sent."""
    if (await connection.execute(_LOCK_SENDING, {"id": row.id, "nonce": row.nonce})).one_or_none() is None:
        return False
    form = {"hash": signed.hash, "raw": signed.raw, "fee_per_gas": fees.fee_per_gas, "tip_per_gas": fees.tip_per_gas}
    kept = await connection.execute(_KEEP, {"id": row.id, "number": number, "block": block, "now": now, **form})
    return kept.rowcount == 1


async def not_stuck_before(connection: AsyncConnection, *, transaction_id: str, stuck_at: datetime) -> None:
    """It waits for another, or has just been sent: its fees stay till then."""
    await connection.execute(_STUCK_AT, {"id": transaction_id, "stuck_at": stuck_at})


async def begin_anew(connection: AsyncConnection, *, transaction_id: str, now: datetime) -> bool:
    """Back to the queue, if it was never signed: its nonce was used by another before."""
    return (await connection.execute(_ANEW, {"id": transaction_id, "now": now})).rowcount == 1


async def unplace(connection: AsyncConnection, *, row: Open, gone: Sight | None, now: datetime) -> None:
    """It is in no block (any more). `gone`: where its nonce was seen used by another."""
    if row.state == "sending" and row.gone_number is None and gone is None:
        return
    place = {"gone_number": gone and gone.number, "gone_hash": gone and gone.hash}
    await connection.execute(_UNPLACE, {"id": row.id, "now": now, **place})


async def place(
    connection: AsyncConnection, *, chain_id: int, native: Asset, row: Open, receipt: Receipt, final: bool, now: datetime
) -> bool:
    """It is in a block; at the end, if that is final. Then the gas is booked. Returns whether it is over by this."""
    state = ("succeeded" if receipt.succeeded else "reverted") if final else "mined"
    found: dict[str, object] = {"hash": receipt.hash, "block_number": receipt.block_number, "fee": receipt.fee}
    found["reason"] = None if receipt.succeeded else "it was mined, and the contract it called refused: only the fee is gone"
    done = await connection.execute(_PLACE, {"id": row.id, "state": state, "over": final, "now": now, **found})
    if not final or not await _told(connection, done.rowcount):
        return False
    await know(connection, asset=native)
    paid = Transfer("cost:gas", f"gas:{chain_id}", Money(receipt.fee, native))
    if receipt.fee:
        await post(connection, entries=[Entry(f"gas:{chain_id}:{receipt.hash}", "gas_paid", (paid,))], now=now)
    return True


async def know(connection: AsyncConnection, *, asset: Asset) -> None:
    """Make the native coin known to the ledger, if it isn't."""
    await connection.execute(_KNOW, {"code": asset.code, "decimals": asset.decimals})


async def displace(connection: AsyncConnection, *, transaction_id: str, reason: str, now: datetime) -> bool:
    """It can't happen any more. Returns whether that is news."""
    done = await connection.execute(_DISPLACE, {"id": transaction_id, "reason": reason, "now": now})
    return await _told(connection, done.rowcount)


async def _told(connection: AsyncConnection, changed: int) -> bool:
    if changed:
        await wake(connection, "transactions")
    return changed > 0


def after(now: datetime, *, seconds: float) -> datetime:
    """`seconds` after `now`."""
    return now + timedelta(seconds=seconds)
