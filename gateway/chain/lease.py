"""One watcher per chain at a time, over all processes and machines.

The lease only saves work and questions to providers. What keeps two watchers from writing over each other is that each
write compares the cursor with what its writer saw (`gateway.chain.record`): a watcher that lost its lease without noticing
can't do harm.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.db.session import transaction
from gateway.ids import new_token

TERM = timedelta(seconds=6)
"""How long a lease lasts; how long a chain stands still at most after its watcher was killed."""
RENEW_AFTER = TERM / 2
CLOCKS_APART = timedelta(minutes=1)
"""A lease that lies further ahead than this and a term comes from a clock that was set back since: its holder is gone, or
will take a new one. Waiting for it would leave the chain unwatched for as long as that clock was ahead."""

_TAKE = text("""
INSERT INTO chain_leases (chain_id, holder, until) VALUES (:chain_id, :holder, :until)
ON CONFLICT (chain_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE chain_leases.holder = excluded.holder OR chain_leases.until <= :now OR chain_leases.until > :too_far
""")
_GIVE_UP = text("DELETE FROM chain_leases WHERE chain_id = :chain_id AND holder = :holder")


class Lease:
    """This process's claim to one chain."""

    def __init__(self, *, engine: AsyncEngine, chain_id: int, clock: Clock) -> None:
        # Single statements need no transaction around them.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._chain_id = chain_id
        self._clock = clock
        self._holder = new_token()
        self._taken: datetime | None = None

    async def held(self) -> bool:
        """Whether the chain is ours to watch now. Takes the lease if it is free, renews it when half of it is over."""
        now = self._clock()
        if self._taken is not None and now - self._taken < RENEW_AFTER:
            return True
        values = {"chain_id": self._chain_id, "holder": self._holder, "until": now + TERM, "now": now}
        values["too_far"] = now + TERM + CLOCKS_APART
        async with transaction(self._engine, point="lease.take") as connection:
            taken = (await connection.execute(_TAKE, values)).rowcount == 1
        self._taken = now if taken else None
        return taken

    async def give_up(self) -> None:
        """Let another process go on at once."""
        self._taken = None
        async with transaction(self._engine, point="lease.give_up") as connection:
            await connection.execute(_GIVE_UP, {"chain_id": self._chain_id, "holder": self._holder})
