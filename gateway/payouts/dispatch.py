"""Dispatch: claim funded orders, commit an attempt for each, send them all at once, record the answers as a set.

Orders wait in a lane per corridor, further methods and speed. Only lanes that a rail with room serves are claimed from, each
its fair share and the oldest first: a rail that is full, too slow or broken keeps nobody else's orders waiting, however long
its queue is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.clock import Clock
from gateway.db.faults import again, passes
from gateway.db.session import reading, rows, rows_of_all, transaction, tuples
from gateway.db.sets import column, split
from gateway.ids import new_ids
from gateway.ledger.freezes import OPEN_FREEZES
from gateway.offramp import Capabilities, Instruction
from gateway.operators.incidents import Alarm, open_incidents
from gateway.orders.advance import TABLE, advance, stepping
from gateway.orders.depegged import STOPPED_COINS, depegged_among, hold_depegged
from gateway.orders.funding import hold_frozen
from gateway.orders.states import E
from gateway.payouts.allowances import Allowance, FloatTaken, allowances, confirm, take, tell_low_float
from gateway.payouts.batches import open_batches
from gateway.payouts.breakers import note
from gateway.payouts.choices import choices_of, span_of
from gateway.payouts.facts import tried_by_order, ways_by_order
from gateway.payouts.health import judge
from gateway.payouts.holds import hold_by_hand, take_stops
from gateway.payouts.pace import lease_until
from gateway.payouts.placing import SET, Desk, Plan, Room, capacity, place
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, record, settle_late
from gateway.payouts.send import Claimed, send_all
from gateway.routing.choose import Tried
from gateway.routing.decisions import Facts, Keeper, keep
from gateway.routing.scene import Scene, Scenes

log = structlog.get_logger()

FAILURES_ALARMING = 6
"""Failed attempts after which a person is told (some five minutes of waiting in all). We go on trying."""
PARKED_FOR = timedelta(hours=1)
"""When an order is tried again that the database refused to dispatch."""


async def dispatch(
    engine: AsyncEngine,
    *,
    rails: Rails,
    clock: Clock,
    drops: Mapping[str, timedelta] | None = None,
    scenes: Scenes | None = None,
    keeper: Keeper | None = None,
) -> int:
    """Send one set of orders that are due. Returns how many orders it moved.

    `drops`: how long the slots of economy lanes are ("KE/KES/mobile_money/economy"). Slots begin at multiples of that since
    1970 UTC; an order goes with the first one that begins when it is due, together with all the others of its rail.
    `keeper`: the process's own, which knows what is kept already.
    """
    now = clock()
    scene = await scenes.at(engine, now=now) if scenes else Scene(capabilities=rails.capabilities)
    kept = await (keeper or Keeper()).kept(engine, scene=scene, now=now)
    desk = Desk(rails=rails, capabilities=scene.capabilities, drops=drops or {}, now=now, scene=scene, kept=kept)
    try:
        try:
            moved, claimed = await _claim(engine, desk, alone=False)
        except FloatTaken:
            moved, claimed = await _claim(engine, desk)
    except Exception as error:
        if passes(error):
            raise
        log.exception("set_not_dispatched")
        moved, claimed = await _claim_one_by_one(engine, desk)
    async with aclosing(send_all(claimed, rails=rails, clock=clock)) as answers:
        rail_of = {item.instruction.attempt_id: item.adapter for item in claimed}
        async for news in answers:
            await _settle(engine, news, rail_of=rail_of, capabilities=desk.capabilities, clock=clock)
    return moved


# Who waits stands in waiting_orders, which follows the orders; what is locked, and judged once more, is the order.
# Each lane's oldest order; a lane costs one look into the index, however many wait in it.
_LANES = text("""
WITH RECURSIVE oldest AS (
    (SELECT lane, due_at, order_id FROM waiting_orders WHERE state = 'funded' ORDER BY lane, due_at LIMIT 1)
    UNION ALL
    SELECT n.* FROM oldest AS l CROSS JOIN LATERAL (
        SELECT lane, due_at, order_id FROM waiting_orders WHERE state = 'funded' AND lane > l.lane
        ORDER BY lane, due_at LIMIT 1
    ) AS n
)
SELECT l.lane, l.due_at, q.receive_asset, q.receive_units
FROM oldest AS l JOIN orders AS o ON o.id = l.order_id JOIN quotes AS q ON q.id = o.quote_id
""")
_LOCK = text("""
SELECT o.* FROM unnest(CAST(:lanes AS text[]), CAST(:due AS timestamptz[]), CAST(:most AS integer[])) AS l (lane, due, most)
CROSS JOIN LATERAL (
    SELECT o.id, o.version, o.quote_id, o.lane FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
    WHERE w.state = 'funded' AND w.lane = l.lane AND w.due_at <= l.due AND o.state = 'funded' AND o.due_at <= l.due
    ORDER BY w.due_at LIMIT l.most FOR UPDATE OF o SKIP LOCKED
) AS o
""")
_LOCK_ONE = text("""
SELECT id, version, quote_id, lane FROM orders WHERE id = :id AND state = 'funded' AND due_at <= :now FOR UPDATE SKIP LOCKED
""")
_READ = text("""
SELECT o.id, o.version, o.lane, q.partner_id, q.send_asset, q.receive_units, q.receive_asset, s.decimals, q.country,
    q.method, r.name, r.account, r.institution, EXISTS (SELECT FROM attempts WHERE order_id = o.id) AS tried,
    EXISTS (SELECT FROM recipient_ways WHERE order_id = o.id) AS ways,
    (SELECT rail FROM backlog_hints WHERE order_id = o.id AND until > :now) AS hint
