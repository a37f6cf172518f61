"""History through another policy: what would have been chosen, and what that promised in cost, time and failures.

What is compared is what experience said at the time of both choices, for what would have happened nobody knows. Every
decision is taken with the room that its claim found and the attempts that had been made: what another policy would have left
over for later claims, and which attempts it would have spared, isn't carried on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import reading, rows
from gateway.money import Asset
from gateway.offramp import Outcome
from gateway.payouts.explain import Ask, PastClaim, read_claims, walk
from gateway.payouts.rails import Rails
from gateway.routing.choose import Pay, Ranking
from gateway.routing.decisions import Shelf
from gateway.routing.policy import Policy
from gateway.routing.score import Numbers

CLAIMS_AT_ONCE = 50
FEW = 20
"""A rail's numbers that rest on fewer payments are a guess more than experience."""
MILLION = 1_000_000

Change = Callable[[Policy], Policy]
"""The policy to compare with, from the one that held."""


@dataclass(slots=True)
class Side:
    """What one policy comes to. Money in units, by currency."""

    paid: int = 0
    """Decisions to send."""
    rail_fees: Counter[Asset] = field(default_factory=Counter[Asset])
    cash_outs: Counter[Asset] = field(default_factory=Counter[Asset])
    """What recipients pay to have cash."""
    p50_s: Counter[int] = field(default_factory=Counter[int])
    """Seconds until half of such payments are there, waiting counted: how many decisions."""
    p95_s: Counter[int] = field(default_factory=Counter[int])
    failures_ppm: int = 0
    """Expected failures, in millionths."""
    failures_most_ppm: int = 0
    """The same at the lower bounds of the rates of success."""
    rails: Counter[str] = field(default_factory=Counter[str])

    def add(self, rail: str, numbers: Numbers, ask: Ask) -> None:
        """Count a decision to send by a rail."""
        asset, units = ask.case.deliver.asset, ask.case.deliver.units
        self.paid += 1
        self.rails[rail] += 1
        self.rail_fees[asset] += numbers.charge
        self.cash_outs[asset] += units - numbers.hand
        self.p50_s[numbers.wait_s + numbers.p50_s] += 1
        self.p95_s[numbers.wait_s + numbers.p95_s] += 1
        self.failures_ppm += MILLION - numbers.success_ppm
        self.failures_most_ppm += MILLION - numbers.success_low_ppm


@dataclass(slots=True)
class Comparison:
    """Two policies side by side."""

    policy: str
    decisions: int = 0
    waits: int = 0
    """Decisions to send that the other policy wouldn't have taken: it would have waited or held the order."""
    freed: int = 0
    """Orders that were held and that the other policy would have sent."""
    changed: int = 0
    """Decisions by which another rail would have been asked."""
    guessed: int = 0
    """Those of them whose rail had been known by few payments."""
    recorded: Side = field(default_factory=Side)
    other: Side = field(default_factory=Side)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """From which rail to which."""
    failed: int = 0
    """Recorded decisions whose payment failed or came back: what really happened."""
    took_s: Counter[int] = field(default_factory=Counter[int])
    """Seconds that the recorded payments really took."""


class Progress(NamedTuple):
    """How far it is."""

    decisions: int
    upto: datetime


_PAGE = text("""
SELECT id, at, policy, scene_id, experience, first, last, choices FROM route_decisions
WHERE (at, id) > (CAST(:at AS timestamptz), CAST(:id AS bigint)) AND at < :until ORDER BY at, id LIMIT :most
""")


async def replay(
    engine: AsyncEngine, *, rails: Rails, policy: Change, since: datetime, until: datetime, into: Comparison
) -> AsyncIterator[Progress]:
    """Compare all decisions from `since` to before `until`, piece by piece, `into` what is there already."""
    shelf, place = Shelf(), (since, 0)
    while True:
        async with reading(engine) as connection:
            values = {"at": place[0], "id": place[1], "until": until, "most": CLAIMS_AT_ONCE}
            found = await rows(connection, _PAGE, values)
            claims = await read_claims(connection, found, shelf=shelf)
        if not found:
            return
        for claim in claims:
            _compare(claim, rails=rails, policy=policy, into=into)
        place = (found[-1].at, found[-1].id)
        yield Progress(into.decisions, place[0])


def median(counted: Counter[int]) -> int:
    """The middle one of what was counted; 0: nothing was."""
    left = counted.total() // 2
    for value in sorted(counted):
        left -= counted[value]
        if left < 0:
            return value
    return 0


def _compare(claim: PastClaim, *, rails: Rails, policy: Change, into: Comparison) -> None:
    for (ask, was), (_, would) in _both(claim, rails=rails, policy=policy):
        into.decisions += 1
        now = would.choice if isinstance(would.choice, Pay) else None
        if ask.rail is None:
            into.freed += now is not None
            continue
        if now is None:
            into.waits += 1
            continue
        old, new = _numbers(was, Pay(ask.rail, ask.way)), _numbers(would, now)
        into.recorded.add(ask.rail, old, ask)
        into.other.add(now.rail, new, ask)
        _really(ask, into)
        if now.rail != ask.rail:
            into.changed += 1
            into.guessed += new.samples < FEW
            into.moves[ask.rail, now.rail] += 1


def _both(claim: PastClaim, *, rails: Rails, policy: Change) -> Iterator[tuple[tuple[Ask, Ranking], tuple[Ask, Ranking]]]:
    other = replace(claim.scene, policy=policy(claim.scene.policy))
    return zip(walk(claim, rails=rails), walk(claim, rails=rails, scene=other), strict=True)


def _numbers(ranking: Ranking, pay: Pay) -> Numbers:
    return next(one.numbers for one in ranking.candidates if Pay(one.rail, one.way) == pay)


def _really(ask: Ask, into: Comparison) -> None:
    into.failed += ask.outcome in (Outcome.FAILED, Outcome.RETURNED)
    if ask.outcome == Outcome.PAID and ask.closed_at is not None:
        into.took_s[(ask.closed_at - ask.sent_at) // timedelta(seconds=1)] += 1
