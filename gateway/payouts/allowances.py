"""How much may be sent to each rail now: its limits, its breaker, and our float there.

`allowances` is called at the beginning of a claim's transaction and locks the rows of the rails that have something to say,
so that claims for the same rail follow one another; each sees what the one before it took. Where nothing but float limits
them, and there is enough, claims go side by side: what they promise is added up at their end (`confirm`), behind the same
lock. A rail without limits, with a closed breaker and untracked float costs nothing but its part of one short question.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.session import quick, rows
from gateway.offramp import Capabilities
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.gcra import CLOCKS_APART, Pace
from gateway.payouts.health import Breaker, Health, is_due
from gateway.payouts.pace import lease_until
from gateway.payouts.rails import Rails

BOUNDLESS = 10_000
"""A rail that takes as many calls at once has no limit: all our processes together make fewer."""
LOOK_AGAIN = timedelta(milliseconds=200)
"""When to look again at a rail all of whose calls are under way: their answers come at any time."""
UNTRACKED = 10**78
"""Units left of a currency whose float at a rail isn't tracked, while another's is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be claimed for one rail now."""

    most: int = sys.maxsize
    """How many calls. The payments of one batch are one call."""
    again_at: datetime | None = None
    """When to look again, if `most` is 0 and that is known."""
    reason: str | None = None
    """Why `most` is 0: a sentence for operators."""
    left: Mapping[str, int] | None = None
    """Units of float that may still be promised, per asset code; None: the rail's float isn't tracked."""
    in_bulk: bool = True
    """Whether a batch may go as one call: not where a single payment is to show whether the rail works."""
    paced: bool = False
    """Whether `take` has to be told how many were claimed."""
    unconfirmed: bool = False
    """Whether `left` was read without a lock: `confirm` has to be asked at the end of the claim."""


class FloatTaken(Exception):
    """Claims that went side by side promised more float than there is: this one has to be made anew, behind the lock."""


_ANYTHING = Allowance()

_SPEAKING = text("""
SELECT
    ARRAY(SELECT rail FROM rail_states WHERE rail = ANY(CAST(:rails AS text[])) AND state <> 'closed') AS broken,
    ARRAY(SELECT DISTINCT rail FROM rail_balances WHERE rail = ANY(CAST(:rails AS text[])) AND top_ups > 0) AS tracked
""")
_MAKE = text("""
INSERT INTO rail_states (rail) SELECT unnest(CAST(:rails AS text[])) AS rail ORDER BY rail ON CONFLICT DO NOTHING
""")
_LOCK = text("""
SELECT rail, state, reason, stopped_by, open_until, next_call_at, call_interval
FROM rail_states WHERE rail = ANY(CAST(:rails AS text[])) ORDER BY rail FOR UPDATE
""")
# A worker's lease that lies too far ahead comes from a clock that was set back since: that worker's call is over.
_UNDER_WAY = text("""
SELECT r.rail, count(DISTINCT COALESCE(a.batch_id, a.id)) AS calls
FROM unnest(CAST(:rails AS text[]), CAST(:horizons AS timestamptz[])) AS r (rail, horizon)
JOIN attempts AS a ON a.adapter = r.rail AND a.outcome = 'sending' AND a.closed_at IS NULL
    AND a.lease_until > :now AND a.lease_until <= r.horizon
GROUP BY r.rail
""")
# One statement, hence one snapshot: a payment that settles meanwhile counts as promised or as spent, never as neither.
_LEFT = text("""
SELECT b.rail, b.asset, b.top_ups, b.held - COALESCE((
    SELECT sum(a.deliver_units) FROM attempts AS a
    WHERE a.adapter = b.rail AND a.closed_at IS NULL AND a.deliver_asset = b.asset
), 0) - COALESCE((
    SELECT sum(r.units) FROM float_reserved AS r WHERE r.account = 'rail\\:' || b.rail AND r.asset = b.asset
), 0) AS units
FROM rail_balances AS b WHERE b.rail = ANY(CAST(:rails AS text[])) AND b.top_ups > 0
""")
_HALF_OPEN = text("""
UPDATE rail_states SET state = 'half_open', since = :now WHERE rail = ANY(CAST(:rails AS text[]))
""")
_PACE = text("""
UPDATE rail_states AS s SET next_call_at = n.next_call_at, call_interval = n.call_interval
FROM unnest(CAST(:rails AS text[]), CAST(:moments AS timestamptz[]), CAST(:intervals AS interval[]))
    AS n (rail, next_call_at, call_interval)
