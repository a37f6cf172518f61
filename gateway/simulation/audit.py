"""The product's own reconciliation at the end: ledger, rails' balances, rails' statements and the chain say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.watchlist import Watchlist
from gateway.clock import Clock
from gateway.offramp import Offramp
from gateway.payouts.rails import Rails
from gateway.simulation.chain import QUORUM, TERMS, SimNode
from gateway.simulation.scheduler import START, Violation
from gateway.treasury.chains import ChainSide
from gateway.treasury.reconcile import reconcile

TOLD = 5
"""Differences told of."""


async def audit(engine: AsyncEngine, *, adapters: Mapping[str, Offramp], nodes: Sequence[SimNode], clock: Clock) -> int:
    """How many places and assets were compared. Raises `Violation` if any differs, or couldn't be compared."""
    quorum = Quorum(nodes=[Node(node, name=f"node {place}") for place, node in enumerate(nodes)], quorum=QUORUM)
    side = ChainSide(terms=TERMS, quorum=quorum, watched=Watchlist(engine), wallet=None, keys=frozenset())
    try:
        report = await reconcile(engine, rails=Rails(adapters), chains=[side], clock=clock, since=START)
    finally:
        await quorum.close()
    wrong = [f"{one.kind} at {one.place}: {one.said}" for one in report.breaks]
    wrong += [f"{one.check} was not compared: {one.why}" for one in report.not_made]
    if wrong:
        raise Violation(f"the reconciliation finds {len(wrong)} differences: {'; '.join(wrong[:TOLD])}")
    return len(report.comparisons)
