"""The relaxed problem of an assignment: payouts of one currency over rails with float, where a payout may be split.

It is a transportation problem in money, which OR-tools' min-cost flow solves exactly
(https://developers.google.com/optimization/flow/mincostflow). Most arcs are never used: the flow is given those that look
best at prices of float learned from a sample, its own prices show which of the others could improve it, and with those it
is solved again until none could. The answer is the same as with all arcs.

OR-tools takes 0.3 s to import, so only whoever assigns pays for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]

NO_WAY = -1
"""The cost where a rail can't pay a payout."""
BOUNDLESS = 1 << 62
"""Float that isn't tracked, slots without a limit."""
_FAR = np.int64(1) << 50
"""More than any rate or price."""
_RATES_MOST = 1 << 36
"""Rates are scaled to at most so much: the flow multiplies them by the number of nodes."""
_MONEY_MOST = 1 << 50
"""Amounts are scaled if all of them together are more."""
_UNPLACED = 4
"""Leaving a unit unplaced costs so many times what the dearest rail takes for it."""
_SAMPLE = 1_500
_ARCS = 5
"""Arcs per payout in the first round; with fewer, more rounds are needed, which cost more than the arcs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """N payouts and R rails. Costs of all payouts are in one unit, whatever it is."""

    units: Ints
    """By payout: what is delivered, in units of its currency."""
    currency: Ints
    """By payout: the number of its currency."""
    cost: Ints
    """By payout and rail: what that costs, all counted; `NO_WAY` where the rail can't pay it: not there, or not so much."""
    floats: Ints
    """By rail and currency: units that may be promised; `BOUNDLESS`: not tracked."""
    slots: Ints
    """By rail: how many payouts it takes; `BOUNDLESS`: any number."""


class Relaxed(NamedTuple):
    """The relaxed optimum: who pays what, and what float is worth."""

    rail: Ints
    """By payout: the rail that pays most of it; `NO_WAY`: none."""
    whole: Marks
    """By payout: whether that is all of it."""
    rates: Ints
    """By payout and rail: cost per unit, scaled; very much where there is no way."""
    prices: Ints
    """By rail: what a unit of its float is worth, in the same scale."""
    unplaced: int
    """The rate of money that isn't placed."""
    bound: int
    """No assignment costs less, in the units of the costs; with what is unplaced at its rate."""
    scale: int
    """Rates are the costs per unit times this."""


class _Flow(NamedTuple):
    payout: NDArray[np.intp]
    rail: NDArray[np.intp]
    units: Ints
    unplaced: Ints


