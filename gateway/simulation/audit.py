"""The product's own reconciliation at the end: ledger, rails' balances, rails' statements and the chain say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.watchlist import Watchlist
from gateway.clock import Clock
from gateway.offramp import Offramp
from gateway.payouts.rails import Rails
from gateway.simulation.chain import QUORUM, TERMS, SimNode
from gateway.simulation.mistakes import Found
from gateway.simulation.scheduler import START, Violation
from gateway.treasury.chains import ChainSide
from gateway.treasury.reconcile import reconcile
from gateway.treasury.report import Report

TOLD = 5
"""Differences told of."""
BEGAN = START - timedelta(days=1)
"""From when on statements are read: a machine whose clock was behind sent before the world's first moment."""


async def audit(engine: AsyncEngine, *, adapters: Mapping[str, Offramp], nodes: Sequence[SimNode], clock: Clock) -> Report:
    """What the product says of the whole world. Raises `Violation` if anything couldn't be compared."""
    quorum = Quorum(nodes=[Node(node, name=f"node {place}") for place, node in enumerate(nodes)], quorum=QUORUM)
    side = ChainSide(terms=TERMS, quorum=quorum, watched=Watchlist(engine), wallet=None, keys=frozenset())
    try:
        report = await reconcile(engine, rails=Rails(adapters), chains=[side], clock=clock, since=BEGAN)
    finally:
        await quorum.close()
    if report.not_made:
        told = [f"{one.check} was not compared: {one.why}" for one in report.not_made]
        raise Violation(f"the reconciliation is incomplete: {'; '.join(told[:TOLD])}")
    return report


def judge(report: Report, *, expected: Found) -> None:
    """Raise `Violation` unless it finds all that is wrong, and nothing else."""
    found = {one.cause: one.kind for one in report.breaks}
    said = {one.cause: f"{one.kind} at {one.place}: {one.said}" for one in report.breaks}
    wrong = [said[cause] for cause, kind in found.items() if expected.get(cause) != kind]
    missed = [f"{kind} as {cause}" for cause, kind in expected.items() if found.get(cause) != kind]
    if wrong or missed:
        raise Violation(f"the reconciliation finds {'; '.join(wrong[:TOLD])}, and misses {'; '.join(missed[:TOLD])}")
