"""How much goes back per day: a stolen key or a wrong hand costs a day's limit, not the wallet."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Money
from gateway.refunds.errors import OverDailyLimit

DAY = timedelta(hours=24)

# The asset's row is the lock: refunds of one asset are ordered one after the other. NO KEY, because every row that refers to
# the asset asks for its key and needn't wait.
_LOCK = text("SELECT FROM assets WHERE code = :asset FOR NO KEY UPDATE")
# An open refund counts however old it is: its money can still leave. A failed one never left.
_GONE = text("""
SELECT COALESCE(sum(units), 0) FROM refunds
WHERE asset = :asset AND outcome <> 'failed' AND (closed_at IS NULL OR closed_at > :since)
""")


async def check_limit(connection: AsyncConnection, *, asked: Money, per_day: Money, now: datetime) -> None:
    """Refuse what would come to more than `per_day` in 24 hours, whoever else orders at the same time.

    Holds until the caller's transaction ends. Raises `OverDailyLimit`.
    """
    asset = {"asset": asked.asset.code}
    await connection.execute(_LOCK, asset)
    gone = Money(int((await connection.execute(_GONE, {**asset, "since": now - DAY})).scalar_one()), asked.asset)
    if per_day < gone + asked:
        raise OverDailyLimit(asked=asked, left=max(per_day - gone, Money(0, asked.asset)), per_day=per_day)