def relax(*, units: Ints, cost: Ints, room: Ints) -> Relaxed:
    """The relaxed optimum of payouts of `units` over rails with `room`, all of one currency; `cost` by payout and rail."""
    ways = cost >= 0
    weight = units.astype(np.float64)[:, None]
    dearest = np.max(np.where(ways, cost / weight, 0), initial=0)
    # Fees may all be nothing: any scale will do.
    scale = max(1, int(_RATES_MOST / dearest)) if dearest else 1
    rates = np.where(ways, np.rint(np.where(ways, cost, 0) / weight * scale), _FAR).astype(np.int64)
    unplaced = max(1, int(rates.max(initial=0, where=ways))) * _UNPLACED
    size = max(1, -(-int(units.sum()) // _MONEY_MOST))
    money, space = -(-units // size), np.minimum(room, units.sum()) // size
    arcs = _first_arcs(ways, rates, money, space, unplaced)
    while True:
        flow = _solve(rates, money, space, arcs, unplaced)
        prices = _prices(np.where(arcs, rates, _FAR), flow, unplaced)
        priced = np.where(ways, rates + prices, _FAR)
        known = np.minimum(np.where(arcs, priced, _FAR).min(axis=1, initial=_FAR), unplaced)
        better = priced < known[:, None]
        if not better.any():
            break
        arcs |= better
    rail, whole = _main_share(flow, money)
    best = np.minimum(priced.min(axis=1, initial=_FAR), unplaced)
    # The dual's value at any prices is a bound; in floating point, for integers of this size don't fit.
    bound = int(np.dot(best / scale, units) - np.dot(prices / scale, np.minimum(room, units.sum())))
    return Relaxed(rail, whole, rates, prices, unplaced, bound, scale)


def _first_arcs(ways: Marks, rates: Ints, money: Ints, space: Ints, unplaced: int) -> Marks:
    """Each payout's best ways, at the prices of a sample that has its share of the room."""
    if ways.shape[1] <= _ARCS or len(money) <= _SAMPLE:
        return ways.copy()
    every = slice(None, None, len(money) // _SAMPLE)
    share = money[every].sum() / money.sum()
    sample = ways[every], rates[every], money[every], (space * share).astype(np.int64)
    flow = _solve(sample[1], sample[2], sample[3], sample[0], unplaced)
    prices = _prices(np.where(sample[0], sample[1], _FAR), flow, unplaced)
    best = np.argpartition(np.where(ways, rates + prices, _FAR), _ARCS, axis=1)[:, :_ARCS]
    arcs = np.zeros_like(ways)
    np.put_along_axis(arcs, best, values=True, axis=1)
    return arcs & ways


def _solve(rates: Ints, money: Ints, space: Ints, arcs: Marks, unplaced: int) -> _Flow:
    from ortools.graph.python.min_cost_flow import SimpleMinCostFlow  # type: ignore[import-untyped]  # noqa: PLC0415

    payouts, rails = rates.shape
    sink = payouts + rails
    payout, rail = np.nonzero(arcs)
    ends = np.arange(sink)
    flow = SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([payout, ends]).astype(np.int32),
        np.concatenate([rail + payouts, np.full(sink, sink)]).astype(np.int32),
        np.concatenate([money[payout], money, space]),
        np.concatenate([rates[payout, rail], np.full(payouts, unplaced), np.zeros(rails, np.int64)]),
    )
    flow.set_nodes_supplies(
        np.append(np.arange(payouts), sink).astype(np.int32), np.append(money, -int(money.sum())).astype(np.int64)
    )
    status = flow.solve()
    assert status == flow.OPTIMAL, status  # whatever finds no room goes unplaced, so there is a solution
    found = flow.flows(np.arange(len(payout) + payouts, dtype=np.int32))
    return _Flow(payout, rail, found[: len(payout)], found[len(payout) :])


def _prices(rates: Ints, flow: _Flow, unplaced: int) -> Ints:
    """What a unit of each rail's room is worth: the least prices at which none would rather be elsewhere.

    They are the flow's own potentials: what a unit less of room costs, by the dearest chain of moves that it leads to.
    """
    rails = rates.shape[1]
    moves = np.full((rails + 1, rails + 1), _FAR)
    for rail in range(rails):
        at = flow.payout[(flow.rail == rail) & (flow.units > 0)]
        if len(at):
            moves[rail, :rails] = np.min(rates[at] - rates[at, rail][:, None], axis=0)
            moves[rail, rails] = np.min(unplaced - rates[at, rail])
    left = np.flatnonzero(flow.unplaced > 0)
    if len(left):
        moves[rails, :rails] = np.min(rates[left] - unplaced, axis=0)
    price = np.zeros(rails + 1, np.int64)
    for _ in range(rails + 1):
        higher = np.maximum(price, (price[:, None] - moves).max(axis=0))
        higher[rails] = 0
        if np.array_equal(higher, price):
            break
        price = higher
    return price[:rails]


def _main_share(flow: _Flow, money: Ints) -> tuple[Ints, Marks]:
    rail = np.full(len(money), NO_WAY, np.int64)
    most = np.zeros(len(money), np.int64)
    used = flow.units > 0
    order = np.argsort(flow.units[used], kind="stable")
    payout = flow.payout[used][order]
    # The largest share comes last, and the last assignment stays.
    rail[payout] = flow.rail[used][order]
    most[payout] = flow.units[used][order]
    return rail, most == money
