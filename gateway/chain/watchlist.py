"""The addresses that we watch, in memory: a million take some 200 MB, and asking whether one is ours takes no query."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.logs import ADDRESS_PADDING
from gateway.db.session import quick, transaction

CHUNK = 50_000
"""Addresses read in one statement."""

# All transactions below this number are over, so nothing that they entered can still come to light.
_OVER = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
_PAGE = text("SELECT address FROM deposit_addresses WHERE address > :after ORDER BY address LIMIT :most")
# A number above the snapshot comes from another server's backup: its rows were read at the beginning.
_NEWS = text("""
SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS over, ARRAY(
    SELECT address FROM deposit_addresses
    WHERE entered >= :since AND entered < CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)
) AS addresses
""")


class Watchlist:
    """Every deposit address in the database, as it was at the last `refresh`. One serves all chains of a process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._topics: set[str] = set()
        self._since: int | None = None
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> None:
        """Take in all addresses that have been committed until now.

        An address is committed before anybody is shown it, so before a payment to it can be mined. After a refresh, the list
        therefore has every address that is paid in a block which was known before the refresh: ask for the newest block
        first, then refresh, then ask for logs up to that block.
        """
        # Each statement sees what is committed by then: a transaction around them would only cost more round trips.
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with self._one_at_a_time, transaction(engine) as connection:
            if self._since is None:
                over: int = (await connection.execute(_OVER)).scalar_one()
                await self._read_all(connection)
            else:
                news = await quick(connection, _NEWS, {"since": self._since})
                assert news is not None
                over, addresses = news
                self._add(addresses)
            self._since = over

    def topics(self) -> AbstractSet[str]:
        """The addresses as topics of logs: 32 bytes in lower-case hex. The set itself, which grows; don't change it."""
        return self._topics

    def __contains__(self, topic: object) -> bool:
        return topic in self._topics

    def __len__(self) -> int:
        return len(self._topics)

    async def _read_all(self, connection: AsyncConnection) -> None:
        after = ""
        while page := (await connection.execute(_PAGE, {"after": after, "most": CHUNK})).scalars().all():
            self._add(page)
            after = page[-1]

    def _add(self, addresses: Iterable[str]) -> None:
        self._topics.update([ADDRESS_PADDING + address[2:] for address in addresses])
