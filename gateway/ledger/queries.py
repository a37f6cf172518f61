"""Reads of the ledger."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money

_BALANCES = text("""
SELECT account, asset, decimals, sum(units) AS units
FROM (SELECT destination AS account, asset, units FROM postings UNION ALL SELECT source, asset, -units FROM postings) AS p
JOIN assets ON assets.code = asset
GROUP BY account, asset, decimals
HAVING sum(units) <> 0
ORDER BY account, asset
""")


async def balances(connection: AsyncConnection) -> list[tuple[str, Money]]:
    """Every account that isn't empty, from the postings themselves. Below zero: others hold it for us (chain, rail)."""
    rows = await connection.execute(_BALANCES)
    return [(row.account, Money(int(row.units), Asset(row.asset, row.decimals))) for row in rows]
