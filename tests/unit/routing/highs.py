"""The exact optimum of a small backlog by HiGHS, in a process of its own: it can't be loaded beside OR-tools.

A backlog comes as JSON on standard input; what all payouts cost at least, each on one rail, is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIMIT_S = 20.0


def optimum(backlog: Any) -> float:
    """The least cost at which every payout is placed."""
    arrays = {name: getattr(backlog, name).tolist() for name in ("units", "currency", "cost", "floats", "slots")}
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(arrays), capture_output=True, text=True, check=True, cwd=root
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def solve(units: Any, currency: Any, cost: Any, floats: Any, slots: Any) -> float:
    import highspy

    model = highspy.Highs()
    model.silent()
    model.setOptionValue("time_limit", LIMIT_S)
    model.setOptionValue("mip_rel_gap", 1e-6)
    taken: dict[tuple[int, int], Any] = {}
    for payout, row in enumerate(cost):
        for rail, one in enumerate(row):
            if one >= 0:
                taken[payout, rail] = model.addBinary(obj=one)
    for payout in range(len(cost)):
        model.addConstr(sum(var for (one, _), var in taken.items() if one == payout) == 1)
    for rail, by_currency in enumerate(floats):
        mine = [(payout, var) for (payout, one), var in taken.items() if one == rail]
        if mine and slots[rail] < len(cost):
            model.addConstr(sum(var for _, var in mine) <= slots[rail])
        for number, left in enumerate(by_currency):
            here = [(payout, var) for payout, var in mine if currency[payout] == number]
            if here and left < sum(units):
                model.addConstr(sum(units[payout] * var for payout, var in here) <= left)
    model.run()
    return float(model.getObjectiveValue())


if __name__ == "__main__":
    print(solve(**json.load(sys.stdin)))
