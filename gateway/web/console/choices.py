"""How an order's ways were chosen, in words: what `gateway.payouts.explain` tells, as the API and the command line do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.money import Money
from gateway.payouts.explain import Explained, explain, foresee
from gateway.routing.candidates import AMOUNT, INSTITUTION, POLICY
from gateway.routing.choose import (
    ATTEMPT_NOT_OVER,
    EARLIER_WAY,
    FLOAT_LOW,
    NO_RAIL,
    NO_RAIL_ALLOWED,
    RAIL_FULL,
    RAIL_UNAVAILABLE,
    RECIPIENT_REFUSED,
    RETURNED,
    Candidate,
    Choice,
    Pay,
    Refusal,
    Wait,
)
from gateway.routing.decisions import Shelf
from gateway.routing.scene import Scene
from gateway.routing.score import Numbers
from gateway.web.services import WebServices

WHYS: Mapping[str, str] = {
    "score": "by its score",
    "preferred": "a rule prefers it",
    "share": "its share has come up",
    "explored": "tried to see whether it does better by now",
    "planned": "assigned together with other orders",
}
REASONS: Mapping[str, str] = {
    AMOUNT: "it doesn't pay this amount",
    INSTITUTION: "it doesn't reach the recipient's bank or wallet",
    POLICY: "the operator's rules keep it from this payment",
    FLOAT_LOW: "what we hold there doesn't cover it",
    RAIL_FULL: "it takes no more now",
    EARLIER_WAY: "the recipient put another way first",
    RAIL_UNAVAILABLE: "it doesn't work for us",
    RECIPIENT_REFUSED: "the recipient's account was refused",
    RETURNED: "the money came back",
    NO_RAIL: "no rail pays this amount there",
    NO_RAIL_ALLOWED: "the operator's rules leave no rail that pays it",
    ATTEMPT_NOT_OVER: "an attempt isn't proven to be over",
}
"""Why a rail wasn't asked, and why an order waits or is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A rail by one of the recipient's ways: what was known of it, and what put it there."""

    rail: str
    method: str
    said: str
    numbers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRow:
    """One decision. `at` None: how it would fall now."""

    at: datetime | None
    policy: str
    ends: str
    attempt_id: str | None
    candidates: tuple[Line, ...]
    """The best first."""
    refused: tuple[Line, ...]


async def read_choices(
    connection: AsyncConnection, services: WebServices, *, order_id: str, scene: Scene
) -> list[ChoiceRow]:
    """All decisions about an order that are still kept, the newest first, and before them how the choice would fall now."""
    made = await explain(connection, order_id=order_id, rails=services.rails, shelf=Shelf())
    now = await foresee(connection, order_id=order_id, rails=services.rails, scene=scene, now=services.clock())
    return [*([] if now is None else [_row(now, at=None)]), *(_row(one, at=one.at) for one in reversed(made))]


def _row(one: Explained, *, at: datetime | None) -> ChoiceRow:
    methods = {way.rank: way.method for way in one.ways}
    return ChoiceRow(
        at=at,
        policy=one.policy,
        ends=_ends(one.ranking.choice),
        attempt_id=one.ask and one.ask.attempt_id,
        candidates=tuple(_candidate(each, methods, one.deliver) for each in one.ranking.candidates),
        refused=tuple(_refusal(each, methods, one.deliver) for each in one.ranking.refused),
    )


def _ends(choice: Choice) -> str:
    if isinstance(choice, Pay):
        return f"by {choice.rail}"
    reason = REASONS.get(choice.reason, choice.reason)
    if not isinstance(choice, Wait):
        return f"held: {reason}"
    again = "" if choice.again_at is None else f"; looked at again at {choice.again_at:%H:%M:%S} UTC"
    return f"waits: {reason}{again}"


def _candidate(one: Candidate, methods: Mapping[int, str], deliver: Money) -> Line:
    return Line(rail=one.rail, method=methods[one.way], said=WHYS[one.why], numbers=_said(one.numbers, deliver))


def _refusal(one: Refusal, methods: Mapping[int, str], deliver: Money) -> Line:
    numbers = "" if one.numbers is None else _said(one.numbers, deliver)
    said = one.detail or REASONS[one.reason]
    return Line(rail=one.rail, method=methods[one.way], said=said, numbers=numbers)


def _said(numbers: Numbers, deliver: Money) -> str:
    hand, charge, score = (Money(units, deliver.asset) for units in (numbers.hand, numbers.charge, numbers.score))
    wait = f"waits {timedelta(seconds=numbers.wait_s)}, then " if numbers.wait_s else ""
    times = f"{timedelta(seconds=numbers.p50_s)} for half, {timedelta(seconds=numbers.p95_s)} for 19 of 20"
    success = f"{_percent(numbers.success_ppm)} succeed, at least {_percent(numbers.success_low_ppm)}"
    of = f"of {numbers.samples} payments" if numbers.samples else "a guess"
    return f"In hand {hand}, rail's fee {charge}; {wait}{times}; {success} ({of}); score {score}"


def _percent(ppm: int) -> str:
    tenths = ppm // 1_000
    return f"{tenths // 10}.{tenths % 10} %"
