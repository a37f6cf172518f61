"""Why an order went where it went: its decisions, worked out again from what was kept; and how it stands if it waits.

A claim places its orders one after the other, and each takes room that the next ones don't find. So a decision is told by
going through its claim from the beginning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import rows
from gateway.money import Asset, Money
from gateway.payouts.allowances import Allowance, preview
from gateway.payouts.choices import allowance_of
from gateway.payouts.facts import tried_by_order, ways_by_order
from gateway.payouts.placing import ECONOMY, Room, lend
from gateway.payouts.rails import Rails
from gateway.routing.choose import Case, Pay, Ranking, Way, rank
from gateway.routing.decisions import Choices, Facts, Shelf
from gateway.routing.scene import Scene


class Ask(NamedTuple):
    """An order for which a claim chose, and what it chose. `rail` None: it was held."""

    order_id: str
    attempt_id: str | None
    case: Case
    economy: bool
    rail: str | None
    way: int
    outcome: str | None
    sent_at: datetime
    closed_at: datetime | None


class PastClaim(NamedTuple):
    """A claim as it was: its orders in their order, those that were held first."""

    at: datetime
    policy: str
    scene: Scene
    choices: Choices
    asks: tuple[Ask, ...]


class Explained(NamedTuple):
    """A decision about an order: what was known, and what was chosen. `ask` None: it isn't taken yet."""

    at: datetime
    policy: str
    deliver: Money
    ways: Sequence[Way]
    ranking: Ranking
    ask: Ask | None = None


# ruff: noqa: S608 - the statements' common parts are ours
_FACTS = """
    o.id AS order_id, o.lane, q.country, q.method, q.partner_id, q.receive_asset AS asset, q.receive_units AS units,
    s.decimals, r.institution
"""
_FROM = """
    JOIN quotes AS q ON q.id = o.quote_id
    JOIN assets AS s ON s.code = q.receive_asset
    JOIN recipients AS r ON r.order_id = o.id
"""
_DECIDED = "d.id, d.at, d.policy, d.scene_id, d.experience, d.first, d.last, d.choices"
_OF_ORDER = text(f"""
SELECT {_DECIDED} FROM attempts AS a
JOIN route_decisions AS d ON d.at = a.created_at AND a.id BETWEEN d.first AND d.last WHERE a.order_id = :order
UNION
SELECT {_DECIDED} FROM order_events AS e
JOIN route_decisions AS d ON d.at = e.at AND d.choices -> 'held' @> to_jsonb(e.order_id)
WHERE e.order_id = :order AND e.event = 'hold_placed'
ORDER BY at, id
""")
_OF_CLAIMS = """
    unnest(CAST(:ats AS timestamptz[]), CAST(:ids AS bigint[])) AS c (at, id) JOIN route_decisions AS d USING (at, id)
"""
_SENT = text(f"""
SELECT {_FACTS}, d.id AS claim, a.id AS attempt_id, a.adapter, a.way, a.outcome, a.closed_at, e.version
FROM {_OF_CLAIMS} JOIN attempts AS a ON a.id BETWEEN d.first AND d.last AND a.created_at = d.at
JOIN orders AS o ON o.id = a.order_id {_FROM}
JOIN order_events AS e ON e.order_id = a.order_id AND e.cause = 'attempt\\:' || a.id || '\\:dispatched'
ORDER BY a.id
""")
_HELD = text(f"""
SELECT {_FACTS}, d.id AS claim, NULL AS attempt_id, NULL AS adapter, 0 AS way, NULL AS outcome, NULL AS closed_at, e.version
FROM {_OF_CLAIMS} CROSS JOIN LATERAL jsonb_array_elements_text(d.choices -> 'held') AS h (order_id)
JOIN orders AS o ON o.id = h.order_id {_FROM}
JOIN order_events AS e ON e.order_id = o.id AND e.at = d.at AND e.event = 'hold_placed' AND e.cause LIKE 'no\\_rail\\:%'
ORDER BY o.id
""")
_WAITING = text(f"""
SELECT {_FACTS}, NULL AS attempt_id, NULL AS adapter, 0 AS way, NULL AS outcome, NULL AS closed_at, o.version + 1 AS version
FROM orders AS o {_FROM} WHERE o.id = :order AND o.state = 'funded'
""")


