"""What is past its deadline or waits for a person: one table of questions, asked of the rows each time.

Every question reads what is open, through an index of that or a small table, however much is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Resend
from gateway.orders.duties import DUTIES, seconds_within
from gateway.orders.house import HOUSE_LANE
from gateway.orders.states import S
from gateway.payouts.breakers import breaker_states
from gateway.payouts.health import Breaker

LISTED_MOST = 1_000
"""Of each kind; the oldest."""
GRACE_S = 300
"""How long after its time work may be taken up, in seconds: workers are busy, or just restarting."""
WAITING_S = 3_600
"""How long a funded order may wait for a rail, in seconds; an economy order waits for its drop besides."""
OPERATORS = "operators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """One thing that should have moved, or that only a person moves."""

    what: str
    """order, attempt, refund, callback…"""
    id: str
    order_id: str | None
    state: str
    amount: Money | None
    since: datetime
    due_at: datetime | None
    """When it should have moved; None: from the beginning it waited for a person."""
    owner: str
    """A group of loops (`lastmile work --only …`), or "operators"."""
    action: str
    """What to do: a command, or a page."""


class Matter(NamedTuple):
    """A kind of thing that can be stuck."""

    owner: str
    action: str
    """With {id} and {order}. An order's own are its duty's."""
    query: TextClause
    """Gives id, order_id, state, units, asset, decimals, since, due_at."""


def _query(statement: str) -> TextClause:
    return text(f"{statement} ORDER BY since LIMIT :most")


_NOTHING = "CAST(NULL AS numeric) AS units, CAST(NULL AS text) AS asset, CAST(NULL AS integer) AS decimals"
_LATE = "CAST(:now AS timestamptz) - make_interval(secs => :grace)"

ORDERS = _query(f"""
SELECT o.id, o.id AS order_id, o.state, q.send_units AS units, q.send_asset AS asset, s.decimals, x.since, x.due_at
FROM (
    SELECT order_id AS id, due_at AS since, due_at FROM waiting_orders
    WHERE state = 'awaiting_deposit' AND due_at < {_LATE}
    UNION ALL
    SELECT o.id, o.updated_at, o.updated_at + make_interval(secs => d.seconds)
    FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
    JOIN unnest(CAST(:states AS text[]), CAST(:within AS integer[])) AS d (state, seconds) ON d.state = o.state
    WHERE w.state IN ('confirming', 'held', 'uncertain', 'refunding')
    AND (o.state = 'held' OR o.updated_at < CAST(:now AS timestamptz) - make_interval(secs => d.seconds))
    UNION ALL
    SELECT o.id, o.updated_at, o.due_at + make_interval(secs => COALESCE(e.seconds, 0))
    FROM waiting_orders AS w JOIN orders AS o ON o.id = w.order_id
    LEFT JOIN unnest(CAST(:lanes AS text[]), CAST(:drops AS integer[])) AS e (lane, seconds)
        ON e.lane = regexp_replace(o.lane, '\\+[^/]*', '')
    WHERE w.state = 'funded' AND o.lane <> '{HOUSE_LANE}'
    AND (o.due_at + make_interval(secs => COALESCE(e.seconds, 0)) < {_LATE}
        OR e.lane IS NULL AND o.updated_at < CAST(:now AS timestamptz) - make_interval(secs => :waiting))
) AS x JOIN orders AS o USING (id) JOIN quotes AS q ON q.id = o.quote_id JOIN assets AS s ON s.code = q.send_asset
""")  # noqa: S608 - composed of our own texts only, as all of these
ATTEMPTS = _query("""
SELECT a.id, a.order_id, CASE WHEN r.rail IS NULL THEN 'rail_gone' ELSE a.outcome END AS state, a.deliver_units AS units,
    a.deliver_asset AS asset, s.decimals, a.created_at AS since, a.created_at + make_interval(secs => r.seconds) AS due_at
FROM attempts AS a JOIN assets AS s ON s.code = a.deliver_asset
LEFT JOIN unnest(CAST(:rails AS text[]), CAST(:settles AS integer[]), CAST(:blind AS boolean[])) AS r (rail, seconds, blind)
    ON r.rail = a.adapter
WHERE a.closed_at IS NULL AND (r.rail IS NULL OR r.blind AND a.outcome = 'unknown'
    OR a.created_at < CAST(:now AS timestamptz) - make_interval(secs => r.seconds))
""")
PROPOSALS = _query("""
SELECT r.id, r.order_id, r.verdict AS state, a.deliver_units AS units, a.deliver_asset AS asset, s.decimals,
    r.proposed_at AS since, CAST(NULL AS timestamptz) AS due_at
FROM resolutions AS r JOIN attempts AS a ON a.id = r.attempt_id JOIN assets AS s ON s.code = a.deliver_asset
WHERE r.outcome IS NULL
""")
OWED = _query("""
SELECT a.id, a.order_id, 'paid_in_part' AS state, b.units, b.asset, s.decimals, a.closed_at AS since,
    CAST(NULL AS timestamptz) AS due_at
