"""What a payment's place at a rail is worth, where a rail takes fewer payments than want it.

Float and places are two resources, and a flow knows one. So prices are learned from the linear problem of a sample of the
payouts, which have their share of both: OR-tools' GLOP solves it (https://developers.google.com/optimization/lp).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.routing.transport import Backlog, Ints

_SAMPLE = 1_500
_UNPLACED = 4
"""Leaving a payout unplaced costs so many times what the dearest one costs."""


def tolls(backlog: Backlog) -> Ints:
    """By rail: what a place there is worth, in the unit of the costs."""
    from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]  # noqa: PLC0415 - it takes long to import

    sample = np.arange(0, len(backlog.units), max(1, len(backlog.units) // _SAMPLE))
    share = len(sample) / len(backlog.units)
    solver = pywraplp.Solver.CreateSolver("GLOP")
    number_of_all, units_of_all = len(backlog.units), int(backlog.units.sum())
    places = [_limit(solver, most, share, of_all=number_of_all) for most in backlog.slots.tolist()]
    floats = [[_limit(solver, most, share, of_all=units_of_all) for most in left] for left in backlog.floats.tolist()]
    dearest = max(1, int(backlog.cost.max(initial=0)))
    for payout in sample.tolist():
        once = solver.Constraint(1, 1)
        spared = solver.NumVar(0, 1, "")
        once.SetCoefficient(spared, 1)
        solver.Objective().SetCoefficient(spared, _UNPLACED)
        currency, units = int(backlog.currency[payout]), int(backlog.units[payout])
        for rail in np.flatnonzero(backlog.cost[payout] >= 0).tolist():
            left, number = backlog.floats[rail, currency].item(), backlog.slots[rail].item()
            if units > left or not number:
                continue
            taken = solver.NumVar(0, 1, "")
            once.SetCoefficient(taken, 1)
            # Everything is scaled to about one: the solver's tolerances are absolute.
            solver.Objective().SetCoefficient(taken, int(backlog.cost[payout, rail]) / dearest)
            for limit, part in ((places[rail], 1 / number), (floats[rail][currency], units / left)):
                if limit is not None:
                    limit.SetCoefficient(taken, part)
    solver.Objective().SetMinimization()
    if solver.Solve() != solver.OPTIMAL:
        # Amounts lie too far apart for it. Without tolls limits are kept all the same, only less cleverly.
        return np.zeros(len(places), np.int64)
    most = _UNPLACED * dearest
    return np.array(
        [
            0 if limit is None else min(max(0, round(-limit.dual_value() * dearest / number)), most)
            for limit, number in zip(places, backlog.slots.tolist(), strict=True)
        ],
        np.int64,
    )


def _limit(solver: Any, most: int, share: Any, *, of_all: int) -> Any:
    """A constraint on parts of what there is; None: it suffices for all, or there is nothing to share out."""
    return solver.Constraint(0, share) if 0 < most < of_all else None