WHERE s.rail = n.rail
""")
_TAKE = text("""
UPDATE rail_states AS s SET next_call_at = GREATEST(s.next_call_at, CAST(:now AS timestamptz)) + n.calls * s.call_interval
FROM unnest(CAST(:rails AS text[]), CAST(:calls AS bigint[])) AS n (rail, calls)
WHERE s.rail = n.rail AND s.call_interval IS NOT NULL
""")


async def allowances(
    connection: AsyncConnection, *, rails: Rails, now: datetime, alone: bool = True
) -> dict[str, Allowance]:
    """What each rail may be given now, in a claim's transaction, before it chooses anything.

    Until that transaction ends no other gets an answer for the rails that have limits, tracked float or an open breaker.
    Not `alone`: where float is all that limits them, and there is enough of it, nothing is locked before `confirm`.
    """
    known = rails.capabilities
    found = await quick(connection, _SPEAKING, {"rails": list(known)})
    assert found is not None
    broken, tracked = found
    limited = [name for name, capabilities in known.items() if _has_limits(capabilities)]
    if not (alone or broken or limited):
        left, low = await _left(connection, known, tracked) if tracked else ({}, [])
        if not low:
            return {name: Allowance(left=left[name], unconfirmed=True) if name in left else _ANYTHING for name in known}
    speaking = {*limited, *broken, *tracked}
    if not speaking:
        return dict.fromkeys(known, _ANYTHING)
    states = await _lock(connection, sorted(speaking))
    calls = await _under_way(connection, known, states, now=now)
    await _renew(connection, known, states, now=now)
    told = {row.rail: _told(row, known[row.rail], calls=calls.get(row.rail, 0), now=now) for row in states}
    left, low = await _left(connection, known, tracked) if tracked else ({}, [])
    await open_incidents(connection, alarms=low, now=now)
    return {name: replace(told[name], left=left.get(name)) if name in left else told.get(name, _ANYTHING) for name in known}


_STATES = text("""
SELECT rail, state, reason, stopped_by, open_until, next_call_at, call_interval
FROM rail_states WHERE rail = ANY(CAST(:rails AS text[]))
""")


async def preview(connection: AsyncConnection, *, rails: Rails, now: datetime) -> dict[str, Allowance]:
    """What each rail could be given at this moment: for looking only, since nothing is locked and nothing written."""
    known = rails.capabilities
    states = await rows(connection, _STATES, {"rails": list(known)})
    calls = await _under_way(connection, known, states, now=now)
    told = {row.rail: _told(row, known[row.rail], calls=calls.get(row.rail, 0), now=now) for row in states}
    left, _ = await _left(connection, known, list(known))
    return {name: replace(told.get(name, _ANYTHING), left=left.get(name)) for name in known}


async def take(connection: AsyncConnection, *, counts: Mapping[str, int], now: datetime) -> None:
    """Count what was claimed (calls by rail) against the rails' pace, in the transaction in which `allowances` was asked.

    Everything else (calls under way, probes, float) is counted by the attempts themselves. Rails that aren't `paced` may
    be left out.
    """
    if counts:
        await connection.execute(_TAKE, {"now": now, "rails": list(counts), "calls": list(counts.values())})


async def confirm(connection: AsyncConnection, *, names: Iterable[str]) -> None:
    """Let a claim stand whose `unconfirmed` rails are these, at its end: behind the lock that others of them wait for.

    Raises `FloatTaken` if the float doesn't pay all that is promised by now, in this claim and in others.
    """
    if not (rails := sorted(names)):
        return
    await _lock(connection, rails)
    left = await rows(connection, _LEFT, {"rails": rails})
    if any(row.units < 0 for row in left):
        raise FloatTaken


_TOP_UPS = text("""
SELECT b.rail, b.asset, b.top_ups FROM rail_balances AS b
JOIN unnest(CAST(:rails AS text[]), CAST(:assets AS text[])) AS s (rail, asset) USING (rail, asset)
""")


async def tell_low_float(connection: AsyncConnection, *, short: Iterable[tuple[str, str]], now: datetime) -> None:
    """Open an incident for each (rail, asset code) whose float is too low for an order: one until the next top-up."""
    pairs = sorted(set(short))
    if pairs:
        values = {"rails": [one for one, _ in pairs], "assets": [one for _, one in pairs]}
        await open_incidents(connection, alarms=[_low(row) for row in await rows(connection, _TOP_UPS, values)], now=now)


def _low(row: Row[Any]) -> Alarm:
    cause = f"float:{row.rail}:{row.asset}:{row.top_ups}"
    return Alarm(cause, "float_low", None, {"rail": row.rail, "asset": row.asset})


def _has_limits(capabilities: Capabilities) -> bool:
    return capabilities.concurrency < BOUNDLESS or capabilities.calls_per_s is not None


async def _lock(connection: AsyncConnection, names: list[str]) -> list[Any]:
    states = await rows(connection, _LOCK, {"rails": names})
    if len(states) < len(names):
        await connection.execute(_MAKE, {"rails": names})
        states = await rows(connection, _LOCK, {"rails": names})
    return states


async def _under_way(
    connection: AsyncConnection, known: Mapping[str, Capabilities], states: Iterable[Row[Any]], *, now: datetime
) -> dict[str, int]:
    """Calls under way by rail, of those whose number matters."""
    counted = [
        row.rail
        for row in states
        if known[row.rail].concurrency < BOUNDLESS or row.state in (Breaker.OPEN, Breaker.HALF_OPEN)
    ]
    if not counted:
        return {}
    horizons = [lease_until(known[name], now=now) + CLOCKS_APART for name in counted]
    found = await connection.execute(_UNDER_WAY, {"rails": counted, "horizons": horizons, "now": now})
    return {row.rail: row.calls for row in found}


async def _renew(
    connection: AsyncConnection, known: Mapping[str, Capabilities], states: Iterable[Row[Any]], *, now: datetime
) -> None:
    """Write what the passing of time alone changes: a breaker's pause is over, a pace is new or its clock was set back."""
    due = [row.rail for row in states if is_due(Health(state=Breaker(row.state), open_until=row.open_until), now=now)]
    if due:
        await connection.execute(_HALF_OPEN, {"rails": due, "now": now})
    paces = {row.rail: (_pace(known[row.rail]), row) for row in states}
    changed = {
        rail: (pace.settled(row.next_call_at, now=now) if pace else None, pace.interval if pace else None)
        for rail, (pace, row) in paces.items()
        if (pace.interval if pace else None) != row.call_interval
        or (pace and row.next_call_at and pace.settled(row.next_call_at, now=now) < row.next_call_at)
    }
    if changed:
        moments, intervals = zip(*changed.values(), strict=True)
        values = {"rails": list(changed), "moments": list(moments), "intervals": list(intervals)}
        await connection.execute(_PACE, values)


