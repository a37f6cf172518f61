"""Hand ordered refunds to the chain: each becomes one transaction that the submitter sends. No network here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.transactions import queue
from gateway.db.session import transaction, wake
from gateway.ledger.freezes import frozen
from gateway.operators.incidents import Alarm, open_incidents
from gateway.refunds.errors import AssetFrozen, RefundsOff
from gateway.refunds.transfers import transfer
from gateway.refunds.wallets import Wallets

SET = 100
OVERDUE = timedelta(hours=1)
"""After so long without an outcome a person is told. We go on."""
FIRST_LOOK = timedelta(seconds=1)
LAST_LOOK = timedelta(minutes=1)

_CLAIM = text("""
SELECT * FROM refunds WHERE outcome = 'sending' AND due_at <= :now ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
""")
_SENT = text("""
UPDATE refunds AS r
SET outcome = n.outcome, wallet = n.wallet, token = n.token, note = n.note, due_at = n.due_at, updated_at = :now
FROM jsonb_to_recordset(CAST(:news AS jsonb))
    AS n (id text, outcome text, wallet text, token text, note text, due_at timestamptz)
WHERE r.id = n.id
""")


async def send_refunds(engine: AsyncEngine, *, wallets: Wallets, now: datetime) -> int:
    """Queue the transactions of one set of ordered refunds. Returns how many.

    Those whose asset is frozen or whose wallet is gone wait and say why. Any number of workers may do this at once, and a
    refund that is handed over twice is one transaction.
    """
    async with transaction(engine, point="refunds.hand_over") as connection:
        rows = (await connection.execute(_CLAIM, {"now": now, "most": SET})).all()
        if not rows:
            return 0
        halted = await frozen(connection)
        news = [await _hand_over(connection, row, wallets, halted, now=now) for row in rows]
        await connection.execute(_SENT, {"now": now, "news": json.dumps(news)})
        await open_incidents(connection, alarms=overdue(rows, now=now), now=now)
        await wake(connection, "transactions")
        return sum(item["outcome"] == "pending" for item in news)


async def _hand_over(
    connection: AsyncConnection, row: Row[tuple[Any, ...]], wallets: Wallets, halted: dict[str, str], *, now: datetime
) -> dict[str, str | None]:
    try:
        wallet, coin = wallets.usable(row.asset, halted=halted)
    except (AssetFrozen, RefundsOff) as refusal:
        due_at = next_look(row.created_at, now=now)
        return {"id": row.id, "outcome": "sending", "note": str(refusal), "due_at": due_at.isoformat()}
    wanted = transfer(refund_id=row.id, wallet=wallet, coin=coin, address=row.address, units=int(row.units))
    await queue(connection, wanted=wanted, now=now)
    token = coin.contract and coin.contract.lower()
    return {"id": row.id, "outcome": "pending", "wallet": wallet.account, "token": token, "due_at": now.isoformat()}


def next_look(ordered_at: datetime, *, now: datetime) -> datetime:
    """When to look at an open refund again: soon after it was ordered, later every minute, without end."""
    return now + min(max((now - ordered_at) / 8, FIRST_LOOK), LAST_LOOK)


def overdue(rows: Sequence[Row[tuple[Any, ...]]], *, now: datetime) -> list[Alarm]:
    """Those of open refunds that a person should look at; its owner first."""
    return [
        Alarm(f"refund:{row.id}:overdue", "refund_overdue", row.order_id, {"refund": row.id, "owner": row.owner})
        for row in rows
        if now - row.created_at > OVERDUE
    ]
