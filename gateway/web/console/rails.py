"""Rail weather for operators: every place where a rail pays, the worst first."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from gateway.db.session import reading
from gateway.operators.sessions import Session
from gateway.routing.weather import SENTENCES, STATES, load_weather
from gateway.web.console.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class RailPages:
    """Handlers."""

    door: Door

    async def page(self, _request: Request, session: Session) -> Response:
        """How each rail does, and since when."""
        async with reading(self.door.services.engine) as connection:
            weather = await load_weather(connection)
        found = sorted(weather.readings.items(), key=lambda one: (-STATES[one[1].state], one[0]))
        return self.door.answer("rails.html", session=session, found=found, as_of=weather.as_of, sentences=SENTENCES)
