"""A backlog (a payday, an outage that is over) assigned as a whole, while the claims work it off.

When more orders are due than go in one set, all of them are assigned together (gateway.routing.assign): each order's costs
at every rail are what the policy's score says, the room is what floats and rate limits leave at this moment. What comes out
are hints: by which rail an order had best go, where that isn't the best one for the order alone. A claim takes a hint if the
rail could be taken anyway, under its locks, and does without where it couldn't; hints expire, and are made anew while there
is a backlog. The work takes seconds of a processor and is done in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.session import rows, snapshot, transaction
from gateway.money import Asset, Money
from gateway.payouts.allowances import UNTRACKED, Allowance, preview
from gateway.payouts.placing import SET
from gateway.payouts.rails import Rails
from gateway.routing.assign import assign
from gateway.routing.choose import Candidate, Case, Way, rank
from gateway.routing.scene import Scene, Scenes
from gateway.routing.transport import BOUNDLESS, NO_WAY, Backlog

log = structlog.get_logger()

MOST = 100_000
"""Orders assigned at once: the oldest ones."""
HOLDS_FOR = timedelta(minutes=5)
"""How long a hint counts. Rate limits are reckoned over it."""
AGAIN_AFTER = timedelta(minutes=1)
ANOTHER_TIER = 2
"""What a policy puts behind whatever the scores costs so many times the amount more: it is taken where nothing else is."""
NICE = 10


class Waiting(NamedTuple):
    """An order of the backlog, with what its choice depends on."""

    order_id: str
    version: int
    country: str
    method: str
    institution: str | None
    partner: str | None
    asset: str
    decimals: int
    units: int
    worth: int
    """What the sender paid, in millionths of the coin: the common measure of currencies."""

    def case(self) -> Case:
        """As a choice sees it; none of it was tried."""
        deliver = Money(self.units, Asset(self.asset, self.decimals))
        way = Way(0, self.method, self.institution)
        return Case(self.country, deliver, (way,), (), self.order_id, self.version, self.partner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything that an assignment needs, from one moment."""

    now: datetime
    scene: Scene
    orders: Sequence[Waiting]
    floats: Mapping[str, Mapping[str, int] | None]
    """By rail and asset: what may be promised; None: not tracked."""
    slots: Mapping[str, int]
    """By rail: how many payments it takes while the hints count."""


@dataclass(slots=True, kw_only=True)
class BacklogPlanner:
    """Plans while there is a backlog; a loop's step."""

    engine: AsyncEngine
    rails: Rails
    scenes: Scenes
    clock: Clock
    least: int = SET + 1
    """Orders due that are a backlog."""
    solver: Callable[[Problem], Awaitable[dict[str, str]]] | None = None
    """Who assigns; None: a process of its own."""
    planned_at: datetime | None = None

    async def step(self) -> int:
        """Plan, if there is a backlog and no fresh plan for it. Returns how many hints were left."""
        now = self.clock()
        if self.planned_at is not None and now - self.planned_at < AGAIN_AFTER:
            return 0
        scene = await self.scenes.at(self.engine, now=now)
        problem = await read_problem(self.engine, rails=self.rails, scene=scene, least=self.least, now=now)
        if problem is None:
            return 0
        self.planned_at = now
        hints = await (self.solver or solve_apart)(problem)
        async with transaction(self.engine, point="backlog.plan") as connection:
            await _leave(connection, hints, until=self.clock() + HOLDS_FOR)
        log.info("backlog_planned", orders=len(problem.orders), hints=len(hints))
        return len(hints)


_DUE = text(
    "SELECT count(*) FROM (SELECT FROM waiting_orders WHERE state = 'funded' AND due_at <= :now LIMIT :least) AS due"
)
# Those of economy lanes go together at their lane's time. What was tried before has its own rules.
_ORDERS = text("""
SELECT o.id AS order_id, o.version, q.country, q.method, r.institution, q.partner_id AS partner, q.receive_asset AS asset,
    s.decimals, q.receive_units AS units, trunc(q.send_units * 1000000 / power(CAST(10 AS numeric), c.decimals)) AS worth
FROM (SELECT order_id FROM waiting_orders WHERE state = 'funded' AND due_at <= :now AND lane NOT LIKE '%/economy'
    ORDER BY due_at LIMIT :most) AS w
JOIN orders AS o ON o.id = w.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS s ON s.code = q.receive_asset
JOIN assets AS c ON c.code = q.send_asset
JOIN recipients AS r ON r.order_id = o.id
WHERE NOT EXISTS (SELECT FROM attempts WHERE order_id = o.id)
""")
_FORGET = text("DELETE FROM backlog_hints")
_LEAVE = text("""
INSERT INTO backlog_hints (order_id, rail, until)
SELECT h.order_id, h.rail, :until FROM unnest(CAST(:orders AS text[]), CAST(:rails AS text[])) AS h (order_id, rail)
ON CONFLICT (order_id) DO UPDATE SET rail = excluded.rail, until = excluded.until
""")


