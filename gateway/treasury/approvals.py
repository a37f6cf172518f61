"""What people decide about moves: approve, refuse, cancel, and say that the money is there.

Every decision locks out the others until it is committed, so that of two at once one comes first and the other one is told
what happened. An approval is made good in its own transaction: from then on the money is reserved where it lies.
"""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refusal
from gateway.ledger.post import post
from gateway.money import Asset, Money
from gateway.operators.actions import record_action
from gateway.payouts.errors import ProposerDisabled, SamePerson
from gateway.payouts.evidence import ResolutionRules
from gateway.treasury.house import arrival, coins_arrival, give_up, open_order
from gateway.treasury.moves import STOPPABLE, WORDS, MoveView, Stage, find_view
from gateway.treasury.outlook import FloatBook, spare
from gateway.treasury.plan import Move
from gateway.treasury.plans import NoSuchMove, find_move

REFERENCE_MOST = 100
_REFERENCE = re.compile(r"[!-~]+(?: [!-~]+)*")
_TRANSACTION = re.compile(r"0x[0-9a-f]{64}")


class MoveDecided(Refusal):
    """It isn't open to this decision any more."""

    code = "move_decided"

    def __init__(self, view: MoveView) -> None:
        who = view.approved_by or view.proposed_by
        at = view.ended_at or view.approved_at or view.proposed_at
        since = f" since {at:%Y-%m-%d %H:%M} UTC" if at else ""
        decided = f", decided by {who}" if who else ""
        why = f" ({view.reason})" if view.reason else ""
        super().__init__(
            f"{view.move.id} is {WORDS[view.stage]}{since}{decided}{why}; `lastmile float moves` shows how moves stand"
        )


class MoveMoneyGone(Refusal):
    """What it would move isn't there any more."""

    code = "move_money_gone"

    def __init__(self, move: Move, left: Money | None) -> None:
        have = "nobody knows what is there" if left is None else f"{left} are left there"
        super().__init__(
            f"{move.id} takes {move.give} from {move.from_}, and {have} beside what is promised and reserved; "
            "`lastmile float plan --ask` makes a plan from what there is now"
        )


class MoveWaitsForAnother(Refusal):
    """The move before it won't come."""

    code = "move_without_its_first"

    def __init__(self, move: Move, first: MoveView) -> None:
        super().__init__(
            f"{move.id} can only come after {first.move.id}, and that one is {WORDS[first.stage]}; "
            "`lastmile float plan` makes a new plan"
        )


class MoveHasNoRail(Refusal):
    """Who would pay isn't configured."""

    code = "move_without_rail"

    def __init__(self, move: Move) -> None:
        super().__init__(
            f'{move.id} is to be paid by "{move.by}", which is no adapter any more; put it back into the settings, or make '
            "a new plan: `lastmile float plan`"
        )


class BadArrival(Refusal):
    """What shows that money arrived can't be that."""

    code = "bad_arrival"


_ALONE = text("SELECT pg_advisory_xact_lock(hashtext('float_moves'))")
# Held until the end, so that nobody is disabled while their word is being used.
_MAY = text("SELECT FROM operators WHERE name = :name AND disabled_at IS NULL FOR SHARE")
_PROPOSE = text("""
INSERT INTO float_runs (move_id, persons, proposed_by, proposed_at) VALUES (:id, :persons, :operator, :now)
""")
_REFUSE = text("""
INSERT INTO float_runs (move_id, persons, proposed_by, proposed_at, outcome, ended_at, reason)
VALUES (:id, 1, :operator, :now, 'refused', :now, :reason)
""")
_APPROVE = text("""
UPDATE float_runs SET approved_by = :operator, approved_at = :now, order_id = :order_id WHERE move_id = :id
""")
_END = text("UPDATE float_runs SET outcome = :outcome, ended_at = :now, reason = :reason WHERE move_id = :id")
_LOCK = text("SELECT o.state FROM float_runs AS r JOIN orders AS o ON o.id = r.order_id WHERE r.move_id = :id FOR UPDATE")
_BOOKED = text("SELECT FROM journal_entries WHERE cause = :cause")


async def approve_move(
    connection: AsyncConnection,
    *,
    move_id: str,
    operator: str,
    reason: str,
    rules: ResolutionRules,
    book: FloatBook,
    now: datetime,
) -> MoveView:
    """Want a move, or agree to what another wants, in the caller's transaction. What is approved begins by itself.

    Whether it takes two persons is decided as for evidence, by what the move gives. Raises `NoSuchMove`, `PlanStale`,
    `MoveDecided`, `SamePerson`, `ProposerDisabled`, `MoveMoneyGone`, `MoveWaitsForAnother`, `MoveHasNoRail`, and as
    `record_action` does. Then nothing may be committed.
    """
    await connection.execute(_ALONE)
    view = await _known(connection, move_id)
    if view.stage not in (Stage.PLANNED, Stage.PROPOSED):
        raise MoveDecided(view)
    move = await find_move(connection, move_id=move_id, now=now)
    if view.stage is Stage.PROPOSED:
        await _refuse_second(connection, view, operator)
    await _refuse_hopeless(connection, move, book=book, now=now)
    persons = view.persons or _persons(move.give, rules)
    done = persons == 1 or view.stage is Stage.PROPOSED
    await _write_down(connection, "approve" if done else "propose", move, operator=operator, reason=reason, now=now)
    if view.stage is Stage.PLANNED:
        await connection.execute(_PROPOSE, {"id": move_id, "persons": persons, "operator": operator, "now": now})
    if done:
        order_id = None if move.by is None else await open_order(connection, move=move, now=now)
        await connection.execute(_APPROVE, {"id": move_id, "operator": operator, "order_id": order_id, "now": now})
    return await _known(connection, move_id)


