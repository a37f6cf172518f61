"""Poll: every open attempt is asked about until the rail has said something final, whoever sent it and whatever was lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import Clock
from gateway.db.session import transaction
from gateway.money import Asset, Money
from gateway.offramp import Asked, AttemptRef, Destination, Instruction, Method, Offramp, Resend
from gateway.operators.incidents import Alarm, open_incidents
from gateway.payouts.dispatch import MARGIN
from gateway.payouts.rails import Rails
from gateway.payouts.record import News, next_ask, record
from gateway.payouts.send import NoAnswer, ask, send

SET = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An open attempt that this worker asks about."""

    adapter: str
    order_id: str
    instruction: Instruction
    provider_ref: str | None
    sent_at: datetime
    outcome: str
    asks: int
    lease: int


_CLAIM = text("""
WITH due AS (
    SELECT id FROM attempts
    WHERE closed_at IS NULL AND due_at <= :now AND (lease_until IS NULL OR lease_until <= :now) AND adapter = ANY(:adapters)
    ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE attempts AS a SET asks = a.asks + 1, lease_token = nextval('lease_tokens'), lease_until = :until
    FROM due WHERE a.id = due.id RETURNING a.*
)
SELECT t.*, s.decimals, q.country, q.method, r.name, r.account
FROM taken AS t
JOIN assets AS s ON s.code = t.deliver_asset
JOIN orders AS o ON o.id = t.order_id
JOIN quotes AS q ON q.id = o.quote_id
JOIN recipients AS r ON r.order_id = o.id
""")
_ASKED = text("""
UPDATE attempts AS a SET due_at = n.due_at, lease_until = NULL
FROM unnest(CAST(:ids AS text[]), CAST(:leases AS bigint[]), CAST(:due AS timestamptz[])) AS n (id, lease, due_at)
WHERE a.id = n.id AND a.lease_token = n.lease AND a.closed_at IS NULL
""")


async def poll(engine: AsyncEngine, *, rails: Rails, clock: Clock) -> int:
    """Ask about one set of attempts that are due. Returns how many."""
    now = clock()
    async with transaction(engine) as connection:
        slowest = max((capabilities.answer_within for capabilities in rails.capabilities.values()), default=MARGIN)
        parameters = {"now": now, "until": now + slowest + MARGIN, "most": SET, "adapters": list(rails)}
        due = [_due(row) for row in await connection.execute(_CLAIM, parameters)]
        await open_incidents(connection, alarms=_overdue(due, rails, now=now), now=now)
    if not due:
        return 0
    answers = await asyncio.gather(*(_ask_or_resend(rails[item.adapter], item, now=now) for item in due))
    now = clock()
    async with transaction(engine) as connection:
        await record(connection, news=[answer for answer in answers if isinstance(answer, News)], now=now)
        waiting = [answer for answer in answers if isinstance(answer, Due)]
        await connection.execute(
            _ASKED,
            {
                "ids": [item.instruction.attempt_id for item in waiting],
                "leases": [item.lease for item in waiting],
                "due": [next_ask(item.asks, now=now) for item in waiting],
            },
        )
    return len(due)


async def _ask_or_resend(adapter: Offramp, item: Due, *, now: datetime) -> News | Due:
    """Ask, or send the same id again where the rail drops doubles. The `Due` comes back if nothing new is known."""
    if _may_resend(adapter, item, now=now):
        report = await send(adapter, item.instruction, again=True)
    else:
        answer = await ask(
            adapter,
            AttemptRef(
                attempt_id=item.instruction.attempt_id,
                provider_ref=item.provider_ref,
                deliver=item.instruction.deliver,
                sent_at=item.sent_at,
            ),
        )
        if isinstance(answer, Asked | NoAnswer):
            return item
        report = answer
    return News(attempt_id=item.instruction.attempt_id, report=report, lease=item.lease)


def _may_resend(adapter: Offramp, item: Due, *, now: datetime) -> bool:
    """Nothing was ever heard of it: perhaps it never left. Every other time we ask; in between we send the same id again."""
    capabilities = adapter.capabilities
    return (
        item.outcome in ("sending", "unknown")
        and capabilities.resend is Resend.DEDUPED
        and now - item.sent_at < capabilities.resend_within
        and item.asks % 2 == (1 if item.outcome == "sending" else 0)
    )


def _overdue(due: list[Due], rails: Rails, *, now: datetime) -> list[Alarm]:
    return [
        Alarm(
            f"attempt:{item.instruction.attempt_id}:overdue",
            "payout_overdue",
            item.order_id,
            {"attempt": item.instruction.attempt_id, "adapter": item.adapter, "outcome": item.outcome},
        )
        for item in due
        if now - item.sent_at > max(rails[item.adapter].capabilities.settles_within, timedelta(minutes=1))
    ]


def _due(row: Row[tuple[object, ...]]) -> Due:
    return Due(
        adapter=row.adapter,
        order_id=row.order_id,
        instruction=Instruction(
            attempt_id=row.id,
            deliver=Money(int(row.deliver_units), Asset(row.deliver_asset, row.decimals)),
            to=Destination(country=row.country, method=Method(row.method), account=row.account, holder=row.name),
        ),
        provider_ref=row.provider_ref,
        sent_at=row.created_at,
        outcome=row.outcome,
        asks=row.asks,
        lease=row.lease_token,
    )
