"""Lines of statements and attempts, put together: what belongs to nothing, and what says something else than the books.

A line belongs to the attempt that it names, or to the only one with its reference or receipt. An amount and a time prove
nothing: they only suggest. All lines are compared anew in each run, so nothing that changed since is taken for settled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Asset, Money
from gateway.treasury.judge import Case, Finding, Kind, Line, judge
from gateway.treasury.report import FOUND_MOST, Break, Findings
from gateway.treasury.statements import LATE, Period

SUGGESTED_MOST = 50
"""Lines without an attempt for which one of the same amount is looked for."""
NEAR = timedelta(days=1)

_MATCHED = """
WITH lines AS MATERIALIZED (
    SELECT l.rail, l.line_id, l.kind, l.asset, l.units, l.leaves, l.at, l.attempt_id AS told, l.provider_ref, a.id AS named
    FROM statement_lines AS l
    LEFT JOIN attempts AS a ON a.id = l.attempt_id AND a.adapter = l.rail AND a.deliver_asset = l.asset
    WHERE NOT EXISTS (SELECT FROM statement_bookings AS b WHERE b.rail = l.rail AND b.line_id = l.line_id)
), sought AS MATERIALIZED (
    SELECT DISTINCT rail, provider_ref AS ref FROM lines WHERE named IS NULL AND provider_ref IS NOT NULL
), refs AS (
    SELECT rail, ref, min(id) AS id FROM (
        SELECT sought.*, a.id FROM sought JOIN attempts AS a ON (a.adapter, a.provider_ref) = (rail, ref)
        UNION SELECT sought.*, a.id FROM sought JOIN attempts AS a ON (a.adapter, a.receipt) = (rail, ref)
    ) AS found GROUP BY rail, ref HAVING count(*) = 1
), matched AS MATERIALIZED (
    SELECT lines.*, COALESCE(named, refs.id) AS attempt_id
    FROM lines LEFT JOIN refs ON named IS NULL AND (refs.rail, refs.ref) = (lines.rail, lines.provider_ref)
)
"""
# First the sums, then the rows of those that differ.
_DIFFERING = text(
    _MATCHED  # noqa: S608 - composed of our own text only
    + """
, told AS MATERIALIZED (
    SELECT attempt_id, line_id, units, leaves, at FROM matched
    WHERE attempt_id IS NOT NULL AND kind IN ('payout', 'return', 'other')
), booked AS MATERIALIZED (
    SELECT COALESCE(r.attempt_id, split_part(split_part(p.cause, 'attempt\\:', 2), '\\:', 1)) AS attempt_id, p.units,
        p.destination ^@ 'rail\\:' AS leaves
    FROM postings AS p
    LEFT JOIN resolutions AS r ON p.cause = 'resolution\\:' || r.id
    WHERE (p.destination ^@ 'rail\\:' OR p.source ^@ 'rail\\:')
    AND (p.cause LIKE '%attempt\\:%' OR r.attempt_id IS NOT NULL)
), differing AS MATERIALIZED (
    SELECT a.id, t.attempt_id IS NOT NULL AS shown,
        CASE a.outcome WHEN 'returned' THEN a.updated_at ELSE a.closed_at END AS settled_at
    FROM attempts AS a
    LEFT JOIN (SELECT attempt_id, sum(CASE WHEN leaves THEN units ELSE -units END) AS net FROM told GROUP BY 1) AS t
        ON t.attempt_id = a.id
    LEFT JOIN (SELECT attempt_id, sum(CASE WHEN leaves THEN units ELSE -units END) AS net FROM booked GROUP BY 1) AS b
        ON b.attempt_id = a.id
    WHERE a.closed_at IS NOT NULL AND COALESCE(t.net, 0) <> COALESCE(b.net, 0)
), listed AS MATERIALIZED (
    SELECT d.id, d.settled_at, p.rail IS NOT NULL AS covered FROM differing AS d JOIN attempts AS a ON a.id = d.id
    LEFT JOIN jsonb_to_recordset(CAST(:periods AS jsonb)) AS p (rail text, since timestamptz, until timestamptz)
        ON p.rail = a.adapter AND p.since <= a.created_at AND p.until >= d.settled_at
    WHERE d.shown OR p.rail IS NOT NULL
    ORDER BY d.id LIMIT :most
)
SELECT a.id, a.order_id, a.adapter, a.deliver_asset, s.decimals, a.outcome, l.settled_at, l.covered, t.lines, b.outs, b.ins
FROM listed AS l JOIN attempts AS a ON a.id = l.id JOIN assets AS s ON s.code = a.deliver_asset
LEFT JOIN (SELECT attempt_id, jsonb_agg(jsonb_build_array(line_id, units\\:\\:text, leaves, at)) AS lines
    FROM told WHERE attempt_id IN (SELECT id FROM listed) GROUP BY attempt_id) AS t ON t.attempt_id = a.id
