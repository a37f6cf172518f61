"""The counter's door: agents sign in and out here, as operators do at the console, with names and cookies of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.agents.errors import NetworkRefusal, NotYours
from gateway.agents.rules import PickupRules
from gateway.agents.sessions import LIFETIME, AgentSession, find_session, sign_in, sign_out
from gateway.db.session import transaction
from gateway.operators.passwords import Passwords, SignInBusy
from gateway.operators.sessions import TooManyAttempts, WrongCredentials
from gateway.web.console.door import HEADERS, STATUS, FormNotYours
from gateway.web.guards import read_form
from gateway.web.pages import Pages
from gateway.web.services import WebServices

NOT_THERE = HTTPStatus.NOT_FOUND
HOME, SIGN_IN = "/agent", "/agent/sign-in"

Handler = Callable[[Request, AgentSession], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDoor:
    """Handlers of the door, and the guard that the counter stands behind."""

    services: WebServices
    pages: Pages
    passwords: Passwords
    rules: PickupRules

    def behind(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """`handler` for who is signed in; the sign-in page for everybody else. A refusal gets a page that says it."""

        async def guarded(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
            try:
                return await handler(request, session)
            except (NetworkRefusal, FormNotYours) as refusal:
                status = NOT_THERE if isinstance(refusal, NotYours) else STATUS.get(refusal.code, HTTPStatus.CONFLICT)
                return self.answer("refused.html", session=session, status=status, sentence=str(refusal))

        return guarded

    def answer(self, template: str, *, session: AgentSession | None, status: int = 200, **context: Any) -> Response:
        """A page of the counter."""
        return self.pages.answer(f"agent/{template}", status=status, headers=HEADERS, session=session, **context)

    async def posted(self, request: Request, session: AgentSession) -> dict[str, str]:
        """The fields of a form of this session. Raises `FormNotYours`; HTTPException 403 for another site's."""
        fields = await self._form(request)
        if not session.made_form(fields.get("form_token", "")):
            raise FormNotYours
        return fields

    async def show(self, request: Request) -> Response:
        """The sign-in form."""
        if await self._session(request) is not None:
            return RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
        return self.answer("sign_in.html", session=None, name="", problem=None)

    async def enter(self, request: Request) -> Response:
        """Sign in."""
        fields = await self._form(request)
        name = fields.get("name", "").strip()
        try:
            session = await sign_in(
                self.services.engine,
                passwords=self.passwords,
                name=name,
                password=fields.get("password", ""),
                address=request.client.host if request.client else "",
                now=self.services.clock(),
            )
        except (WrongCredentials, TooManyAttempts, SignInBusy) as refusal:
            return self.answer("sign_in.html", session=None, status=STATUS[refusal.code], name=name, problem=str(refusal))
        response = RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
        response.set_cookie(
            self._cookie,
            session.token,
            max_age=int(LIFETIME.total_seconds()),
            path=HOME,
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )
        return response

    async def leave(self, request: Request, session: AgentSession) -> Response:
        """Sign out."""
        await self.posted(request, session)
        async with transaction(self.services.engine) as connection:
            await sign_out(connection, session=session)
        response = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
        response.delete_cookie(self._cookie, path=HOME, secure=self._secure, httponly=True, samesite="strict")
        return response

    @property
    def _secure(self) -> bool:
        return self.services.public_url.startswith("https://")

    @property
    def _cookie(self) -> str:
        """The prefix lets no browser take the cookie from a page that came without TLS."""
        return "__Secure-lastmile-agent" if self._secure else "lastmile-agent"

    async def _session(self, request: Request) -> AgentSession | None:
        token = request.cookies.get(self._cookie, "")
        async with transaction(self.services.engine) as connection:
            return await find_session(connection, token=token, now=self.services.clock())

    async def _form(self, request: Request) -> dict[str, str]:
        fields = await read_form(request, public_url=self.services.public_url)
        # Our pages send their origin, so "null" is somebody else's frame.
        if request.headers.get("origin") == "null" or any("\0" in value for value in fields.values()):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        return fields
