"""One reconciliation: ledger, chains, rails and statements, compared in one run.

First the outside is asked, with nothing open in the database; then the books are read as of one moment. What moved in
between is in flight, and listed. Nothing is corrected here: a person books what they can explain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.db.session import reading, snapshot, transaction, wake
from gateway.ledger.post import register_assets
from gateway.payouts.rails import Rails
from gateway.treasury import runs
from gateway.treasury.books import Held, check_books, read_held
from gateway.treasury.breaks import carried, keep_breaks
from gateway.treasury.chains import ChainSide, Seen, compare_chain, look_at_chain
from gateway.treasury.matching import attempts_to_ask, match_statements
from gateway.treasury.railbalances import Told, ask_balances, compare_balances, not_compared
from gateway.treasury.report import Findings, NotMade, Report
from gateway.treasury.statements import Read, StatementChanged, ask_statements, covered, keep_statement, read_files

Progress = Callable[[str], None]
Sides = Callable[[], Awaitable[Sequence[ChainSide]]]
"""Makes the chains to compare, with their nodes connected; called only when a run is due."""


def _silent(_line: str) -> None:
    pass


@dataclass(slots=True, kw_only=True)
class _Outside:
    """What was asked outside of the database, and what could not be."""

    told: list[Told] = field(default_factory=list[Told])
    chains: list[tuple[ChainSide, Seen]] = field(default_factory=list[tuple[ChainSide, Seen]])
    not_made: list[NotMade] = field(default_factory=list[NotMade])


async def reconcile(
    engine: AsyncEngine,
    *,
    rails: Rails,
    chains: Sequence[ChainSide],
    clock: Clock,
    since: datetime | None = None,
    statements: Sequence[tuple[str, bytes]] = (),
    progress: Progress = _silent,
) -> Report:
    """Compare everything now. `statements`: files that people downloaded, each with its rail's name.

    `since`: from when rails are asked for their statements again; without it, from where the last run was. Raises
    `NoSuchRail`, `NoStatementFiles` and `UnreadableStatement`, with nothing written.
    """
    files = read_files(rails, statements)
    async with transaction(engine, point="reconcile.begin") as connection:
        run_id = await runs.begin(connection, period=None, now=clock())
    assert run_id is not None
    return await _run(engine, run_id, rails=rails, chains=chains, clock=clock, since=since, files=files, progress=progress)


async def reconcile_when_due(engine: AsyncEngine, *, rails: Rails, chains: Sides, every_s: int, clock: Clock) -> int:
    """Make the present period's run, unless it is made or another worker is at it. Returns how many were made."""
    now = clock()
    async with transaction(engine, point="reconcile.claim") as connection:
        run_id = await runs.begin(connection, period=runs.period_of(now, every_s=every_s), now=now)
    if run_id is None:
        return 0
    await _run(engine, run_id, rails=rails, chains=await chains(), clock=clock, since=None, files=(), progress=_silent)
    return 1


async def _run(
    engine: AsyncEngine,
    run_id: str,
    *,
    rails: Rails,
    chains: Sequence[ChainSide],
    clock: Clock,
    since: datetime | None,
    files: Sequence[Read],
    progress: Progress,
) -> Report:
    started_at = clock()
    outside = _Outside(not_made=not_compared(rails, files=[read.rail for read in files]))
    await _take_statements(engine, outside, rails=rails, files=files, since=since, clock=clock, progress=progress)
    async with snapshot(engine) as connection:
        before = await read_held(connection)
        up_to = await runs.compared_up_to(connection)
    progress("rails: balances")
    told, silent = await ask_balances(engine, rails=rails, before=before, clock=clock)
    outside.told, outside.not_made = told, outside.not_made + silent
    await _ask_chains(engine, outside, chains, before, up_to, progress)
    progress("books")
    findings = await _compare(engine, outside, rails)
    return await _keep(engine, findings, run_id, started_at=started_at, clock=clock)


