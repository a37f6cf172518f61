"""What every answer carries, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Answers name people, their money and access tokens: nobody on the way keeps one, nobody guesses what it is."""


class ClosedByDefault:
    """ASGI middleware that adds `CLOSED` to each answer, where the answer doesn't say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in CLOSED.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_closed)