LEFT JOIN (SELECT attempt_id, jsonb_agg(units\\:\\:text) FILTER (WHERE leaves) AS outs,
        jsonb_agg(units\\:\\:text) FILTER (WHERE NOT leaves) AS ins
    FROM booked WHERE attempt_id IN (SELECT id FROM listed) GROUP BY attempt_id) AS b ON b.attempt_id = a.id
ORDER BY a.id
"""
)
_UNMATCHED = text(
    _MATCHED
    + """
SELECT m.rail, m.line_id, m.kind, m.asset, s.decimals, m.units, m.leaves, m.at, m.told, m.provider_ref
FROM matched AS m JOIN assets AS s ON s.code = m.asset
WHERE (m.kind IN ('payout', 'return', 'other') AND m.attempt_id IS NULL)
OR (m.kind = 'top_up' AND NOT EXISTS (
    SELECT FROM journal_entries AS j CROSS JOIN LATERAL unnest(j.postings) AS p
    WHERE j.cause IN ('top_up\\:' || m.rail || '\\:' || m.line_id, 'top_up\\:' || m.rail || '\\:' || m.provider_ref)
    AND (p.asset, p.units) = (m.asset, m.units)))
ORDER BY m.at, m.line_id LIMIT :most
"""
)
_FEES = text("""
SELECT l.rail, l.asset, s.decimals, count(*) AS lines, sum(l.units) AS units, min(l.at) AS since,
    (array_agg(l.line_id ORDER BY l.at, l.line_id))[1] AS first
FROM statement_lines AS l JOIN assets AS s ON s.code = l.asset
WHERE l.kind = 'fee' AND l.units > 0
AND NOT EXISTS (SELECT FROM statement_bookings AS b WHERE b.rail = l.rail AND b.line_id = l.line_id)
GROUP BY l.rail, l.asset, s.decimals ORDER BY l.rail, l.asset
""")
_ALIKE = text("""
SELECT DISTINCT ON (l.line_id) l.line_id, a.id, a.outcome, a.order_id
FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l (rail text, line_id text, asset text, units numeric, at timestamptz)
JOIN attempts AS a ON (a.adapter, a.deliver_asset, a.deliver_units) = (l.rail, l.asset, l.units)
    AND a.created_at BETWEEN l.at - CAST(:near AS interval) AND l.at + CAST(:near AS interval)
