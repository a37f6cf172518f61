"""What a claim saw and chose, into what is kept of it, and back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from gateway.offramp import Capabilities
from gateway.orders.states import E
from gateway.payouts.allowances import UNTRACKED, Allowance
from gateway.payouts.placing import Plan
from gateway.payouts.send import Claimed
from gateway.routing.decisions import Choices, RoomKept, Span

_ANYTHING = RoomKept()


def choices_of(plan: Plan, allowed: Mapping[str, Allowance]) -> Choices:
    """What is kept of a claim whose orders are placed, before its attempts are made."""
    rooms = {name: _kept(allowance) for name, allowance in allowed.items()}
    return Choices(
        rooms={name: room for name, room in rooms.items() if room != _ANYTHING},
        facts=plan.facts,
        held=tuple(
            move.order_id for move in plan.moves if move.event is E.HOLD_PLACED and move.cause.startswith("no_rail:")
        ),
        planned=plan.planned,
    )


def span_of(claimed: Sequence[Claimed]) -> Span:
    """A claim's attempts: their ids rise in the order in which the orders were placed."""
    return Span(claimed[0].instruction.attempt_id, claimed[-1].instruction.attempt_id) if claimed else Span()


def allowance_of(kept: RoomKept, capabilities: Capabilities) -> Allowance:
    """What the rail could be given at the beginning of the claim."""
    left = None
    if kept.left is not None:
        left = dict.fromkeys((one.asset.code for one in capabilities.corridors), UNTRACKED) | kept.left
    return Allowance(
        most=sys.maxsize if kept.most is None else kept.most,
        again_at=kept.again_at,
        reason=kept.reason,
        left=left,
        in_bulk=kept.in_bulk,
    )


def _kept(allowance: Allowance) -> RoomKept:
    left = allowance.left
    return RoomKept(
        most=None if allowance.most == sys.maxsize else allowance.most,
        again_at=allowance.again_at,
        reason=allowance.reason,
        left=None if left is None else {asset: units for asset, units in left.items() if units < UNTRACKED},
        in_bulk=allowance.in_bulk,
    )
