"""Who gets which nonce. One row per key and chain is locked while one is given out, and compared with the chain each time.

A nonce is given for ever: its transaction is sent in one form or another until some transaction has finally used it. What
doesn't fit, a key that is used elsewhere or a nonce that nobody uses, is found by comparing rows and chain, and healed.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.accounts import Sight
from gateway.ids import new_id
from gateway.operators.incidents import Alarm, open_incidents

FILLER_GAS = 200_000
"""Gas limit of a transaction that does nothing; 21,000 on most chains, more where posting to L1 is paid in gas."""

_START = text("""
INSERT INTO chain_accounts (chain_id, address, next_nonce) VALUES (:chain_id, :address, :nonce)
ON CONFLICT (chain_id, address) DO NOTHING
""")
_LOCK = text("SELECT next_nonce FROM chain_accounts WHERE chain_id = :chain_id AND address = :address FOR UPDATE")
_NEXT_IS = text("UPDATE chain_accounts SET next_nonce = :nonce WHERE chain_id = :chain_id AND address = :address")
_TAKE = text("""
UPDATE chain_accounts SET next_nonce = next_nonce + 1 WHERE chain_id = :chain_id AND address = :address
RETURNING next_nonce - 1
""")
_LOCK_QUEUED = text("SELECT FROM chain_transactions WHERE id = :id AND state = 'queued' FOR UPDATE")
_GIVE = text("""
UPDATE chain_transactions
SET state = 'sending', nonce = :nonce, reason = NULL, stuck_at = :stuck_at, updated_at = :now
WHERE id = :id
""")
_LAST_OURS = text("""
SELECT max(nonce) FROM chain_transactions WHERE chain_id = :chain_id AND sender = :address AND nonce >= :count
""")
# Every nonce up to the last that is ours has to be used, or the chain takes none of those behind it.
_FILL = text("""
INSERT INTO chain_transactions (id, chain_id, sender, purpose, reference, to_address, data, value, gas_limit, state, nonce,
    stuck_at, due_at, created_at, updated_at)
SELECT :id || '_' || n, :chain_id, :address, 'gap', 'gap:' || CAST(:chain_id AS text) || ':' || :address || ':' || n,
    :address, '', 0, :gas, 'sending', n, :stuck_at, :now, :now, :now
FROM generate_series(CAST(:count AS bigint), CAST(:last AS bigint)) AS n
WHERE NOT EXISTS (SELECT FROM chain_transactions AS t WHERE (t.chain_id, t.sender, t.nonce) = (:chain_id, :address, n))
ON CONFLICT DO NOTHING
""")
_KNOWN = text("SELECT FROM chain_accounts WHERE chain_id = :chain_id AND address = :address")


async def is_known(connection: AsyncConnection, *, chain_id: int, address: str) -> bool:
    """Whether we have counted this key's nonces before."""
    key = {"chain_id": chain_id, "address": address}
    return (await connection.execute(_KNOWN, key)).one_or_none() is not None


async def compare(connection: AsyncConnection, *, chain_id: int, address: str, sight: Sight, now: datetime) -> None:
    """Bring the account's row to what the chain says; fill gaps; name a key that somebody else uses too."""
    key = {"chain_id": chain_id, "address": address}
    await connection.execute(_START, {**key, "nonce": sight.nonce})
    following = (await connection.execute(_LOCK, key)).scalar_one()
    if sight.nonce > following:
        await open_incidents(connection, alarms=[used_elsewhere(chain_id, address, following)], now=now)
        await connection.execute(_NEXT_IS, {**key, "nonce": sight.nonce})
    elif sight.nonce < following:
        last = (await connection.execute(_LAST_OURS, {**key, "count": sight.nonce})).scalar_one()
        if last is not None:
            fill = {"id": new_id("ctx", now=now), "gas": FILLER_GAS, "count": sight.nonce, "last": last, "now": now}
            await connection.execute(_FILL, {**key, **fill, "stuck_at": now})
        # What somebody else had used may be free again after a reorganisation.
        await connection.execute(_NEXT_IS, {**key, "nonce": sight.nonce if last is None else last + 1})


async def give_nonce(
    connection: AsyncConnection, *, chain_id: int, address: str, transaction_id: str, stuck_at: datetime, now: datetime
) -> int | None:
    """Give a queued transaction the next nonce, for ever. None: another worker has done so."""
    if (await connection.execute(_LOCK_QUEUED, {"id": transaction_id})).one_or_none() is None:
        return None
    nonce: int = (await connection.execute(_TAKE, {"chain_id": chain_id, "address": address})).scalar_one()
    await connection.execute(_GIVE, {"id": transaction_id, "nonce": nonce, "stuck_at": stuck_at, "now": now})
    return nonce


def used_elsewhere(chain_id: int, address: str, nonce: int) -> Alarm:
    """The alarm for a key that somebody else signs with too."""
    return Alarm(
        f"key_used_elsewhere:{chain_id}:{address}:{nonce}",
        "key_used_elsewhere",
        None,
        {
            "chain_id": str(chain_id),
            "address": address,
            "nonce": str(nonce),
            "meaning": "Another program signs with this key. Stop it, or move to a key of our own: each needs its own.",
        },
    )
