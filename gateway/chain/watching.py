"""One chain's watch as a loop of the worker: the lease, the nodes, the announcements and the steps."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.lease import Lease
from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.terms import ChainTerms
from gateway.chain.tokens import check_tokens
from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.clock import Clock


class Watching:
    """Watches one chain while its lease is ours. `watched` may serve all chains of the process."""

    def __init__(self, *, terms: ChainTerms, engine: AsyncEngine, clock: Clock, watched: Watchlist) -> None:
        self._terms = terms
        self._engine = engine
        self._clock = clock
        self._watched = watched
        self._lease = Lease(engine=engine, chain_id=terms.chain_id, clock=clock)
        self._watcher: Watcher | None = None
        self._quorum: Quorum | None = None

    async def step(self) -> int:
        """1 if another step is due at once.

        Raises `NodeFault` if too few providers can be reached or agree, `TokenMismatch` if a token isn't as configured.
        """
        if not await self._lease.held():
            return 0
        if self._watcher is None:
            if self._quorum is None:
                # web3 takes a second to import: in a thread, so that pages and API answer meanwhile.
                self._quorum = await asyncio.to_thread(connect_all, self._terms)
            await check_tokens(self._quorum, terms=self._terms)
            self._watcher = Watcher(
                terms=self._terms, quorum=self._quorum, engine=self._engine, clock=self._clock, watched=self._watched
            )
        return int((await self._watcher.step()).more)

    async def attend(self, bell: asyncio.Event) -> None:
        """Run beside the steps: ring the bell when a new block is announced. When cancelled, leave the chain to others."""
        try:
            if self._terms.heads:
                from gateway.chain.heads import listen  # noqa: PLC0415 - aiohttp takes a while to import

                await listen(self._terms.heads, bell)
            await asyncio.Event().wait()
        finally:
            await self._close()

    async def _close(self) -> None:
        await self._lease.give_up()
        if self._watcher is not None:
            await self._watcher.close()
        if self._quorum is not None:
            await self._quorum.close()
