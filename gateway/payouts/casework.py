"""An attempt that a person decides about: locked as whoever records news of it locks it, then read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.orders.states import S
from gateway.payouts.errors import AttemptNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCase:
    """One attempt and its order, as they stand."""

    attempt_id: str
    order_id: str
    state: S
    """The order's."""
    version: int
    """The order's."""
    adapter: str
    outcome: str
    reason: str | None
    provider_ref: str | None
    receipt: str | None
    ordered: Money
    """What the rail was told to deliver."""
    sent: Money
    """The coins that the order asked for."""
    owed: Money
    """What the recipient of an order that was paid in part has still to get."""
    sent_at: datetime
    last_sent_at: datetime
    """When it may have been sent last: again, or the one time."""
    lease_until: datetime | None
    """Until when a worker may be sending it or asking about it."""
    closed_at: datetime | None

    @property
    def standing(self) -> Mapping[str, str | int | None]:
        """What a proposal is made about. Not how often the rail was asked, nor in which words it didn't know."""
        return {
            "version": self.version,
            "outcome": self.outcome,
            "provider_ref": self.provider_ref,
            "receipt": self.receipt,
            "owed": str(self.owed.units),
        }


# As record() locks: the order, then the attempt. What is read is read after that.
_LOCK = text("""
SELECT FROM attempts AS a JOIN orders AS o ON o.id = a.order_id WHERE a.id = :attempt_id FOR UPDATE OF o, a
""")
_READ = text("""
SELECT a.*, o.state, o.version, q.send_asset, q.send_units, send.decimals AS send_decimals, s.decimals, COALESCE((
    SELECT units FROM owed_to_recipients WHERE order_id = o.id AND asset = a.deliver_asset
), 0) AS owed
FROM attempts AS a
JOIN orders AS o ON o.id = a.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS s ON s.code = a.deliver_asset
JOIN assets AS send ON send.code = q.send_asset
WHERE a.id = :attempt_id
""")


async def open_attempt(connection: AsyncConnection, *, attempt_id: str) -> AttemptCase:
    """Lock the order and its attempt, and read them. Raises `AttemptNotFound`."""
    await connection.execute(_LOCK, {"attempt_id": attempt_id})
    return await read_attempt(connection, attempt_id=attempt_id)


async def read_attempt(connection: AsyncConnection, *, attempt_id: str) -> AttemptCase:
    """The same without the lock, to be shown. Raises `AttemptNotFound`."""
    row = (await connection.execute(_READ, {"attempt_id": attempt_id})).one_or_none()
    if row is None:
        raise AttemptNotFound
    currency = Asset(row.deliver_asset, row.decimals)
    return AttemptCase(
        attempt_id=row.id,
        order_id=row.order_id,
        state=S(row.state),
        version=row.version,
        adapter=row.adapter,
        outcome=row.outcome,
        reason=row.reason,
        provider_ref=row.provider_ref,
        receipt=row.receipt,
        ordered=Money(int(row.deliver_units), currency),
        sent=Money(int(row.send_units), Asset(row.send_asset, row.send_decimals)),
        owed=Money(int(row.owed), currency),
        sent_at=row.created_at,
        last_sent_at=row.resent_at or row.created_at,
        lease_until=row.lease_until,
        closed_at=row.closed_at,
    )
