"""Moves of float: how each stands, as rows and as people read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.treasury.plan import Move
from gateway.treasury.plans import move_of

LISTED_MOST = 100


class Stage(StrEnum):
    """How a move stands."""

    PLANNED = auto()
    """Nobody decided about it."""
    PROPOSED = auto()
    """One person wants it; it waits for a second one."""
    APPROVED = auto()
    """It begins when its time has come; a person's transfer waits for that person."""
    RUNNING = auto()
    UNKNOWN = auto()
    """The rail hasn't said what became of it: it is asked, or a person says."""
    IN_TRANSIT = auto()
    """Paid, and not known to be there."""
    ARRIVED = auto()
    FAILED = auto()
    """It wasn't paid, or came back: what it took is where it was."""
    CANCELLED = auto()
    """Approved, and stopped before it began."""
    REFUSED = auto()


WORDS = {
    Stage.PLANNED: "planned",
    Stage.PROPOSED: "waits for a second person",
    Stage.APPROVED: "approved, not begun",
    Stage.RUNNING: "under way",
    Stage.UNKNOWN: "under way, outcome unknown",
    Stage.IN_TRANSIT: "paid, on its way",
    Stage.ARRIVED: "arrived",
    Stage.FAILED: "failed",
    Stage.CANCELLED: "cancelled",
    Stage.REFUSED: "refused",
}
STOPPABLE = frozenset({Stage.PLANNED, Stage.PROPOSED, Stage.APPROVED})
"""Of these nothing has left us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveView:
    """A move, what people decided about it, and how it stands."""

    move: Move
    stage: Stage
    persons: int | None = None
    """How many it takes; None: nobody decided yet."""
    proposed_by: str | None = None
    proposed_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    order_id: str | None = None
    """The house's order that carries it out: `lastmile payouts show` tells all of it."""
    ended_at: datetime | None = None
    reason: str | None = None
    """Why it ended as it did."""

    @property
    def by_person(self) -> bool:
        """Whether a person sends coins for it."""
        return self.move.by is None


_VIEWS = """
SELECT m.*, g.decimals AS give_decimals, s.decimals, r.persons, r.proposed_by, r.proposed_at, r.approved_by, r.approved_at,
    r.order_id, r.ended_at, r.reason,
    CASE WHEN r.move_id IS NULL THEN 'planned'
         WHEN r.outcome IS NOT NULL THEN r.outcome
         WHEN r.approved_at IS NULL THEN 'proposed'
         WHEN o.state = 'uncertain' THEN 'unknown'
         WHEN o.state = 'paid' THEN 'in_transit'
         WHEN EXISTS (SELECT FROM attempts AS t WHERE t.order_id = r.order_id) THEN 'running'
         ELSE 'approved' END AS stage
FROM float_moves AS m JOIN assets AS g ON g.code = m.give_asset JOIN assets AS s ON s.code = m.asset
LEFT JOIN float_runs AS r ON r.move_id = m.id LEFT JOIN orders AS o ON o.id = r.order_id
"""
_ONE = text(f"{_VIEWS} WHERE m.id = :id")
_LIST = text(f"""
{_VIEWS} LEFT JOIN (SELECT id FROM float_plans ORDER BY made_at DESC, id DESC LIMIT 1) AS n ON n.id = m.plan_id
WHERE r.move_id IS NOT NULL OR n.id IS NOT NULL
ORDER BY n.id IS NULL, COALESCE(r.proposed_at, m.at) DESC, m.id DESC LIMIT :most
""")  # noqa: S608 - composed of our own text only


async def list_moves(connection: AsyncConnection, *, most: int = LISTED_MOST) -> list[MoveView]:
    """Moves of the newest plan, then others that somebody decided about, the newest decisions first."""
    return [_view(row) for row in await connection.execute(_LIST, {"most": most})]


async def find_view(connection: AsyncConnection, *, move_id: str) -> MoveView | None:
    """One move of any plan; None: there is none of that id."""
    row = (await connection.execute(_ONE, {"id": move_id})).one_or_none()
    return None if row is None else _view(row)


def _view(row: Row[Any]) -> MoveView:
    return MoveView(
        move=move_of(row),
        stage=Stage(row.stage),
        persons=row.persons,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
        order_id=row.order_id,
        ended_at=row.ended_at,
        reason=row.reason,
    )