async def explain(connection: AsyncConnection, *, order_id: str, rails: Rails, shelf: Shelf) -> list[Explained]:
    """All decisions about an order, the oldest first, as far as they are still kept."""
    decisions = await rows(connection, _OF_ORDER, {"order": order_id})
    found = []
    for claim in await read_claims(connection, decisions, shelf=shelf):
        own = next((one for one in walk(claim, rails=rails, only=order_id) if one[0].order_id == order_id), None)
        if own is not None:
            ask, ranking = own
            found.append(Explained(claim.at, claim.policy, ask.case.deliver, ask.case.ways, ranking, ask))
    return found


async def foresee(
    connection: AsyncConnection, *, order_id: str, rails: Rails, scene: Scene, now: datetime
) -> Explained | None:
    """How the choice would fall now, for an order that waits for it. None: it doesn't."""
    found = await rows(connection, _WAITING, {"order": order_id})
    if not found:
        return None
    tried, ways = await tried_by_order(connection, [order_id]), await ways_by_order(connection, [order_id])
    facts = Facts(tuple(ways[order_id]), tuple(tried[order_id]))
    case = _case(found[0], facts)
    allowed = await preview(connection, rails=rails, now=now)
    ranking = rank(case, scene=scene, allowances=allowed, now=now)
    return Explained(now, scene.policy.name, case.deliver, case.ways, ranking)


async def read_claims(connection: AsyncConnection, decisions: Sequence[Any], *, shelf: Shelf) -> list[PastClaim]:
    """Claims as they were, from their rows in route_decisions."""
    values = {"ats": [row.at for row in decisions], "ids": [row.id for row in decisions]}
    chosen = defaultdict[int, list[Any]](list)
    for statement in (_HELD, _SENT):
        for row in await rows(connection, statement, values):
            chosen[row.claim].append(row)
    found = []
    for row in decisions:
        scene = await shelf.scene(connection, scene_id=row.scene_id, experience=row.experience)
        choices = msgspec.convert(row.choices, Choices)
        asks = tuple(_ask(one, choices, at=row.at) for one in chosen[row.id])
        found.append(PastClaim(row.at, row.policy, scene, choices, asks))
    return found


def _ask(row: Any, choices: Choices, *, at: datetime) -> Ask:
    return Ask(
        order_id=row.order_id,
        attempt_id=row.attempt_id,
        case=_case(row, choices.facts.get(row.order_id)),
        economy=row.lane.endswith(ECONOMY),
        rail=row.adapter,
        way=row.way,
        outcome=row.outcome,
        sent_at=at,
        closed_at=row.closed_at,
    )


def walk(
    claim: PastClaim, *, rails: Rails, scene: Scene | None = None, only: str | None = None
) -> Iterator[tuple[Ask, Ranking]]:
    """Go through a claim: what was known at each order, or at one of them.

    `scene`: another one, by whose choices room is taken instead.
    """
    known = scene or claim.scene
    room = _rooms(claim, rails=rails)
    for ask in claim.asks:
        if only not in (None, ask.order_id) and ask.rail in room:
            room[ask.rail].take(ask.case.deliver, economy=ask.economy)
            continue
        if ask.economy:
            lend(room, 1)
        planned = ask.rail if claim.choices.planned and scene is None else None
        ranking = rank(ask.case, scene=known, allowances=room, now=claim.at, preferred=planned)
        if ask.economy:
            lend(room, -1)
        yield ask, ranking
        rail = ask.rail
        if scene is not None:
            rail = ranking.choice.rail if isinstance(ranking.choice, Pay) else None
        if rail in room:
            room[rail].take(ask.case.deliver, economy=ask.economy)


def _rooms(claim: PastClaim, *, rails: Rails) -> dict[str, Room]:
    kept = claim.choices.rooms
    allowed: Mapping[str, Allowance] = {
        name: allowance_of(kept[name], known) if name in kept else Allowance()
        for name, known in claim.scene.capabilities.items()
    }
    return {name: Room(allowance, rails.get(name)) for name, allowance in allowed.items()}


def _case(row: Any, facts: Facts | None) -> Case:
    first = Way(0, row.method, row.institution)
    return Case(
        row.country,
        Money(int(row.units), Asset(row.asset, row.decimals)),
        (first, *facts.ways) if facts else (first,),
        facts.tried if facts else (),
        row.order_id,
        row.version - 1,
        row.partner_id,
    )