ORDER BY l.line_id, abs(extract(epoch FROM a.created_at - l.at)), a.id
""")
_RUNG = text("""
SELECT DISTINCT a.id FROM statement_lines AS l JOIN attempts AS a ON a.id = l.attempt_id AND a.adapter = l.rail
WHERE a.closed_at IS NULL AND l.imported_at >= :since ORDER BY a.id LIMIT :most
""")

SAID: Mapping[Kind, str] = {
    Kind.PAID_TWICE: "the rail took {theirs} once more for an attempt that it had paid already",
    Kind.FAILED_YET_PAID: "the rail took {theirs} for an attempt that it had called failed",
    Kind.MISSING: "we have {ours} paid out, and the rail's statement of that time has no such line",
    Kind.WRONG_AMOUNT: "we have {ours}, the rail's statement has {theirs}",
    Kind.WRONG_DIRECTION: "we have {ours} paid out, the rail's statement has {theirs} coming in",
    Kind.RETURN_UNBOOKED: "{theirs} came back, and we call it paid; the rail is being asked",
    Kind.RETURN_MISSING: "we have {ours} returned, and the rail's statement of that time has no such line",
}
_CLAIM = "claim it from the rail; then `lastmile reconcile book {id} --as claim`"
_ASK = "ask the rail in writing about attempt {attempt}; `lastmile payouts show {attempt}` shows what it told us"
NEXT: Mapping[Kind, str] = {
    Kind.PAID_TWICE: _CLAIM,
    Kind.FAILED_YET_PAID: _CLAIM,
    Kind.MISSING: _ASK,
    Kind.WRONG_AMOUNT: f"{_ASK}. If the rail took more, `lastmile reconcile book {{id}} --as claim`",
    Kind.WRONG_DIRECTION: _ASK,
    Kind.RETURN_UNBOOKED: "wait for the next run; `lastmile payouts show {attempt}` shows what the rail answers",
    Kind.RETURN_MISSING: _ASK,
}


async def match_statements(
    connection: AsyncConnection, *, periods: Mapping[str, Sequence[Period]], settles: Mapping[str, timedelta]
) -> Findings:
    """Compare all lines that we have with all attempts, for the rails of `periods`.

    `settles`: how long each rail may take to settle a payment.
    """
    findings = Findings()
    if not periods:
        return findings
    spans = _spans(periods, settles)
    differing = (await connection.execute(_DIFFERING, {"periods": spans, "most": FOUND_MOST + 1})).all()
    unmatched = (await connection.execute(_UNMATCHED, {"most": FOUND_MOST + 1})).all()
    alike = await _alike(connection, unmatched)
    fees = (await connection.execute(_FEES)).all()
    whole = max(len(differing), len(unmatched)) <= FOUND_MOST
    breaks = [one for row in differing[:FOUND_MOST] for one in _judged(row)]
    breaks += [_unknown(row, alike.get(row.line_id)) for row in unmatched[:FOUND_MOST]]
    breaks += [_fees(row) for row in fees]
    for rail in periods:
        found = [one for one in breaks if one.rail == rail]
        findings.found(f"statement:{rail}", found, all_of_them=whole)
    return findings


async def attempts_to_ask(connection: AsyncConnection, *, since: datetime) -> list[str]:
    """Open attempts that a statement read since then has a line of: the rail knows more of them than we do."""
    rows = await connection.execute(_RUNG, {"since": since, "most": FOUND_MOST})
    return list(rows.scalars())


def _spans(periods: Mapping[str, Sequence[Period]], settles: Mapping[str, timedelta]) -> str:
    """What counts as covered: until so long before a period's end that a late line would be there."""
    spans = [
        {
            "rail": rail,
            "since": period.since.isoformat(),
            "until": (period.until - settles.get(rail, timedelta(0)) - LATE).isoformat(),
        }
        for rail, several in periods.items()
        for period in several
    ]
    return json.dumps(spans)


def _judged(row: Row[Any]) -> list[Break]:
    lines = [Line(line_id, int(units), leaves, datetime.fromisoformat(at)) for line_id, units, leaves, at in row.lines or ()]
    case = Case(
        paid=bool(row.outs) or row.outcome in ("paid", "returned"),
        outs=[int(units) for units in row.outs or ()],
        ins=[int(units) for units in row.ins or ()],
        lines=lines,
        covered=row.covered,
    )
    return [_break(row, finding) for finding in judge(case)]