FROM unnest(string_to_array(:ids, ','), CAST(string_to_array(:versions, ',') AS integer[]), string_to_array(:quotes, ','),
    string_to_array(:lanes, ',')) WITH ORDINALITY AS o (id, version, quote_id, lane, number)
JOIN quotes AS q ON q.id = o.quote_id
JOIN assets AS s ON s.code = q.receive_asset
JOIN recipients AS r ON r.order_id = o.id
ORDER BY o.number
""")
_OPEN = stepping(
    f"""
    opened AS (
        INSERT INTO attempts (id, order_id, adapter, deliver_asset, deliver_units, way, batch_id, outcome, evidence, asks,
            due_at, lease_token, lease_until, created_at, updated_at)
        SELECT id, order_id, adapter, asset, units, way, batch_id, 'sending', '{{}}', 0, until, nextval('lease_tokens'),
            until, :now, :now
        FROM unnest({split("ids")}, {split("orders")}, {split("adapters")}, {split("assets")},
            CAST({split("units")} AS numeric[]), CAST({split("ways")} AS smallint[]), {split("batches")})
            AS a (id, order_id, adapter, asset, units, way, batch_id)
        JOIN unnest(CAST(:rails AS text[]), CAST(:ends AS timestamptz[])) AS r (rail, until) ON r.rail = a.adapter
        RETURNING *
    ), news AS (
        SELECT a.id AS attempt, a.lease_token AS lease, a.order_id, '{E.DISPATCHED}' AS event,
            'attempt\\:' || a.id || '\\:dispatched' AS cause,
            jsonb_build_object('attempt', a.id, 'adapter', a.adapter) AS data, NULL\\:\\:timestamptz AS due_at,
            o.state, o.version, o.quote_id
        FROM opened AS a JOIN orders AS o ON o.id = a.order_id
    )
    """,  # noqa: S608 - composed of constants only
    told="attempt, lease",
)


async def _claim(
    engine: AsyncEngine, desk: Desk, *, only: str | None = None, alone: bool = True
) -> tuple[int, list[Claimed]]:
    """Commit attempts for a set of orders, or for a single one. How many orders moved, and what to send.

    Not `alone`, it may go beside others for the same rails. Raises `FloatTaken` then if they took its float.
    """
    async with transaction(engine, point="dispatch.claim") as connection:
        allowed = await allowances(connection, rails=desk.rails, now=desk.now, alone=alone)
        room = {name: Room(allowance, desk.rails[name]) for name, allowance in allowed.items()}
        plan = Plan()
        if only is None:
            locked = await _lock(connection, desk, room, plan)
        else:
            locked = await tuples(connection, _LOCK_ONE, {"id": only, "now": desk.now})
        if locked:
            await _place_all(connection, desk, locked, room, plan)
        choices = choices_of(plan, allowed)
        claimed = await _open_attempts(connection, desk, plan, allowed)
        said = 0
        if claimed or choices.held:
            said = await keep(connection, kept=desk.kept, choices=choices, span=span_of(claimed), now=desk.now)
        await advance(connection, moves=plan.moves, now=desk.now, locked=True)
        if plan.later:
            await connection.execute(_LATER, {"ids": list(plan.later), "due": list(plan.later.values())})
        # Last, and before anything else that others may wait for: whoever waits for this lock waits for the commit only.
        await confirm(connection, names={item.rail for item in plan.placed if allowed[item.rail].unconfirmed})
        await tell_low_float(connection, short=plan.short, now=desk.now)
    desk.kept.committed(said)
    return len(claimed) + len(plan.moves) + len(plan.settled), claimed


async def _lock(connection: AsyncConnection, desk: Desk, room: Mapping[str, Room], plan: Plan) -> Sequence[tuple[Any, ...]]:
    """Ids, versions, quotes and lanes of orders that this claim alone has now."""
    due = [row for row in await rows(connection, _LANES, {}) if row.due_at is not None and row.due_at <= desk.due(row.lane)]
    most = {
        row.lane: capacity(desk, room, plan, lane=row.lane, asset=row.receive_asset, units=int(row.receive_units))
        for row in due
    }
    lanes = [lane for lane, number in most.items() if number]
    if not lanes:
        return []
    share = max(SET // len(lanes), 1)
    parameters = {
        "lanes": lanes,
        "due": [desk.due(lane) for lane in lanes],
        "most": [min(most[lane], share) for lane in lanes],
    }
    return await tuples(connection, _LOCK, parameters)


async def _place_all(
    connection: AsyncConnection, desk: Desk, locked: Sequence[tuple[Any, ...]], room: Mapping[str, Room], plan: Plan
) -> None:
    ids, versions, quotes, lanes = zip(*locked, strict=True)
    parameters = {
        "ids": ",".join(ids),
        "versions": ",".join(map(str, versions)),
        "quotes": ",".join(quotes),
        "lanes": ",".join(lanes),
        "now": desk.now,
    }
    found = await rows(connection, _READ, parameters)
    freezes, stopped = await rows_of_all(connection, [(OPEN_FREEZES, {}), (STOPPED_COINS, {})])
    stuck, halted = {row.asset for row in freezes}, {row.symbol for row in stopped}
    suspects = [row.id for row in found if row.send_asset.partition("@")[0] in halted] if halted else []
    depegged = await depegged_among(connection, ids=suspects) if suspects else frozenset()
    tried = await tried_by_order(connection, [row.id for row in found if row.tried])
    plan.settled.update(await settle_late(connection, order_ids=list(tried), now=desk.now))
    stops = await take_stops(connection, order_ids=list(tried))
    ways = await ways_by_order(connection, [row.id for row in found if row.ways])
    alarms = [_delayed(row, tried[row.id]) for row in found if row.tried and len(tried[row.id]) == FAILURES_ALARMING]
    await open_incidents(connection, alarms=alarms, now=desk.now)
    plan.facts = {
        row.id: Facts(tuple(ways.get(row.id, ())), tuple(tried.get(row.id, ()))) for row in found if row.tried or row.ways
    }
    plan.planned = any(row.hint for row in found)
    for row in found:
        if row.id in plan.settled:
            continue
        if row.send_asset in stuck:
            plan.moves.append(hold_frozen(row.id, cause=f"frozen:{row.version}"))
        elif row.id in depegged:
            plan.moves.append(hold_depegged(row.id, version=row.version))
        elif row.id in stops:
            plan.moves.append(hold_by_hand(row.id, version=row.version, operator=stops[row.id]))
        else:
            place(desk, row, room, plan, tried=tried.get(row.id, ()), ways=ways.get(row.id, {}))


def _delayed(row: Any, tried: Sequence[Tried]) -> Alarm:
    detail = {"last_rail": tried[-1].rail, "fault": str(tried[-1].fault)}
    return Alarm(f"order:{row.id}:delayed", "payout_delayed", row.id, detail)


async def _open_attempts(
    connection: AsyncConnection, desk: Desk, plan: Plan, allowed: Mapping[str, Allowance]
) -> list[Claimed]:
    if not plan.placed:
        return []
    now = desk.now
    until = {name: lease_until(desk.capabilities[name], now=now) for name in {item.rail for item in plan.placed}}
    economy = [item for item in plan.placed if item.economy]
    slots = [(item.rail, desk.due(item.lane)) for item in economy]
    opened = await open_batches(connection, economy=slots, rails=desk.rails, allowances=allowed, now=now) if slots else []
    batches = dict(zip((item.order_id for item in economy), opened, strict=True))
    ids = new_ids("att", number=len(plan.placed), now=now)
    values = {
        **TABLE,
        "now": now,
        "rails": list(until),
        "ends": list(until.values()),
        "ids": column(ids),
        "orders": column([item.order_id for item in plan.placed]),
        "adapters": column([item.rail for item in plan.placed]),
        "assets": column([item.deliver.asset.code for item in plan.placed]),
        "units": column([str(item.deliver.units) for item in plan.placed]),
        "ways": column([str(item.way) for item in plan.placed]),
        "batches": column([batches.get(item.order_id) for item in plan.placed]),
    }
    leases: dict[str, int] = dict(await tuples(connection, _OPEN, values))
    await take(connection, counts=_calls(plan, batches, allowed), now=now)
    return [
        Claimed(
            adapter=item.rail,
            order_id=item.order_id,
            instruction=Instruction(attempt_id=attempt_id, deliver=item.deliver, to=item.to),
            lease=leases[attempt_id],
            until=until[item.rail],
            batch_id=batches.get(item.order_id),
        )
        for attempt_id, item in zip(ids, plan.placed, strict=True)
    ]


def _calls(plan: Plan, batches: Mapping[str, str | None], allowed: Mapping[str, Allowance]) -> dict[str, int]:
    """Calls by paced rail: a batch is one."""
    calls: dict[str, set[str]] = {}
    for item in plan.placed:
        if allowed[item.rail].paced:
            calls.setdefault(item.rail, set()).add(batches.get(item.order_id) or item.order_id)
    return {name: len(found) for name, found in calls.items()}


async def _settle(
    engine: AsyncEngine,
    news: Sequence[News],
    *,
    rail_of: Mapping[str, str],
    capabilities: Mapping[str, Capabilities],
    clock: Clock,
) -> None:
    """Record answers as a set. One that the database refuses goes to a person, and keeps none of the others."""

    async def write(items: Sequence[News]) -> None:
        now = clock()
        seen = [judge(rail_of[item.attempt_id], item.report) for item in items]
        async with transaction(engine, point="dispatch.record") as connection:
            await record(connection, news=items, now=now, capabilities=capabilities)
            await note(connection, seen=[one for one in seen if one], now=now)

    try:
        await again(partial(write, news))
    except Exception as error:
        if passes(error):
            raise
        log.exception("answers_not_recorded", number=len(news))
    else:
        return
    for item in news:
        try:
            await again(partial(write, [item]))
        except Exception as error:
            if passes(error):
                raise
            # The attempt stays open: its rail is asked about it when the lease has run out.
            detail = {"attempt": item.attempt_id, "says": item.report.outcome, "error": type(error).__name__}
            alarm = Alarm(f"attempt:{item.attempt_id}:unrecordable", "answer_not_recorded", None, detail)
            async with transaction(engine, point="dispatch.tell") as connection:
                await open_incidents(connection, alarms=[alarm], now=clock())


_WAITING = text("""
SELECT order_id AS id FROM waiting_orders WHERE state = 'funded' AND due_at <= :now ORDER BY due_at LIMIT :most
""")
_LATER = text("""
UPDATE orders AS o SET due_at = n.due_at
FROM unnest(CAST(:ids AS text[]), CAST(:due AS timestamptz[])) AS n (id, due_at) WHERE o.id = n.id AND o.state IN ('funded')
""")
_PARK = text("UPDATE orders SET due_at = :later WHERE id = :id AND state IN ('funded') RETURNING id")


async def _claim_one_by_one(engine: AsyncEngine, desk: Desk) -> tuple[int, list[Claimed]]:
    """After a set failed as a whole: each order alone. Those that can't be dispatched are put aside for a person."""
    async with reading(engine) as connection:
        ids = (await connection.execute(_WAITING, {"now": desk.now, "most": SET})).scalars().all()
    moved, claimed = 0, []
    for order_id in ids:
        try:
            one, found = await _claim(engine, desk, only=order_id)
        except Exception as error:
            if passes(error):
                raise
            log.exception("order_parked", order=order_id)
            await _park(engine, desk, order_id, error)
        else:
            moved += one
            claimed += found
    return moved, claimed


async def _park(engine: AsyncEngine, desk: Desk, order_id: str, error: Exception) -> None:
    alarm = Alarm(f"order:{order_id}:parked", "payout_parked", order_id, {"error": type(error).__name__})
    async with transaction(engine, point="dispatch.park") as connection:
        later = {"id": order_id, "later": desk.now + PARKED_FOR}
        if (await connection.execute(_PARK, later)).one_or_none() is not None:
            await open_incidents(connection, alarms=[alarm], now=desk.now)
