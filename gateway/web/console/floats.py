"""Floats: how each stands and stood, what is expected, what the newest plan says to move, and how moves stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from gateway.db.session import transaction
from gateway.operators.sessions import Session
from gateway.treasury.levels import past_levels, percent
from gateway.treasury.moves import WORDS, MoveView, list_moves
from gateway.treasury.outlook import read_outlook
from gateway.treasury.plans import newest_plan
from gateway.treasury.stockout import HORIZONS
from gateway.web.console.door import Door
from gateway.web.console.floats_decisions import deeds_of
from gateway.web.console.pictures import HEIGHT, WIDTH, demand_picture, level_picture

DRAWN = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRow:
    """A move, and what this person can decide about it."""

    view: MoveView
    words: str
    deeds: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPages:
    """Handlers."""

    door: Door

    async def page(self, _request: Request, session: Session) -> Response:
        """Plan first, for it is what a person can do something about; then moves, then floats, then demand."""
        services = self.door.services
        now, book = services.clock(), services.floats
        outlook, plan, past, views = None, None, {}, []
        if book is not None:
            async with transaction(services.engine) as connection:
                outlook = await read_outlook(connection, book=book, now=now)
                plan = await newest_plan(connection)
                past = await past_levels(connection, since=now - DRAWN)
                views = await list_moves(connection)
        stale = plan is not None and now >= plan.valid_until
        planned = {move.id for move in plan.moves} if plan else set()

        def row(view: MoveView) -> MoveRow:
            old = stale or view.move.id not in planned
            deeds = deeds_of(view, operator=session.operator, stale=old)
            return MoveRow(view=view, words=WORDS[view.stage], deeds=deeds)

        rows = {view.move.id: row(view) for view in views}
        return self.door.answer(
            "floats.html",
            session=session,
            plan=plan,
            stale=stale,
            planned=[rows[move.id] for move in plan.moves if move.id in rows] if plan else [],
            moves=[one for move_id, one in rows.items() if move_id not in planned],
            floats=[]
            if outlook is None
            else [(one, level_picture(one, past.get(one.level.place, []))) for one in outlook.standings],
            demand=[] if outlook is None else [demand_picture(asset, model) for asset, model in outlook.currencies.items()],
            horizons=HORIZONS,
            percent=percent,
            size=(WIDTH, HEIGHT),
        )
