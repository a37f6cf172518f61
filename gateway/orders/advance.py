"""The only writer of an order's state: one statement moves a whole set of orders along the table.

In that statement: the new state, the event with its cause, the ledger postings, the outbox row. A cause that has acted
before changes nothing, whichever worker repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.orders.postings import lines_sql
from gateway.orders.states import ECHOES, STEPS, E, P, S


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What happened to one order. `due_at`: when a worker has to look at the order next, if it takes the step."""

    order_id: str
    event: E
    cause: str
    data: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None


class Verdict(StrEnum):
    """What became of a move."""

    STEPPED = auto()
    REPLAYED = auto()  # the cause has acted before
    ECHOED = auto()  # old news: nothing to change
    ILLEGAL = auto()  # the table doesn't know it: an incident was opened, nothing else was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A move and its verdict. `state` is where the order stood before."""

    move: Move
    verdict: Verdict
    state: S


class UnknownOrder(Exception):
    """A move names an order that doesn't exist: our bug."""


_TABLE = ", ".join(f"('{s.state}', '{s.event}', '{s.next}', '{s.posting}')" for s in STEPS)
_ECHOES = ", ".join(f"('{state}', '{event}')" for state, event in sorted(ECHOES))

_LOCK = text("SELECT count(*) FROM (SELECT FROM orders WHERE id = ANY(:ids) ORDER BY id FOR UPDATE) AS locked")

_STEP = text(f"""
WITH input AS MATERIALIZED (
    SELECT order_id, event, cause, data::jsonb AS data, due_at
    FROM unnest(CAST(:ids AS text[]), CAST(:events AS text[]), CAST(:causes AS text[]), CAST(:data AS text[]),
                CAST(:due AS timestamptz[])) AS i (order_id, event, cause, data, due_at)
), judged AS MATERIALIZED (
    SELECT d.*, o.state, o.version, t.next, t.posting,
        CASE WHEN e.id IS NOT NULL THEN 'replayed'
             WHEN t.next IS NOT NULL THEN 'stepped'
             WHEN x.state IS NOT NULL THEN 'echoed'
             ELSE 'illegal' END AS verdict
    FROM input AS d
    JOIN orders AS o ON o.id = d.order_id
    LEFT JOIN order_events AS e ON e.order_id = d.order_id AND e.cause = d.cause
    LEFT JOIN (VALUES {_TABLE}) AS t (state, event, next, posting) ON t.state = o.state AND t.event = d.event
    LEFT JOIN (VALUES {_ECHOES}) AS x (state, event) ON x.state = o.state AND x.event = d.event
), moved AS (
    UPDATE orders AS o SET state = j.next, version = o.version + 1, due_at = j.due_at, updated_at = :now
    FROM judged AS j WHERE o.id = j.order_id AND j.verdict = 'stepped'
    RETURNING o.id
), logged AS (
    INSERT INTO order_events (order_id, version, event, from_state, to_state, cause, data, at)
    SELECT order_id, version + 1, event, state, next, cause, data, :now FROM judged WHERE verdict = 'stepped'
), queued AS (
    INSERT INTO outbox (order_id, kind, payload, created_at)
    SELECT order_id, 'order.' || next, jsonb_build_object('version', version + 1, 'event', event), :now
    FROM judged WHERE verdict = 'stepped'
), entry AS (
    INSERT INTO journal (cause, template, order_id, posted_at)
    SELECT 'order:' || order_id || ':' || cause, posting, order_id, :now
    FROM judged WHERE verdict = 'stepped' AND posting <> '{P.NONE}'
    RETURNING id, template, order_id
), posted AS (
    INSERT INTO postings (journal_id, line, source, destination, asset, units)
    SELECT entry.id, line.number, line.source, line.destination, line.asset, line.units
    FROM entry
    JOIN judged AS d ON d.order_id = entry.order_id
    JOIN orders AS o ON o.id = entry.order_id
    JOIN quotes AS q ON q.id = o.quote_id
    CROSS JOIN LATERAL {lines_sql()}
    WHERE line.template = entry.template AND line.units > 0
), alarmed AS (
    INSERT INTO incidents (cause, kind, order_id, detail, opened_at)
    SELECT 'order:' || order_id || ':' || cause, 'illegal_step', order_id,
        jsonb_build_object('state', state, 'event', event, 'data', data), :now
    FROM judged WHERE verdict = 'illegal'
    ON CONFLICT (cause) DO NOTHING
)
SELECT order_id, verdict, state FROM judged
""")  # noqa: S608 - composed of our own tables only


async def advance(connection: AsyncConnection, *, moves: Sequence[Move], now: datetime) -> list[Advanced]:
    """Take the steps of `moves`, at most one per order, in the caller's transaction; verdicts in the order of `moves`.

    Locks the orders first (in the order of their ids, so that two sets never wait for each other), so that the step sees
    what every earlier transaction did. A move that the table doesn't know opens an incident and leaves the others alone.
    Raises `UnknownOrder`; the database raises if a posting would take an account below zero.
    """
    if not moves:
        return []
    ids = [move.order_id for move in moves]
    if len(set(ids)) != len(ids):
        raise ValueError("one move per order and call: the second depends on what the first does")
    if (await connection.execute(_LOCK, {"ids": ids})).scalar_one() != len(ids):
        raise UnknownOrder(f"one of these orders does not exist: {ids}")
    rows = await connection.execute(
        _STEP,
        {
            "now": now,
            "ids": ids,
            "events": [move.event.value for move in moves],
            "causes": [move.cause for move in moves],
            "data": [json.dumps(dict(move.data)) for move in moves],
            "due": [move.due_at for move in moves],
        },
    )
    found = {row.order_id: row for row in rows}
    return [
        Advanced(move=move, verdict=Verdict(found[move.order_id].verdict), state=S(found[move.order_id].state))
        for move in moves
    ]
