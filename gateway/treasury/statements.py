"""Statements of rails: asked for or read from a file, and kept line by line, each once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db.session import reading, transaction
from gateway.errors import Refusal
from gateway.ledger.post import register_assets
from gateway.offramp import BadStatement, KeepsStatement, ReadsStatement, StatementLine
from gateway.payouts.rails import Rails
from gateway.treasury.report import NotMade

OVERLAP = timedelta(days=2)
"""How far before the end of what we have a statement is asked for again: some lines are written late."""
LATE = timedelta(hours=1)
"""How long after a payment settles its line may be missing, beyond what the rail says that settling takes."""
SET = 5_000
"""Lines written with one statement."""


class NoSuchRail(Refusal):
    """A statement was given for a rail that isn't configured."""

    code = "no_such_rail"

    def __init__(self, rail: str, rails: Iterable[str]) -> None:
        super().__init__(f'no adapter is called "{rail}" in the settings; there are: {", ".join(rails)}')


class NoStatementFiles(Refusal):
    """The adapter reads no files."""

    code = "no_statement_files"

    def __init__(self, rail: str) -> None:
        super().__init__(f"the adapter {rail} reads no statement files; leave --statement {rail}=… out")


class UnreadableStatement(Refusal):
    """The file isn't what the adapter takes."""

    code = "unreadable_statement"

    def __init__(self, rail: str, fault: BadStatement) -> None:
        super().__init__(f"the statement of {rail} can't be read: {fault}. Nothing of it was taken.")


class StatementChanged(Exception):
    """A line that was read before has become another one: one of the two readings is wrong."""


class Period(NamedTuple):
    """A span of which we have all lines: since <= at < until."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One reading of a statement, not written yet."""

    rail: str
    source: str
    """asked, or file."""
    period: Period | None
    """None: an empty file, which says of no time that nothing happened."""
    lines: Sequence[StatementLine]


_SINCE = text("""
SELECT (SELECT max(until) FROM statement_periods WHERE rail = :rail) AS until,
    LEAST((SELECT min(created_at) FROM attempts WHERE adapter = :rail),
          (SELECT min(p.posted_at) FROM postings AS p WHERE p.source = 'rail\\:' || :rail)) AS first
""")
_PUT = text("""
INSERT INTO statement_lines (rail, line_id, kind, asset, units, leaves, at, attempt_id, provider_ref, imported_at)
SELECT :rail, line_id, kind, asset, units, leaves, at, attempt_id, provider_ref, :now
FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l (line_id text, kind text, asset text, units numeric, leaves boolean,
    at timestamptz, attempt_id text, provider_ref text)
ON CONFLICT (rail, line_id) DO NOTHING
""")
# A statement of its own: the one before doesn't see what others wrote meanwhile.
_OTHER = text("""
SELECT l.line_id, s.kind, s.asset, s.units, s.at
FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l (line_id text, kind text, asset text, units numeric, leaves boolean,
    at timestamptz, attempt_id text, provider_ref text)
JOIN statement_lines AS s ON s.rail = :rail AND s.line_id = l.line_id
WHERE (s.kind, s.asset, s.units, s.leaves, s.at) IS DISTINCT FROM (l.kind, l.asset, l.units, l.leaves, l.at)
ORDER BY l.line_id LIMIT 1
""")
_PERIOD = text("""
INSERT INTO statement_periods (rail, since, until, source, lines, added, imported_at)
VALUES (:rail, :since, :until, :source, :lines, :added, :now)
""")
_PERIODS = text("SELECT rail, since, until FROM statement_periods ORDER BY rail, since, until")