async def _take_statements(
    engine: AsyncEngine,
    outside: _Outside,
    *,
    rails: Rails,
    files: Sequence[Read],
    since: datetime | None,
    clock: Clock,
    progress: Progress,
) -> None:
    progress("rails: statements")
    asked, silent = await ask_statements(engine, rails=rails, now=clock(), since=since)
    outside.not_made += silent
    for read in (*files, *asked):
        try:
            added = await keep_statement(engine, read=read, now=clock())
        except StatementChanged as error:
            outside.not_made.append(
                NotMade(check=f"statement:{read.rail}", why=f"its statement contradicts itself: {error}")
            )
        else:
            progress(f"statement of {read.rail}: {len(read.lines)} lines, {added} of them new")


async def _ask_chains(
    engine: AsyncEngine,
    outside: _Outside,
    chains: Sequence[ChainSide],
    before: Mapping[tuple[str, str], Held],
    up_to: Mapping[int, int],
    progress: Progress,
) -> None:
    async def look(side: ChainSide) -> tuple[ChainSide, Seen | NotMade]:
        chain_id = side.terms.chain_id
        async with reading(engine) as connection:
            moves = [move for move in await carried(connection, chain_id=chain_id) if move.token in side.terms.tokens]
        since = up_to.get(chain_id)
        return side, await look_at_chain(engine, side=side, held=before, since=since, carried=moves, progress=progress)

    for side, seen in await asyncio.gather(*(look(side) for side in chains)):
        if isinstance(seen, NotMade):
            outside.not_made.append(seen)
        else:
            outside.chains.append((side, seen))
    known = {str(side.terms.chain_id) for side in chains}
    forgotten = {place for place, _ in before if place.startswith("chain:") and place.partition(":")[2] not in known}
    outside.not_made += [
        NotMade(check=place, why="the books have money there, and the chain isn't in the settings any more")
        for place in sorted(forgotten)
    ]


async def _compare(engine: AsyncEngine, outside: _Outside, rails: Rails) -> Findings:
    findings = Findings(not_made=list(outside.not_made))
    settles = {rail: adapter.capabilities.settles_within for rail, adapter in rails.items()}
    async with snapshot(engine) as connection:
        held = await read_held(connection)
        findings.take(await check_books(connection))
        lines = await match_statements(connection, periods=await covered(connection), settles=settles)
        findings.take(lines)
        findings.take(await compare_balances(connection, told=outside.told, held=held, lines=lines.breaks))
        for side, seen in outside.chains:
            findings.take(await compare_chain(connection, side=side, seen=seen, held=held))
    return findings


# A hint to the poller, like a callback: the rail is asked, and only its answer counts.
_RING = text("""
UPDATE attempts SET due_at = :now
WHERE id = ANY(CAST(:ids AS text[])) AND outcome <> 'failed' AND (due_at IS NULL OR due_at > :now)
""")


async def _keep(engine: AsyncEngine, findings: Findings, run_id: str, *, started_at: datetime, clock: Clock) -> Report:
    now = clock()
    returned = [one.attempt_id for one in findings.breaks if one.kind == "return_unbooked" and one.attempt_id]
    async with transaction(engine, point="reconcile.keep") as connection:
        known = await attempts_to_ask(connection, since=started_at)
        await connection.execute(_RING, {"ids": [*returned, *known], "now": now})
        # An asset that nothing was booked in yet may have to be.
        await register_assets(connection, assets={one.asset for one in findings.comparisons})
        ids, closed = await keep_breaks(connection, findings=findings, run_id=run_id, started_at=started_at, now=now)
        report = Report(
            run_id=run_id,
            started_at=started_at,
            finished_at=now,
            comparisons=tuple(findings.comparisons),
            breaks=tuple(findings.breaks),
            not_made=tuple(findings.not_made),
            notes=tuple(findings.notes),
            ids=ids,
            closed=closed,
        )
        await runs.finish(connection, report=report, blocks=findings.blocks)
        if returned or known:
            await wake(connection, "attempts")
    return report
