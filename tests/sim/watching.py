"""Watchers as the product makes them, over nodes in memory or at URLs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.provider import GuardedProvider
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node, Transport, operator_of
from gateway.chain.terms import ChainTerms
from gateway.chain.watcher import Progress, Watcher
from gateway.chain.watchlist import Watchlist
from gateway.clock import Clock

PAUSE_S = 0.001
"""Before a retry: nobody is spared by waiting here."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A watcher and its nodes, as one process has them."""

    quorum: Quorum
    watcher: Watcher

    async def step(self) -> Progress:
        return await self.watcher.step()

    async def close(self) -> None:
        await self.watcher.close()
        await self.quorum.close()


def watch_nodes(*, nodes: Sequence[Node], terms: ChainTerms, engine: AsyncEngine, clock: Clock) -> Watch:
    quorum = Quorum(nodes=nodes, quorum=terms.quorum)
    watcher = Watcher(terms=terms, quorum=quorum, engine=engine, clock=clock, watched=Watchlist(engine))
    return Watch(quorum, watcher)


def watch_memory(*, transports: Sequence[Transport], terms: ChainTerms, engine: AsyncEngine, clock: Clock) -> Watch:
    """Each transport is another operator's."""
    nodes = [Node(transport, name=f"node {place}") for place, transport in enumerate(transports)]
    return watch_nodes(nodes=nodes, terms=terms, engine=engine, clock=clock)


def connected(terms: ChainTerms, *, patience_s: float) -> list[Node]:
    """As `connect` does, but with a patience of its own."""
    return [Node(GuardedProvider(url, timeout_s=patience_s, pause_s=PAUSE_S), name=operator_of(url)) for url in terms.rpc]


def watch_urls(*, terms: ChainTerms, engine: AsyncEngine, clock: Clock, patience_s: float = 5.0) -> Watch:
    return watch_nodes(nodes=connected(terms, patience_s=patience_s), terms=terms, engine=engine, clock=clock)