def read_files(rails: Rails, files: Sequence[tuple[str, bytes]]) -> list[Read]:
    """What people downloaded, by rail. Raises `NoSuchRail`, `NoStatementFiles` and `UnreadableStatement`."""
    reads = []
    for rail, content in files:
        if rail not in rails:
            raise NoSuchRail(rail, rails)
        adapter = rails[rail]
        if not isinstance(adapter, ReadsStatement):
            raise NoStatementFiles(rail)
        try:
            lines = adapter.read_statement(content)
        except BadStatement as fault:
            raise UnreadableStatement(rail, fault) from None
        times = [line.at for line in lines]
        # Nobody says where the file's period ends, so it is taken to end with its last line.
        period = Period(min(times), max(times)) if times else None
        reads.append(Read(rail=rail, source="file", period=period, lines=lines))
    return reads


async def ask_statements(
    engine: AsyncEngine, *, rails: Rails, now: datetime, since: datetime | None
) -> tuple[list[Read], list[NotMade]]:
    """Statements of the rails that tell them, from `since` or from where we were last, up to `now`."""
    reads, not_made = [], []
    for rail, adapter in rails.items():
        if not isinstance(adapter, KeepsStatement):
            continue
        begin = since or await _since(engine, rail=rail, now=now)
        try:
            lines = await adapter.statement(since=begin, until=now)
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the other places are compared all the same
            not_made.append(NotMade(check=f"statement:{rail}", why=f"the rail didn't tell its statement ({_name(error)})"))
        else:
            reads.append(Read(rail=rail, source="asked", period=Period(begin, now), lines=lines))
    return reads, not_made


async def keep_statement(engine: AsyncEngine, *, read: Read, now: datetime) -> int:
    """Write a reading down, all of it or nothing. Returns how many lines were new. Raises `StatementChanged`."""
    _refuse_twins(read.lines)
    async with transaction(engine, point="reconcile.import") as connection:
        await register_assets(connection, assets={line.amount.asset for line in read.lines})
        added = 0
        for start in range(0, len(read.lines), SET):
            document = json.dumps([_document(line) for line in read.lines[start : start + SET]])
            values = {"rail": read.rail, "lines": document}
            added += (await connection.execute(_PUT, {**values, "now": now})).rowcount
            if (other := (await connection.execute(_OTHER, values)).one_or_none()) is not None:
                raise StatementChanged(
                    f"line {other.line_id} was {other.kind} of {other.units} {other.asset} units at {other.at} before"
                )
        if read.period is not None:
            counted = {"lines": len(read.lines), "added": added, "source": read.source, "now": now}
            await connection.execute(_PERIOD, {"rail": read.rail, **read.period._asdict(), **counted})
    return added


async def covered(connection: AsyncConnection) -> dict[str, list[Period]]:
    """Of which time we have all lines, per rail: periods that neither touch nor overlap, the oldest first."""
    merged: dict[str, list[Period]] = {}
    for row in await connection.execute(_PERIODS):
        periods = merged.setdefault(row.rail, [])
        if periods and row.since <= periods[-1].until:
            periods[-1] = Period(periods[-1].since, max(periods[-1].until, row.until))
        else:
            periods.append(Period(row.since, row.until))
    return merged


async def _since(engine: AsyncEngine, *, rail: str, now: datetime) -> datetime:
    async with reading(engine) as connection:
        row = (await connection.execute(_SINCE, {"rail": rail})).one()
    latest: datetime | None = row.until or row.first
    return (latest or now) - OVERLAP


def _refuse_twins(lines: Sequence[StatementLine]) -> None:
    known: dict[str, StatementLine] = {}
    for line in lines:
        if known.setdefault(line.line_id, line) != line:
            raise StatementChanged(f"line {line.line_id} is there twice, with different contents")


def _document(line: StatementLine) -> Mapping[str, object]:
    leaves = {"payout": True, "fee": True, "return": False, "top_up": False}.get(line.kind, line.leaves)
    return {
        "line_id": line.line_id,
        "kind": line.kind,
        "asset": line.amount.asset.code,
        "units": str(line.amount.units),
        "leaves": leaves,
        "at": line.at.isoformat(),
        "attempt_id": line.attempt_id,
        "provider_ref": line.provider_ref,
    }


def _name(error: Exception) -> str:
    # The text of a stranger's exception may hold a URL or a key.
    return type(error).__name__
