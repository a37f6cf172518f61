"""Lists: what is open, what was decided."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from gateway.db.session import transaction
from gateway.operators.actions import list_actions
from gateway.operators.incidents import list_open_incidents
from gateway.operators.sessions import Session
from gateway.web.console.door import Door

PAGE = 50
"""Rows of a page."""
NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Handlers."""

    door: Door

    async def incidents(self, _request: Request, session: Session) -> Response:
        """Open incidents, the oldest first; closing one brings the next."""
        async with transaction(self.door.services.engine) as connection:
            found = await list_open_incidents(connection, most=PAGE + 1)
        return self.door.answer("incidents.html", session=session, incidents=found[:PAGE], more=len(found) > PAGE)

    async def actions(self, request: Request, session: Session) -> Response:
        """Who decided what, newest first."""
        given = request.query_params.get("before", "")
        before = int(given) if NUMBER.fullmatch(given) else None
        async with transaction(self.door.services.engine) as connection:
            found = await list_actions(connection, most=PAGE + 1, before=before)
        return self.door.answer(
            "actions.html",
            session=session,
            actions=found[:PAGE],
            older=found[PAGE - 1].id if len(found) > PAGE else None,
            done="done" in request.query_params,
        )