FROM attempts AS a JOIN assets AS s ON s.code = a.deliver_asset
JOIN owed_to_recipients AS b ON b.order_id = a.order_id AND b.asset = a.deliver_asset
WHERE a.delivered_units IS NOT NULL
""")
REFUNDS = _query("""
SELECT r.id, r.order_id, r.outcome AS state, r.units, r.asset, s.decimals, r.created_at AS since,
    r.created_at + make_interval(secs => :refunding) AS due_at
FROM refunds AS r JOIN assets AS s ON s.code = r.asset
WHERE r.closed_at IS NULL
AND (r.outcome = 'unknown' OR r.created_at < CAST(:now AS timestamptz) - make_interval(secs => :refunding))
""")
CALLBACKS = _query(f"""
SELECT CAST(c.id AS text) AS id, a.order_id, 'not handled' AS state, a.deliver_units AS units, a.deliver_asset AS asset,
    s.decimals, c.received_at AS since, c.received_at + make_interval(secs => :grace) AS due_at
FROM callbacks AS c LEFT JOIN attempts AS a ON a.id = c.attempt_id LEFT JOIN assets AS s ON s.code = a.deliver_asset
WHERE c.handled_at IS NULL AND c.received_at < {_LATE}
""")  # noqa: S608
DEPOSITS = _query(f"""
SELECT concat_ws('\\:', d.chain_id, d.tx_hash, d.log_index) AS id, w.owner AS order_id, 'not booked' AS state,
    d.units, d.asset, s.decimals, d.updated_at AS since, d.updated_at + make_interval(secs => :grace) AS due_at
FROM deposits AS d JOIN deposit_addresses AS w USING (address) JOIN assets AS s ON s.code = d.asset
WHERE d.booked IS DISTINCT FROM d.status AND d.updated_at < {_LATE}
""")  # noqa: S608
UNALLOCATED = _query("""
SELECT 'order\\:' || b.order_id || '\\:unallocated' AS id, b.order_id, 'unallocated' AS state, b.unallocated AS units,
    b.asset, s.decimals, (SELECT max(posted_at) FROM journal AS j WHERE j.order_id = b.order_id) AS since,
    CAST(NULL AS timestamptz) AS due_at
FROM order_balances AS b JOIN assets AS s ON s.code = b.asset WHERE b.unallocated > 0
""")
STRAYS = _query(f"""
SELECT s.chain_id || '\\:' || s.identity AS id, w.owner AS order_id, 'stray' AS state, {_NOTHING}, s.found_at AS since,
    CAST(NULL AS timestamptz) AS due_at
FROM strays AS s JOIN deposit_addresses AS w USING (address)
WHERE s.asset IS NULL AND s.closed_at IS NULL
""")  # noqa: S608
TRANSACTIONS = _query(f"""
SELECT id, CAST(NULL AS text) AS order_id, CASE WHEN stuck_at IS NULL THEN state ELSE 'stuck' END AS state, {_NOTHING},
    COALESCE(stuck_at, created_at) AS since, due_at
FROM chain_transactions WHERE due_at IS NOT NULL AND (stuck_at IS NOT NULL OR due_at < {_LATE})
""")  # noqa: S608
SWEEPS = _query(f"""
SELECT id, CAST(NULL AS text) AS order_id, 'open' AS state, {_NOTHING}, created_at AS since,
    created_at + interval '1 day' AS due_at
FROM sweeps WHERE closed_at IS NULL AND created_at < CAST(:now AS timestamptz) - interval '1 day'
""")  # noqa: S608
CHAINS = _query(f"""
SELECT CAST(c.chain_id AS text) AS id, CAST(NULL AS text) AS order_id,
    CASE WHEN c.halted IS NULL THEN 'not watched' ELSE 'halted' END AS state, {_NOTHING}, c.updated_at AS since,
    l.until AS due_at
FROM chain_cursors AS c LEFT JOIN chain_leases AS l USING (chain_id)
WHERE c.halted IS NOT NULL OR l.until < {_LATE}
""")  # noqa: S608
FREEZES = _query(f"""
SELECT asset AS id, CAST(NULL AS text) AS order_id, 'frozen\\: ' || kind AS state, {_NOTHING}, frozen_at AS since,
    CAST(NULL AS timestamptz) AS due_at
