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

from gateway.orders.postings import account_sql, asset_sql, template_rows, units_sql
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


_LOCK = text(
    "SELECT count(*) FROM (SELECT FROM orders WHERE id = ANY(string_to_array(:ids, ',')) ORDER BY id FOR UPDATE) AS locked"
)

# Moves and tables come as JSON documents. As arrays, writing the moves cost a third of our own time; and with the tables in
# it the statement would be longer than the 4096 characters up to which psycopg keeps a statement parsed.
_STEP = text(
    " ".join(
        f"""
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb))
        AS i (order_id text, event text, cause text, data jsonb, due_at timestamptz)
), judged AS MATERIALIZED (
    SELECT d.*, o.state, o.version, t.next, t.posting,
        CASE WHEN e.cause IS NOT NULL THEN 'replayed'
             WHEN t.next IS NOT NULL THEN 'stepped'
             WHEN x.state IS NOT NULL THEN 'echoed'
             ELSE 'illegal' END AS verdict
    FROM input AS d
    JOIN orders AS o ON o.id = d.order_id
    LEFT JOIN order_events AS e ON e.order_id = d.order_id AND e.cause = d.cause
    LEFT JOIN jsonb_to_recordset(CAST(:steps AS jsonb)) AS t (state text, event text, next text, posting text)
        ON t.state = o.state AND t.event = d.event
    LEFT JOIN jsonb_to_recordset(CAST(:echoes AS jsonb)) AS x (state text, event text)
        ON x.state = o.state AND x.event = d.event
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
    SELECT * FROM (
        SELECT entry.id, line.number, {account_sql("source")}, {account_sql("destination")}, {asset_sql()},
            {units_sql()} AS amount
        FROM entry
        JOIN judged AS d ON d.order_id = entry.order_id
        JOIN orders AS o ON o.id = entry.order_id
        JOIN quotes AS q ON q.id = o.quote_id
        JOIN jsonb_to_recordset(CAST(:templates AS jsonb)) AS line (template text, number smallint, source text,
            destination text, asset text, units text) ON line.template = entry.template
    ) AS lines WHERE amount > 0
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

_TABLES = {
    "steps": json.dumps([step._asdict() for step in STEPS]),
    "echoes": json.dumps([{"state": state, "event": event} for state, event in sorted(ECHOES)]),
    "templates": json.dumps(template_rows()),
}


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
    document = [
        {
            "order_id": move.order_id,
            "event": move.event,
            "cause": move.cause,
            "data": dict(move.data),
            "due_at": move.due_at and move.due_at.isoformat(),
        }
        for move in moves
    ]
    rows = await connection.execute(_STEP, {**_TABLES, "now": now, "moves": json.dumps(document)})
    found = {row.order_id: row for row in rows}
    return [
        Advanced(move=move, verdict=Verdict(found[move.order_id].verdict), state=S(found[move.order_id].state))
        for move in moves
    ]
