"""The first page: what needs a person, then how everything stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from gateway.chain.health import Health, Readiness, read_health
from gateway.db.session import transaction
from gateway.money import Asset, Money
from gateway.operators.incidents import IncidentView, list_open_incidents
from gateway.operators.sessions import Session
from gateway.payouts.attention import count_waiting
from gateway.payouts.evidence import ResolutionRules
from gateway.pricing.halts import open_stops
from gateway.web.console.door import Door

INCIDENTS_SHOWN = 5
PAYOUTS = "/console/payouts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something for a person to do: a sentence, and where to do it."""

    sentence: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much waits for a person."""

    held: int
    uncertain: int
    strays: int
    stuck: int
    unallocated: tuple[Money, ...]
    overdue: int = 0
    """Payouts that take longer than their rail does."""
    proposed: int = 0
    """Proposals that wait for a second person."""
    owed: int = 0
    """Payouts in part, of which the rest is owed."""


# Each through an index of what is open.
_COUNTS = text("""
SELECT (SELECT count(*) FROM strays WHERE asset IS NULL AND closed_at IS NULL) AS strays,
    (SELECT count(*) FROM chain_transactions WHERE due_at IS NOT NULL AND stuck_at IS NOT NULL) AS stuck
""")
_UNALLOCATED = text("""
SELECT asset, decimals, sum(unallocated) AS units FROM order_balances JOIN assets ON code = asset
WHERE unallocated > 0 GROUP BY asset, decimals ORDER BY asset
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Handlers."""

    door: Door

    async def page(self, _request: Request, session: Session) -> Response:
        """State of everything, the most pressing first."""
        services = self.door.services
        async with transaction(services.engine) as connection:
            health = await read_health(connection, chains=services.chains, now=services.clock())
            incidents = await list_open_incidents(connection, most=INCIDENTS_SHOWN)
            counts = await read_counts(connection, rules=services.payouts, now=services.clock())
            stops = await open_stops(connection)
        return self.door.answer(
            "overview.html",
            session=session,
            health=health,
            stops=stops,
            incidents=incidents,
            counts=counts,
            tasks=list(tasks_of(health, incidents, counts)),
            tokens=sorted(token.asset.code for token in services.offer.tokens.values()),
        )


async def read_counts(connection: AsyncConnection, *, rules: ResolutionRules, now: datetime) -> Counts:
    """What waits, counted."""
    payouts = await count_waiting(connection, rules=rules, now=now)
    row = (await connection.execute(_COUNTS)).one()
    money = [Money(int(one.units), Asset(one.asset, one.decimals)) for one in await connection.execute(_UNALLOCATED)]
    return Counts(
        held=payouts.held,
        uncertain=payouts.unknown,
        overdue=payouts.overdue,
        proposed=payouts.proposed,
        owed=payouts.owed,
        strays=row.strays,
        stuck=row.stuck,
        unallocated=tuple(money),
    )


def tasks_of(health: Health, incidents: Sequence[IncidentView], counts: Counts) -> Iterator[Task]:
    """What needs a person, the most pressing first: what stops everybody, then what may lose money, then what waits."""
    for chain in sorted(health.chains, key=lambda one: list(Readiness).index(one.readiness), reverse=True):
        if chain.problem is not None:
            yield Task(sentence=chain.problem, address=f"#chain-{chain.chain_id}")
    yield from _payout_tasks(counts)
    if counts.stuck:
        yield Task(sentence=f"Transactions of ours that are stuck: {counts.stuck}", address="/console/incidents")
    if incidents:
        kind = incidents[0].kind.replace("_", " ")
        yield Task(sentence=f"Open incidents; the oldest: {kind}", address="/console/incidents")
    for asset in health.frozen:
        yield Task(sentence=f"{asset} is frozen", address=f"/console/decide/lift-freeze/{asset}")
    if counts.held:
        yield Task(sentence=f"Held orders: {counts.held}", address=f"{PAYOUTS}#held")
    if counts.unallocated or counts.strays:
        yield Task(sentence="Money that fits no order", address="/console/deposits")


def _payout_tasks(counts: Counts) -> Iterator[Task]:
    if counts.uncertain:
        yield Task(sentence=f"Payouts whose end nobody knows: {counts.uncertain}", address=f"{PAYOUTS}?which=unknown")
    if counts.proposed:
        yield Task(
            sentence=f"Evidence that waits for a second person: {counts.proposed}", address=f"{PAYOUTS}?which=proposed"
        )
    if counts.overdue:
        yield Task(sentence=f"Payouts that take too long: {counts.overdue}", address=f"{PAYOUTS}?which=overdue")
    if counts.owed:
        yield Task(sentence=f"Payouts in part, the rest is owed: {counts.owed}", address=f"{PAYOUTS}?which=owed")