FROM asset_freezes WHERE lifted_at IS NULL
""")  # noqa: S608
BREAKS = _query(f"""
SELECT id, order_id, kind AS state, {_NOTHING}, found_at AS since, CAST(NULL AS timestamptz) AS due_at
FROM reconciliation_breaks WHERE closed_at IS NULL
""")  # noqa: S608
# Of one that is paid, how long the money is on its way is a guess: a day more is no news.
MOVES = _query("""
SELECT m.id, r.order_id, x.state, m.units, m.asset, s.decimals, x.since, x.due_at
FROM float_runs AS r JOIN float_moves AS m ON m.id = r.move_id JOIN assets AS s ON s.code = m.asset
LEFT JOIN orders AS o ON o.id = r.order_id
CROSS JOIN LATERAL (
    SELECT 'proposed' AS state, r.proposed_at AS since, CAST(NULL AS timestamptz) AS due_at WHERE r.approved_at IS NULL
    UNION ALL SELECT 'not begun', r.approved_at, m.at + make_interval(secs => :waiting)
    WHERE r.approved_at IS NOT NULL AND COALESCE(o.state, 'funded') IN ('funded', 'held')
    UNION ALL SELECT 'not arrived', r.approved_at, m.arrives_at + interval '1 day' WHERE o.state = 'paid'
) AS x
WHERE r.ended_at IS NULL AND (x.due_at IS NULL OR x.due_at < :now)
""")
INCIDENTS = _query(f"""
SELECT CAST(id AS text) AS id, order_id, kind AS state, {_NOTHING}, opened_at AS since, CAST(NULL AS timestamptz) AS due_at
FROM incidents WHERE closed_at IS NULL
""")  # noqa: S608

MATTERS: Mapping[str, Matter] = {
    "order": Matter("", "", ORDERS),
    "attempt": Matter(OPERATORS, "lastmile payouts show {id}", ATTEMPTS),
    "evidence": Matter(OPERATORS, "lastmile payouts approve {id}", PROPOSALS),
    "rest": Matter(OPERATORS, "lastmile payouts show {id}", OWED),
    "refund": Matter("keys", "lastmile refunds show {id}", REFUNDS),
    "callback": Matter("payouts", "lastmile work --only payouts", CALLBACKS),
    "deposit": Matter("orders", "lastmile work --only orders", DEPOSITS),
    "unmatched": Matter(OPERATORS, "lastmile deposits show {order}", UNALLOCATED),
    "stray": Matter(OPERATORS, "lastmile deposits show {order}", STRAYS),
    "transaction": Matter("keys", "lastmile sweep status", TRANSACTIONS),
    "sweep": Matter("keys", "lastmile sweep status", SWEEPS),
    "chain": Matter("chains", "lastmile chain status", CHAINS),
    "coin": Matter(OPERATORS, "lastmile tokens list", FREEZES),
    "difference": Matter(OPERATORS, "lastmile reconcile", BREAKS),
    "move": Matter(OPERATORS, "lastmile float moves", MOVES),
    "incident": Matter(OPERATORS, "close it at /console/incidents", INCIDENTS),
}
"""Everything that carries money or keeps it waiting, by name."""


async def stuck(
    connection: AsyncConnection,
    *,
    capabilities: Mapping[str, Capabilities],
    drops: Mapping[str, timedelta] | None = None,
    now: datetime,
) -> list[Stuck]:
    """All of it, the oldest first. `capabilities`: the configured rails'; `drops`: the slots of economy lanes."""
    slots = drops or {}
    values = {
        "now": now,
        "most": LISTED_MOST,
        "grace": GRACE_S,
        "waiting": WAITING_S,
        "refunding": seconds_within(S.REFUNDING),
        "states": list(DUTIES),
        "within": [seconds_within(state) for state in DUTIES],
        "rails": list(capabilities),
        "settles": [int(rail.settles_within.total_seconds()) for rail in capabilities.values()],
        "lanes": list(slots),
        "drops": [int(slot.total_seconds()) for slot in slots.values()],
        "blind": [rail.resend is Resend.BLIND for rail in capabilities.values()],
    }
    found = [
        _found(what, matter, row)
        for what, matter in MATTERS.items()
        for row in await connection.execute(matter.query, values)
    ]
    return sorted([*found, *await _rails(connection, now=now)], key=lambda one: one.since)


def _found(what: str, matter: Matter, row: Row[Any]) -> Stuck:
    owner, action = matter.owner, matter.action
    if what == "order":
        _, owner, action = DUTIES[S(row.state)]
    return Stuck(
        what=what,
        id=row.id,
        order_id=row.order_id,
        state=row.state,
        amount=None if row.units is None else Money(int(row.units), Asset(row.asset, row.decimals)),
        since=row.since,
        due_at=row.due_at,
        owner=owner,
        action=action.format(id=row.id, order=row.order_id),
    )


async def _rails(connection: AsyncConnection, *, now: datetime) -> list[Stuck]:
    """Rails that nothing is sent to. One that was stopped waits for a person; one that is open tries by itself."""
    return [
        Stuck(
            what="rail",
            id=one.rail,
            order_id=None,
            state=one.state,
            amount=None,
            since=one.since or now,
            due_at=one.open_until,
            owner=OPERATORS if one.state is Breaker.STOPPED else "payouts",
            action="lastmile rails",
        )
        for one in await breaker_states(connection)
        if one.state is not Breaker.CLOSED
    ]