async def read_problem(engine: AsyncEngine, *, rails: Rails, scene: Scene, least: int, now: datetime) -> Problem | None:
    """The backlog as it stands; None: there is none, or only one rail could pay it."""
    if len(rails) < 2:  # noqa: PLR2004 - a choice takes two
        return None
    async with snapshot(engine) as connection:
        [[due]] = await rows(connection, _DUE, {"now": now, "least": least})
        if due < least:
            return None
        found = await rows(connection, _ORDERS, {"now": now, "most": MOST})
        allowed = await preview(connection, rails=rails, now=now)
    return Problem(
        now=now,
        scene=scene,
        orders=[Waiting._make((*row[:-2], int(row.units), int(row.worth))) for row in found],
        floats={name: allowance.left for name, allowance in allowed.items()},
        slots={name: _slots(allowance, scene.capabilities[name].calls_per_s) for name, allowance in allowed.items()},
    )


def _slots(allowance: Allowance, calls_per_s: int | None) -> int:
    # A rail whose calls are only all under way says when it has room again at once; one that doesn't work says why.
    if allowance.most <= 0 and (allowance.again_at is None or not allowance.in_bulk):
        return 0
    return BOUNDLESS if calls_per_s is None else calls_per_s * int(HOLDS_FOR.total_seconds())


async def _leave(connection: AsyncConnection, hints: Mapping[str, str], *, until: datetime) -> None:
    await connection.execute(_FORGET)
    values = {"orders": list(hints), "rails": list(hints.values()), "until": until}
    await connection.execute(_LEAVE, values)


async def solve_apart(problem: Problem) -> dict[str, str]:
    """`solve`, in a process of its own that gives way to all others. Raises RuntimeError if it ends badly."""
    command = (sys.executable, "-m", __name__)
    child = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await child.communicate(pickle.dumps(problem))
    except BaseException:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        raise RuntimeError(f"assigning a backlog ended with {child.returncode}; its standard error says why")
    hints: dict[str, str] = pickle.loads(said)  # noqa: S301 - our own process wrote it
    return hints


def solve(problem: Problem) -> dict[str, str]:
    """Hints by order: the rail that it had best take, where that isn't the best one for the order alone."""
    names = list(problem.scene.capabilities)
    numbers = {name: number for number, name in enumerate(names)}
    currencies = {asset: number for number, asset in enumerate(sorted({order.asset for order in problem.orders}))}
    cost = np.full((len(problem.orders), len(names)), NO_WAY, np.int64)
    heads = []
    for number, order in enumerate(problem.orders):
        ranking = rank(order.case(), scene=problem.scene, allowances={}, now=problem.now)
        heads.append(ranking.candidates[0].rail if ranking.candidates else None)
        lowest = min((one.numbers.score for one in ranking.candidates), default=0)
        for one in reversed(ranking.candidates):
            cost[number, numbers[one.rail]] = _cost(one, ranking.candidates[0], order, lowest)
    found = assign(
        Backlog(
            units=np.array([order.units for order in problem.orders]),
            currency=np.array([currencies[order.asset] for order in problem.orders]),
            cost=cost,
            floats=np.array([[_float(problem.floats.get(name), asset) for asset in currencies] for name in names]),
            slots=np.array([problem.slots.get(name, 0) for name in names]),
        )
    )
    rails = [None if rail == NO_WAY else names[rail] for rail in found.rail.tolist()]
    return {
        order.order_id: rail
        for order, rail, head in zip(problem.orders, rails, heads, strict=True)
        if rail is not None and rail != head
    }


def _cost(one: Candidate, best: Candidate, order: Waiting, lowest: int) -> int:
    """By how much a rail's score is behind, never below nothing; and more if the policy puts it behind anyway."""
    behind = one.numbers.score - lowest + (ANOTHER_TIER * order.units if one.why != best.why else 0)
    return behind * order.worth // order.units


def _float(left: Mapping[str, int] | None, asset: str) -> int:
    units = UNTRACKED if left is None else left.get(asset, 0)
    return min(units, BOUNDLESS)


if __name__ == "__main__":
    os.nice(NICE)
    sys.stdout.buffer.write(pickle.dumps(solve(pickle.load(sys.stdin.buffer))))  # noqa: S301 - our own process wrote it