def _break(row: Row[Any], finding: Finding) -> Break:
    asset = Asset(row.deliver_asset, row.decimals)
    line = finding.line
    amounts = {
        "ours": "" if finding.ours is None else str(Money(finding.ours, asset)),
        "theirs": "" if line is None else str(Money(line.units, asset)),
    }
    subject = f"attempt:{row.id}:{finding.kind}" if line is None else f"statement:{row.adapter}:{line.line_id}"
    where = f"attempt {row.id}" + ("" if line is None else f", line {line.line_id}")
    return Break(
        cause=subject,
        checked_by=f"statement:{row.adapter}",
        kind=finding.kind,
        place=f"rail:{row.adapter}",
        said=f"{where}: {SAID[finding.kind].format(**amounts)}",
        next_step=NEXT[finding.kind].replace("{attempt}", row.id),
        asset=row.deliver_asset,
        ours=finding.ours,
        theirs=None if line is None else line.units,
        effect=finding.effect,
        order_id=row.order_id,
        attempt_id=row.id,
        rail=row.adapter,
        line_id=None if line is None else line.line_id,
        since=row.settled_at if line is None else line.at,
    )


UNKNOWN: Mapping[str, tuple[str, str, str]] = {
    "payout": (
        "unknown_payout",
        "the rail paid {amount}, and no attempt of ours is known by that name",
        "look for the payment at the rail; if we didn't order it, `lastmile reconcile book {id} --as claim`",
    ),
    "return": (
        "unknown_return",
        "{amount} came back, and no attempt of ours is known by that name",
        "ask the rail which payment it belongs to; if it repays a claim, `lastmile reconcile book {id} --as claim`",
    ),
    "top_up": (
        "top_up_unbooked",
        "{amount} was put into our account, and it isn't booked",
        "`lastmile reconcile book {id} --as top-up`",
    ),
    "other": (
        "unknown_line",
        "{amount} {moved}, and the statement doesn't say what it was",
        "find out what it was; then `lastmile reconcile book {id} --as fee`, claim or top-up",
    ),
}


def _unknown(row: Row[Any], alike: Row[Any] | None) -> Break:
    kind, said, following = UNKNOWN[row.kind]
    amount = Money(int(row.units), Asset(row.asset, row.decimals))
    sentence = said.format(amount=amount, moved="left" if row.leaves else "came in")
    detail = {name: value for name, value in (("named", row.told), ("reference", row.provider_ref)) if value}
    if alike is not None:
        detail |= {"alike": alike.id, "alike_order": alike.order_id}
        sentence += f"; attempt {alike.id} ({alike.outcome}) is of the same amount and day"
    return Break(
        cause=f"statement:{row.rail}:{row.line_id}",
        checked_by=f"statement:{row.rail}",
        kind=kind,
        place=f"rail:{row.rail}",
        said=f"line {row.line_id}: {sentence}",
        next_step=following,
        asset=row.asset,
        theirs=int(row.units),
        effect=-int(row.units) if row.leaves else int(row.units),
        rail=row.rail,
        line_id=row.line_id,
        detail=detail,
        since=row.at,
    )


def _fees(row: Row[Any]) -> Break:
    amount = Money(int(row.units), Asset(row.asset, row.decimals))
    lines = "1 line" if row.lines == 1 else f"{row.lines} lines"
    return Break(
        cause=f"fees:{row.rail}:{row.asset}",
        checked_by=f"statement:{row.rail}",
        kind="fees_unbooked",
        place=f"rail:{row.rail}",
        said=f"the rail took {amount} of fees in {lines}, the first of them {row.first}; they aren't booked",
        next_step="`lastmile reconcile book {id} --as fee`; --as claim for fees that nobody agreed to",
        asset=row.asset,
        theirs=int(row.units),
        effect=-int(row.units),
        rail=row.rail,
        line_id=row.first,
        detail={"lines": str(row.lines)},
        since=row.since,
    )


async def _alike(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[str, Row[Any]]:
    """For payments without an attempt: an attempt that they may be, by amount and time."""
    lines = [
        {"rail": row.rail, "line_id": row.line_id, "asset": row.asset, "units": str(row.units), "at": row.at.isoformat()}
        for row in rows
        if row.kind in ("payout", "return")
    ]
    if not lines:
        return {}
    found = await connection.execute(_ALIKE, {"lines": json.dumps(lines[:SUGGESTED_MOST]), "near": f"{NEAR.days} days"})
    return {row.line_id: row for row in found}
