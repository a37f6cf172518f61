"""Floats: how each stands and stood, what is expected, what the newest plan says to move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from gateway.db.session import transaction
from gateway.operators.sessions import Session
from gateway.treasury.levels import past_levels, percent
from gateway.treasury.outlook import read_outlook
from gateway.treasury.plans import newest_plan
from gateway.treasury.stockout import HORIZONS
from gateway.web.console.door import Door
from gateway.web.console.pictures import HEIGHT, WIDTH, demand_picture, level_picture

DRAWN = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPages:
    """Handlers."""

    door: Door

    async def page(self, _request: Request, session: Session) -> Response:
        """Plan first, for it is what a person can do something about; then floats, then demand."""
        services = self.door.services
        now, book = services.clock(), services.floats
        outlook, plan, past = None, None, {}
        if book is not None:
            async with transaction(services.engine) as connection:
                outlook = await read_outlook(connection, book=book, now=now)
                plan = await newest_plan(connection)
                past = await past_levels(connection, since=now - DRAWN)
        return self.door.answer(
            "floats.html",
            session=session,
            plan=plan,
            stale=plan is not None and now >= plan.valid_until,
            floats=[]
            if outlook is None
            else [(one, level_picture(one, past.get(one.level.place, []))) for one in outlook.standings],
            demand=[] if outlook is None else [demand_picture(asset, model) for asset, model in outlook.currencies.items()],
            horizons=HORIZONS,
            percent=percent,
            size=(WIDTH, HEIGHT),
        )
