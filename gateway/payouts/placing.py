"""Placing: which of the orders that are due go now, by which rail and which way, and what becomes of the others.

Without I/O. A set is placed order by order, and what is placed is taken out of its rail's room, so that no more are claimed
than a rail takes and its float pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, Destination, Method, Offramp, PaysInBulk
from gateway.orders.advance import Move
from gateway.orders.house import HOUSE, HOUSE_LANE
from gateway.orders.states import E
from gateway.payouts.allowances import Allowance
from gateway.payouts.rails import Rails
from gateway.pricing.drops import corridor_lane
from gateway.routing.choose import Case, Hold, Pay, Tried, Way, choose
from gateway.routing.decisions import Facts, KeptScene
from gateway.routing.scene import Scene

SET = 1_000
"""Orders sent in one go, at most: by 500 each takes a tenth more of our own time, since every set has its own questions."""
LOOK_AGAIN = timedelta(seconds=30)
"""When an order is looked at again that can't be placed now, where nobody can say when it could be."""
ECONOMY = "economy"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What one claim works with."""

    rails: Rails
    capabilities: Mapping[str, Capabilities]
    drops: Mapping[str, timedelta]
    now: datetime
    scene: Scene
    kept: KeptScene

    def due(self, lane: str) -> datetime:
        """Until when an order of a lane has to be due, to be sent now: the beginning of the last slot."""
        if lane == HOUSE_LANE:
            return _EPOCH
        every = self.drops.get(corridor_lane(lane))
        return self.now if every is None else self.now - (self.now - _EPOCH) % every


class Room:
    """What is left of a rail's allowance while a set is placed. All payments of a batch are one call."""

    __slots__ = ("again_at", "bulk", "left", "most", "places", "reason")

    def __init__(self, allowance: Allowance, adapter: Offramp | None) -> None:
        self.most = allowance.most
        self.again_at = allowance.again_at
        self.reason = allowance.reason
        self.left = None if allowance.left is None else dict(allowance.left)
        self.bulk = adapter.bulk_most if isinstance(adapter, PaysInBulk) and allowance.in_bulk else 0
        self.places = 0
        """Free ones in the batch that is being filled."""

    def fits(self, asset: str, units: int) -> bool:
        """Whether a payment of so much may go now."""
        return self.most > 0 and (self.left is None or self.left.get(asset, 0) >= units)

    def take(self, deliver: Money, *, economy: bool) -> None:
        """Take a payment that goes out of it."""
        if economy and self.places:
            self.places -= 1
        else:
            self.most -= 1
            self.places = self.bulk - 1 if economy and self.bulk else self.places
        if self.left is not None:
            self.left[deliver.asset.code] = self.left.get(deliver.asset.code, 0) - deliver.units


class Placed(msgspec.Struct, frozen=True):
    """An order, and how it goes."""

    order_id: str
    deliver: Money
    to: Destination
    rail: str
    way: int
    lane: str
    economy: bool


@dataclass(slots=True, kw_only=True)
class Plan:
    """What a claim comes to."""

    placed: list[Placed] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    later: dict[str, datetime] = field(default_factory=dict)
    """Orders that can't be placed now, while others of their lanes can: when to look again."""
    short: set[tuple[str, str]] = field(default_factory=set)
    """Rails and assets whose float is too low."""
    full: set[str] = field(default_factory=set)
    """Lanes of which no more can be placed."""
    settled: set[str] = field(default_factory=set)
    """Orders that needn't be sent: a rail had paid them after all."""
    facts: dict[str, Facts] = field(default_factory=dict)
    """Of orders that have several ways or were tried before."""
    planned: bool = False
    """Whether some of them were assigned together before (gateway.payouts.backlog)."""


def capacity(desk: Desk, room: Mapping[str, Room], plan: Plan, *, lane: str, asset: str, units: int) -> int:
    """How many orders of a lane may be claimed whose first one has so many `units`, at most a set.

    None if that one has to wait for its rails, by all of its ways, and those behind it have no others: they wait with it,
    first come, first served. But if no rail could ever pay it, it is claimed to be held.
    """
    country, code, methods, speed = lane.split("/")
    there = {
        name: corridors
        for name, known in desk.capabilities.items()
        if (corridors := [one for one in known.corridors if _serves(one, country, code, methods.split("+"))])
    }
    rails = [name for name, corridors in there.items() if any(_takes(one, units) for one in corridors)]
    if not rails:
        return SET
    plan.short.update((name, asset) for name in rails if room[name].most > 0 and not room[name].fits(asset, units))
    # Rails that can't pay so much may pay those behind it: they keep nothing from it.
    least = {name: min(one.least.units for one in corridors) for name, corridors in there.items()}
    least |= dict.fromkeys(rails, units)
    fitting = [room[name] for name, wanted in least.items() if room[name].fits(asset, wanted)]
    return min(sum(one.most * ((speed == ECONOMY and one.bulk) or 1) for one in fitting), SET)


def _serves(corridor: Corridor, country: str, code: str, methods: Sequence[str]) -> bool:
    return corridor.country == country and corridor.asset.code == code and corridor.method in methods


def _takes(corridor: Corridor, units: int) -> bool:
    return corridor.least.units <= units <= corridor.most.units and not units % corridor.step.units


def place(
    desk: Desk,
    row: Any,
    room: Mapping[str, Room],
    plan: Plan,
    *,
    tried: Sequence[Tried],
    ways: Mapping[Way, str],
) -> None:
    """Place one order that a claim has read, or say why not. `ways`: its other ways with their accounts, best first."""
    if row.lane in plan.full or row.partner_id == HOUSE:
        return
    deliver = Money(int(row.receive_units), _asset(row.receive_asset, row.decimals))
    first = _way(row.method, row.institution)
    economy = row.lane.endswith(ECONOMY)
    if economy:
        lend(room, 1)
    case = Case(row.country, deliver, (first, *ways) if ways else (first,), tried, row.id, row.version, row.partner_id)
    choice = choose(case, scene=desk.scene, allowances=room, now=desk.now, preferred=row.hint)
    if isinstance(choice, Pay):
        way, account = first, row.account
        if choice.way:
            way, account = next((way, account) for way, account in ways.items() if way.rank == choice.way)
        to = Destination(
            country=row.country,
            method=_METHODS[way.method],
            account=account,
            holder=row.name,
            institution=way.institution,
        )
        plan.placed.append(Placed(row.id, deliver, to, choice.rail, choice.way, row.lane, economy))
    elif isinstance(choice, Hold):
        cause = f"no_rail:{row.version}"
        plan.moves.append(Move(order_id=row.id, event=E.HOLD_PLACED, cause=cause, data={"reason": choice.reason}))
    elif capacity(desk, room, plan, lane=row.lane, asset=row.receive_asset, units=deliver.units):
        plan.later[row.id] = choice.again_at or desk.now + LOOK_AGAIN
    else:
        plan.full.add(row.lane)
    if economy:
        lend(room, -1)
    if isinstance(choice, Pay):
        room[choice.rail].take(deliver, economy=economy)


_METHODS = {str(method): method for method in Method}


@cache
def _asset(code: str, decimals: int) -> Asset:
    return Asset(code, decimals)


@cache
def _way(method: str, institution: str | None) -> Way:
    return Way(0, method, institution)


def lend(room: Mapping[str, Room], calls: int) -> None:
    """A batch that isn't full has room for an economy order, even if it is the last call."""
    for one in room.values():
        if one.places:
            one.most += calls
