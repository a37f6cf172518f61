"""What every answer carries, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Answers name people, their money and access tokens: nobody on the way keeps one, nobody guesses what it is."""
_CLOSED = [(name.lower().encode(), value.encode()) for name, value in CLOSED.items()]


def told(scope: Scope, name: bytes) -> list[str]:
    """All values of a request's header, in their order. `name` in small letters."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


class ClosedByDefault:
    """ASGI middleware that adds `CLOSED` to each answer, where the answer doesn't say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message.get("headers", ()))
                said = {name.lower() for name, _ in headers}
                headers += [header for header in _CLOSED if header[0] not in said]
            await send(message)

        await self._app(scope, receive, send_closed)
