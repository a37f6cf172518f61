"""One choice among 50 rails, and a backlog of 100,000 payouts over 50 rails assigned in one go.

    uv run python -m tests.bench.routing

The choice is one payment's, in this process. The assignment is beside OR-tools' min-cost flow alone, the relaxed problem
with all its arcs as it stands, on the same arrays in the same run; its optimum is the bound that the gap is measured from.
Rounds are interleaved, each with another backlog.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

from gateway.routing.assign import assign
from gateway.routing.transport import Backlog
from tests.bench import routing_choice
from tests.bench.backlogs import make_backlog
from tests.bench.report import report

PAYOUTS, RAILS, ROUNDS = 100_000, 50, 3
PRECISION = 1_000
"""Costs per unit are scaled by this into the integers that the flow takes."""

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def flow_alone(backlog: Backlog) -> int:
    """The relaxed optimum by OR-tools, in the unit of the costs: every payout and every rail's float is a node."""
    payouts, currencies = len(backlog.units), backlog.floats.shape[1]
    payout, rail = np.nonzero(backlog.cost >= 0)
    pots = payouts + np.arange(backlog.floats.size)
    sink, total = payouts + backlog.floats.size, int(backlog.units.sum())
    flow = SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([payout, pots]).astype(np.int32),
        np.concatenate([payouts + rail * currencies + backlog.currency[payout], np.full(len(pots), sink)]).astype(np.int32),
        np.concatenate([backlog.units[payout], np.minimum(backlog.floats.ravel(), total)]),
        np.concatenate(
            [
                np.rint(backlog.cost[payout, rail] * (PRECISION / backlog.units[payout])).astype(np.int64),
                np.zeros(len(pots), np.int64),
            ]
        ),
    )
    flow.set_nodes_supplies(
        np.append(np.arange(payouts), sink).astype(np.int32), np.append(backlog.units, -total).astype(np.int64)
    )
    assert flow.solve() == flow.OPTIMAL
    return flow.optimal_cost() // PRECISION


def main() -> None:
    ours, theirs, gaps = [], [], []
    assign(make_backlog(1_000, RAILS))  # loads OR-tools
    for seed in range(ROUNDS):
        backlog = make_backlog(PAYOUTS, RAILS, seed=seed)
        seconds, found = timed(lambda backlog=backlog: assign(backlog))  # type: ignore[misc]
        alone, bound = timed(lambda backlog=backlog: flow_alone(backlog))  # type: ignore[misc]
        assert not found.unplaced
        ours.append(seconds)
        theirs.append(alone)
        gaps.append((found.cost / bound - 1) * 100)
    choices = routing_choice.measure()
    report(
        bench="routing",
        rows={
            "us, one choice among 50 rails": choices,
            f"ms, {PAYOUTS:,} payouts over {RAILS} rails assigned": [seconds * 1e3 for seconds in ours],
            "ms, OR-tools' min-cost flow alone": [seconds * 1e3 for seconds in theirs],
        },
        ratios={
            "choice_us": round(statistics.median(choices), 1),
            "assign_to_flow": round(statistics.median(mine / alone for mine, alone in zip(ours, theirs, strict=True)), 2),
            "assign_gap_percent": round(max(gaps), 4),
        },
        floors={"flow_s": round(statistics.median(theirs), 2)},
    )


if __name__ == "__main__":
    main()
