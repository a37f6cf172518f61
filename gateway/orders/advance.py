"""The only writer of an order's state: one statement moves a whole set of orders along the table.

It may begin with what the moves come from (`stepping`): what pays an order is written, and the order moves, at once.

In that statement: the new state, and the step's own row: event, cause, what it posts in the ledger, news for the outside. A
cause that has acted before changes nothing, whichever worker repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum, auto
from typing import Any

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import tuples
from gateway.db.sets import column, split
from gateway.orders.duties import seconds_within
from gateway.orders.postings import postings_sql
from gateway.orders.states import ECHOES, STEPS, E, P, S


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one order.

    `due_at`: when somebody has to look at the order next, if it takes the step; None: when its new state's duty says.
    """

    order_id: str
    event: E
    cause: str
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    due_at: datetime | None = None


class Verdict(StrEnum):
    """What became of a move."""

    STEPPED = auto()
    REPLAYED = auto()  # the cause has acted before
    ECHOED = auto()  # old news: nothing to change
    ILLEGAL = auto()  # the table doesn't know it: an incident was opened, nothing else was written


class Advanced(msgspec.Struct, frozen=True):
    """A move and its verdict. `state` is where the order stood before."""

    move: Move
    verdict: Verdict
    state: S


class UnknownOrder(Exception):
    """A move names an order that doesn't exist: our bug."""


_LOCK = text(
    "SELECT count(*) FROM (SELECT FROM orders WHERE id = ANY(string_to_array(:ids, ',')) ORDER BY id FOR UPDATE) AS locked"
)


def stepping(before: str, *, told: str, replayed: str = "false") -> TextClause:
    """A statement in which orders take steps; only this module's decides what that is.

    `before`: common table expressions, the last of them `news`: order_id, event, cause, data and due_at of moves, at most
    one per order, and the order's state, version and quote_id as its lock, which the transaction holds, found them. `told`:
    what the statement selects of `news`, of next and of verdict. `replayed`: SQL whether the move d's cause has acted on its
    order before; false where it is of something that the same transaction has made or changed (the database refuses the
    whole set if it has after all). Its parameters, but for those of `before`: `TABLE` and `now`.

    If it waits for the lock itself, and whoever had it gave the order a quote that is younger than the statement, the
    database refuses the set: the event has no state that it came from.
    """
    sql = f"""
WITH {before}, judged AS MATERIALIZED (
    SELECT d.*, t.next, t.posting, t.within,
        CASE WHEN {replayed} THEN 'replayed'
             WHEN t.next IS NOT NULL THEN 'stepped'
             WHEN t.state IS NOT NULL THEN 'echoed'
             ELSE 'illegal' END AS verdict
    FROM news AS d
    LEFT JOIN jsonb_to_recordset(CAST(:steps AS jsonb)) AS t
        (state text, event text, next text, posting text, within integer) ON t.state = d.state AND t.event = d.event
), moved AS (
    UPDATE orders AS o SET state = j.next, version = o.version + 1, updated_at = :now,
        due_at = COALESCE(j.due_at, :now + j.within * interval '1 second')
    FROM judged AS j WHERE o.id = j.order_id AND j.verdict = 'stepped'
), logged AS (
    INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at, template, postings)
    SELECT d.order_id, d.version + 1, d.event, CASE WHEN d.id = d.quote_id THEN d.state END, d.next, d.cause, d.data, :now,
        NULLIF(d.posting, '{P.NONE}'), {postings_sql()}
    FROM (SELECT j.*, q.* FROM judged AS j LEFT JOIN quotes AS q ON q.id = j.quote_id WHERE j.verdict = 'stepped') AS d
), alarmed AS (
    INSERT INTO incidents (cause, kind, order_id, detail, opened_at)
    SELECT 'order:' || order_id || ':' || cause, 'illegal_step', order_id,
        jsonb_build_object('state', state, 'event', event, 'data', data), :now
    FROM judged WHERE verdict = 'illegal'
    ON CONFLICT (cause) DO NOTHING
)
SELECT {told} FROM judged
"""  # noqa: S608 - composed of our own tables only
    return text(" ".join(sql.split()))


_STEP = stepping(
    f"""
    input AS MATERIALIZED (
        SELECT * FROM unnest({split("ids")}, {split("events")}, {split("causes")}, CAST({split("data")} AS jsonb[]),
            CAST({split("due")} AS timestamptz[])) AS i (order_id, event, cause, data, due_at)
    ), news AS (
        SELECT i.*, o.state, o.version, o.quote_id FROM input AS i JOIN orders AS o ON o.id = i.order_id
    )
    """,  # noqa: S608 - composed of constants only
    told="order_id, verdict, state",
    replayed="EXISTS (SELECT FROM order_events AS e WHERE e.order_id = d.order_id AND e.cause = d.cause)",
)


def _steps() -> list[dict[str, object]]:
    steps = [step._asdict() | {"within": seconds_within(step.next)} for step in STEPS]
    return [*steps, *({"state": state, "event": event} for state, event in sorted(ECHOES))]


_VERDICTS = {str(verdict): verdict for verdict in Verdict}
_STATES = {str(state): state for state in S}
TABLE = {"steps": json.dumps(_steps())}
"""The table of steps, as every statement of `stepping` takes it."""
_encode = msgspec.json.Encoder().encode


async def advance(
    connection: AsyncConnection, *, moves: Sequence[Move], now: datetime, locked: bool = False
) -> list[Advanced]:
    """Take the steps of `moves`, at most one per order, in the caller's transaction; verdicts in the order of `moves`.

    Locks the orders first, unless the caller holds them `locked`: in the order of their ids, so that two sets never wait
    for each other, and before the step reads them, so that it sees what every earlier transaction did. A move that the
    table doesn't know opens an incident and leaves the others alone. Raises `UnknownOrder`; the database raises if a
    posting would take an account below zero.
    """
    if not moves:
        return []
    ids = [move.order_id for move in moves]
    if len(set(ids)) != len(ids):
        raise ValueError("one move per order and call: the second depends on what the first does")
    if not locked and (await connection.execute(_LOCK, {"ids": ",".join(ids)})).scalar_one() != len(ids):
        raise UnknownOrder(f"one of these orders does not exist: {ids}")
    values = {
        **TABLE,
        "now": now,
        "ids": column(ids),
        "events": column([move.event for move in moves]),
        "causes": column([move.cause for move in moves]),
        "data": column([_encode(move.data).decode() for move in moves]),
        "due": column([move.due_at.isoformat() if move.due_at else None for move in moves]),
    }
    found = await tuples(connection, _STEP, values)
    told = {order_id: (_VERDICTS[verdict], _STATES[state]) for order_id, verdict, state in found}
    return [Advanced(move, *told[move.order_id]) for move in moves]