def _pace(capabilities: Capabilities) -> Pace | None:
    return None if capabilities.calls_per_s is None else Pace.of(capabilities.calls_per_s)


def _told(row: Row[Any], capabilities: Capabilities, *, calls: int, now: datetime) -> Allowance:
    """What limits, pace and breaker allow."""
    if row.state == Breaker.STOPPED:
        return Allowance(most=0, reason=f"stopped by {row.stopped_by}: {row.reason}")
    state = Breaker(row.state)
    probing = state is Breaker.HALF_OPEN or is_due(Health(state=state, open_until=row.open_until), now=now)
    if state is Breaker.OPEN and not probing:
        reason = f"its breaker is open until {row.open_until:%H:%M:%S} UTC: {row.reason}"
        return Allowance(most=0, again_at=row.open_until, reason=reason)
    room = capabilities.concurrency - calls if capabilities.concurrency < BOUNDLESS else sys.maxsize
    if probing:
        room = min(room, 1 - calls)
    if room <= 0:
        reason = "one payment is under way, to show whether it works again" if probing else f"{calls} calls are under way"
        return Allowance(most=0, again_at=now + LOOK_AGAIN, reason=reason)
    pace = _pace(capabilities)
    if pace is None:
        return Allowance(most=room, in_bulk=not probing)
    free = pace.free(row.next_call_at, now=now)
    if free == 0:
        reason = f"it takes {capabilities.calls_per_s} payments a second"
        return Allowance(most=0, again_at=pace.again_at(row.next_call_at, now=now), reason=reason)
    return Allowance(most=min(room, free), in_bulk=not probing, paced=True)


async def _left(
    connection: AsyncConnection, known: Mapping[str, Capabilities], names: list[str]
) -> tuple[dict[str, dict[str, int]], list[Alarm]]:
    """Float left by rail and asset, of the rails whose float is tracked, and an alarm for what can't pay even the least."""
    left: dict[str, dict[str, int]] = {}
    low = []
    for row in await rows(connection, _LEFT, {"rails": names}):
        corridors = known[row.rail].corridors
        units = left.setdefault(row.rail, {one.asset.code: UNTRACKED for one in corridors})
        units[row.asset] = max(0, int(row.units))
        least = min((one.least.units for one in corridors if one.asset.code == row.asset), default=0)
        if units[row.asset] < least:
            low.append(_low(row))
    return left, low
