"""Every decision about moves of float that the console offers, and which of them a move is open to."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException

from gateway.treasury.approvals import REFERENCE_MOST, approve_move, book_arrival, refuse_move
from gateway.treasury.moves import STOPPABLE, WORDS, MoveView, Stage, find_view
from gateway.web.console.decide import Decision, Deed, Facts, Input
from gateway.web.console.payout_looks import moment
from gateway.web.services import WebServices


async def look_at_move(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    """A move by its id, what it costs and why, and what was decided about it; None where no rail is configured."""
    view = None if services.floats is None else await find_view(connection, move_id=subject)
    return None if view is None else facts_of(view)


def facts_of(view: MoveView) -> Facts:
    """A move in words."""
    move = view.move
    known = {
        "Our account there": move.to and move.to.account,
        "To be sent to": move.address,
        "After": move.after,
        "Order": view.order_id,
        "Proposed by": view.proposed_by,
        "Approved by": view.approved_by,
        "Ended because": view.reason,
    }
    return {
        "Move": move.id,
        "It is": WORDS[view.stage],
        "Money": str(move.money),
        "To": move.to_rail,
        "By": move.by or "a person, who sends coins",
        "From": move.from_,
        "Leaves there": str(move.give),
        "Costs": str(move.cost),
        "Begins": moment(move.at),
        "There": moment(move.arrives_at),
        **{label: value for label, value in known.items() if value},
        "Why": move.why,
    }


def deeds_of(view: MoveView, *, operator: str, stale: bool) -> dict[str, str]:
    """What this person can decide about it, by address; what is offered may still be refused."""
    address, found = f"/console/decide/{{}}/{view.move.id}", {}
    open_to = view.stage is Stage.PLANNED or (view.stage is Stage.PROPOSED and view.proposed_by != operator)
    if open_to and not stale:
        found[address.format("approve-move")] = "Approve it"
    if view.stage is (Stage.APPROVED if view.by_person else Stage.IN_TRANSIT):
        found[address.format("move-arrived")] = "The money is there"
    if view.stage in STOPPABLE:
        found[address.format("refuse-move")] = "Cancel it" if view.stage is Stage.APPROVED else "Refuse it"
    return found


async def _approve(deed: Deed) -> None:
    if deed.services.floats is None:
        raise HTTPException(404)
    await approve_move(
        deed.connection,
        move_id=deed.subject,
        operator=deed.operator,
        reason=deed.reason,
        rules=deed.services.payouts,
        book=deed.services.floats,
        now=deed.now,
    )


async def _refuse(deed: Deed) -> None:
    await refuse_move(deed.connection, move_id=deed.subject, operator=deed.operator, reason=deed.reason, now=deed.now)


async def _arrived(deed: Deed) -> None:
    await book_arrival(
        deed.connection,
        move_id=deed.subject,
        reference=deed.fields["reference"],
        operator=deed.operator,
        reason=deed.reason,
        now=deed.now,
    )


FLOAT_DECISIONS: Mapping[str, Decision] = {
    "approve-move": Decision(
        title="Approve a move of float",
        effect="What it takes is reserved, and it begins by itself at its time. Above the configured amount a second person "
        "has to agree first.",
        button="Approve the move",
        look=look_at_move,
        carry_out=_approve,
    ),
    "refuse-move": Decision(
        title="Refuse or cancel a move of float",
        effect="It isn't made, and what it had reserved is free again. What has begun can't be cancelled.",
        button="Don't make the move",
        look=look_at_move,
        carry_out=_refuse,
    ),
    "move-arrived": Decision(
        title="Say that a move's money is there",
        effect="It is booked as float of its rail. Say so when you have seen it there yourself.",
        button="It is there",
        look=look_at_move,
        carry_out=_arrived,
        inputs=(
            Input(
                name="reference",
                label="What shows it",
                hint="The line of the rail's statement; of coins that you sent, the transaction.",
                most=REFERENCE_MOST,
            ),
        ),
    ),
}
"""By the last but one part of its address."""