async def refuse_move(connection: AsyncConnection, *, move_id: str, operator: str, reason: str, now: datetime) -> None:
    """Say that a move isn't wanted, or withdraw one's own proposal. What was approved is cancelled, while it hasn't begun.

    Raises `NoSuchMove`, `MoveDecided`, and as `record_action` does.
    """
    await connection.execute(_ALONE)
    await connection.execute(_LOCK, {"id": move_id})
    view = await _known(connection, move_id)
    if view.stage not in STOPPABLE:
        raise MoveDecided(view)
    approved = view.stage is Stage.APPROVED
    action = "cancel" if approved else "refuse"
    await _write_down(connection, action, view.move, operator=operator, reason=reason, now=now)
    why = f"{operator}: {reason.strip()}"
    if view.stage is Stage.PLANNED:
        await connection.execute(_REFUSE, {"id": move_id, "operator": operator, "reason": why, "now": now})
        return
    if view.order_id is not None:
        await give_up(connection, order_id=view.order_id, move=view.move, why=why, now=now)
    await end_run(connection, move_id=move_id, outcome=Stage.CANCELLED if approved else Stage.REFUSED, why=why, now=now)


async def book_arrival(
    connection: AsyncConnection, *, move_id: str, reference: str, operator: str, reason: str, now: datetime
) -> None:
    """Say that a move's money is at its rail, in the caller's transaction: it is float there from now on.

    `reference`: the line of the rail's statement; of coins that a person sent: the transaction's hash. Raises `NoSuchMove`,
    `MoveDecided`, `BadArrival`, and as `record_action` does.
    """
    await connection.execute(_ALONE)
    await connection.execute(_LOCK, {"id": move_id})
    view = await _known(connection, move_id)
    if view.stage is not (Stage.APPROVED if view.by_person else Stage.IN_TRANSIT):
        raise MoveDecided(view)
    cause = _cause(view.move, reference)
    detail = {"reference": reference}
    await _write_down(connection, "arrived", view.move, operator=operator, reason=reason, now=now, **detail)
    if (await connection.execute(_BOOKED, {"cause": cause})).first() is not None:
        raise BadArrival(f"{reference} is booked already, for something else", field="reference")
    if view.order_id is None:
        entry = coins_arrival(view.move, cause=cause)
    else:
        entry = arrival(view.move, cause=cause, order_id=view.order_id)
    await post(connection, entries=[entry], now=now)
    await end_run(connection, move_id=move_id, outcome=Stage.ARRIVED, why=f"{operator}: {reference}", now=now)


async def end_run(connection: AsyncConnection, *, move_id: str, outcome: Stage, why: str, now: datetime) -> None:
    """Write how a move ended. The caller holds it."""
    await connection.execute(_END, {"id": move_id, "outcome": outcome, "reason": why[:500], "now": now})


async def _known(connection: AsyncConnection, move_id: str) -> MoveView:
    view = await find_view(connection, move_id=move_id)
    if view is None:
        raise NoSuchMove(move_id)
    return view


def _persons(give: Money, rules: ResolutionRules) -> int:
    """How many persons it takes. A coin at an exchange is worth what the same coin is on its chain."""
    code = next((code for code in rules.dollars if code.partition("@")[0] == give.asset.symbol), give.asset.code)
    return rules.persons(Money(give.units, Asset(code, give.asset.decimals)))


async def _refuse_second(connection: AsyncConnection, view: MoveView, operator: str) -> None:
    assert view.proposed_by is not None
    if view.proposed_by == operator:
        raise SamePerson(operator)
    if (await connection.execute(_MAY, {"name": view.proposed_by})).first() is None:
        raise ProposerDisabled(view.proposed_by)


async def _refuse_hopeless(connection: AsyncConnection, move: Move, *, book: FloatBook, now: datetime) -> None:
    if move.by is not None and move.by not in book.rails:
        raise MoveHasNoRail(move)
    if move.after is not None:
        # What it gives comes with the move before it: it is looked for when that one is there.
        first = await _known(connection, move.after)
        if first.stage in (Stage.REFUSED, Stage.CANCELLED, Stage.FAILED):
            raise MoveWaitsForAnother(move, first)
        return
    left = await spare(connection, account=move.from_, asset=move.give.asset, now=now)
    if left is None or left < move.give.units:
        raise MoveMoneyGone(move, None if left is None else Money(max(left, 0), move.give.asset))


def _cause(move: Move, reference: str) -> str:
    """What names the entry for ever, so that what came once is booked once."""
    if len(reference) > REFERENCE_MOST or not _REFERENCE.fullmatch(reference):
        raise BadArrival(f"a reference has at most {REFERENCE_MOST} of the characters on a keyboard", field="reference")
    if move.by is not None:
        # As `lastmile rails top-up` names it: the statement's line is explained by it.
        return f"top_up:{move.to_rail}:{reference}"
    if not _TRANSACTION.fullmatch(reference):
        raise BadArrival('give the transaction that sent the coins, as in "0x" and 64 small hex digits', field="reference")
    return f"coins_moved:{move.from_.partition(':')[2]}:{reference}"


async def _write_down(
    connection: AsyncConnection,
    action: str,
    move: Move,
    *,
    operator: str,
    reason: str,
    now: datetime,
    **more: str,
) -> None:
    detail = {"money": str(move.money), "to": move.to_rail, "gives": str(move.give), "from": move.from_}
    by = {} if move.by is None else {"by": move.by}
    await record_action(
        connection,
        operator=operator,
        action=f"float.{action}",
        subject=move.id,
        reason=reason,
        detail={**detail, **by, **more},
        now=now,
    )
