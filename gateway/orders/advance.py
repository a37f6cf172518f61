"""The only writer of an order's state: one statement moves a whole set of orders along the table.

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
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import tuples
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

# Moves and the table come as JSON documents: as arrays, writing the moves cost a third of our own time.
_STEP = text(
    " ".join(
        f"""
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb))
        AS i (order_id text, event text, cause text, data jsonb, due_at timestamptz)
), judged AS MATERIALIZED (
    SELECT d.*, o.ctid AS place, o.state, o.version + 1 AS version, o.quote_id, t.next, t.posting, t.within,
        CASE WHEN e.cause IS NOT NULL THEN 'replayed'
             WHEN t.next IS NOT NULL THEN 'stepped'
             WHEN t.state IS NOT NULL THEN 'echoed'
             ELSE 'illegal' END AS verdict
    FROM input AS d
    JOIN orders AS o ON o.id = d.order_id
    LEFT JOIN order_events AS e ON e.order_id = d.order_id AND e.cause = d.cause
    LEFT JOIN jsonb_to_recordset(CAST(:steps AS jsonb)) AS t
        (state text, event text, next text, posting text, within integer) ON t.state = o.state AND t.event = d.event
), moved AS (
    UPDATE orders AS o SET state = j.next, version = j.version, updated_at = :now,
        due_at = COALESCE(j.due_at, :now + j.within * interval '1 second')
    FROM judged AS j WHERE o.ctid = j.place AND o.id = j.order_id AND j.verdict = 'stepped'
), priced AS (
    SELECT j.*, q.* FROM judged AS j JOIN quotes AS q ON q.id = j.quote_id WHERE j.verdict = 'stepped'
), logged AS (
    INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at, template, postings)
    SELECT d.order_id, d.version, d.event, d.state, d.next, d.cause, d.data, :now, NULLIF(d.posting, '{P.NONE}'),
        {postings_sql()}
    FROM priced AS d
), alarmed AS (
    INSERT INTO incidents (cause, kind, order_id, detail, opened_at)
    SELECT 'order:' || order_id || ':' || cause, 'illegal_step', order_id,
        jsonb_build_object('state', state, 'event', event, 'data', data), :now
    FROM judged WHERE verdict = 'illegal'
    ON CONFLICT (cause) DO NOTHING
)
SELECT order_id, verdict, state FROM judged
""".split()  # noqa: S608 - composed of our own tables only
    )
)


def _steps() -> list[dict[str, object]]:
    steps = [step._asdict() | {"within": seconds_within(step.next)} for step in STEPS]
    return [*steps, *({"state": state, "event": event} for state, event in sorted(ECHOES))]


_VERDICTS = {str(verdict): verdict for verdict in Verdict}
_STATES = {str(state): state for state in S}
_TABLES = {"steps": json.dumps(_steps())}


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
    values = {**_TABLES, "now": now, "moves": msgspec.json.encode(moves).decode()}
    found = await tuples(connection, _STEP, values)
    told = {order_id: (_VERDICTS[verdict], _STATES[state]) for order_id, verdict, state in found}
    return [Advanced(move, *told[move.order_id]) for move in moves]
