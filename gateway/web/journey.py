"""An order as a way with stages: where it is, what comes next, how often to look again. Plain functions of the view."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.money import Money
from gateway.orders.states import S
from gateway.payouts.views import OrderView
from gateway.payouts.views import PublicStatus as Status

STAGES = (
    ("deposit", None),
    ("seen", S.CONFIRMING),
    ("confirmed", S.FUNDED),
    ("sent", S.PAYING),
    ("delivered", S.PAID),
)
"""The stages in order, each with the state whose first moment is its time."""

SOON, LATER = 4, 60
"""Seconds between two looks: while things move, and while they wait for a person."""


class Place(NamedTuple):
    """Where a status stands."""

    stage: str | None
    """None: at the last stage reached before something came between."""
    mood: str
    """For the eye: go, wait, care, end, done."""
    look: int | None
    """Seconds until the next look; None: there is no more news to come."""


PLACES = {
    Status.AWAITING_DEPOSIT: Place("deposit", "wait", SOON),
    Status.DEPOSIT_SEEN: Place("seen", "go", SOON),
    Status.FUNDED: Place("confirmed", "go", SOON),
    Status.IN_TRANSIT: Place("sent", "go", SOON),
    Status.READY_FOR_PICKUP: Place("sent", "wait", LATER),
    Status.DELIVERED: Place("delivered", "done", None),
    Status.CONFIRMED: Place("delivered", "done", None),
    Status.NEEDS_INFO: Place(None, "care", LATER),
    Status.ON_HOLD: Place(None, "care", LATER),
    Status.INVESTIGATING: Place("sent", "care", LATER),
    Status.RETURNED: Place(None, "care", LATER),
    Status.REFUNDING: Place(None, "care", LATER),
    Status.REFUNDED: Place(None, "end", None),
    Status.EXPIRED: Place("deposit", "end", LATER),
    Status.CANCELLED: Place("deposit", "end", LATER),
}
"""Expired and cancelled orders are still looked at: late money may arrive."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the way: "past", "present" or "ahead", and when it was reached."""

    key: str
    tense: str
    at: datetime | None


def stages(view: OrderView) -> tuple[Stage, ...]:
    """All stages of an order."""
    reached: dict[str | None, datetime] = {step.state: step.at for step in reversed(view.steps)}
    keys = [key for key, _ in STAGES]
    stage = PLACES[view.progress.status].stage or _last(reached)
    present = keys.index(stage)
    tenses = ("past",) * present + ("present",) + ("ahead",) * (len(STAGES) - present - 1)
    return tuple(
        Stage(key, tense, None if tense == "ahead" else reached.get(state))
        for (key, state), tense in zip(STAGES, tenses, strict=True)
    )


def _last(reached: Container[str | None]) -> str:
    """The last stage on the way; a delivery that something came after is none."""
    return [key for key, state in STAGES[:-1] if state is None or state in reached][-1]


def to_pay(view: OrderView, *, now: datetime) -> Money | None:
    """What is still to arrive at the order's address; None once nothing should be sent there any more."""
    open_status = view.progress.status is Status.AWAITING_DEPOSIT or view.progress.reason == "underpaid"
    if not open_status or now >= view.expires_at or view.send <= view.received:
        return None
    return view.send - view.received
