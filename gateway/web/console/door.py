"""The console's door: signing in and out, and what every page behind it asks first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.operators.passwords import Passwords, SignInBusy
from gateway.operators.sessions import (
    LIFETIME,
    Session,
    TooManyAttempts,
    WrongCredentials,
    find_session,
    sign_in,
    sign_out,
)
from gateway.web.guards import read_form, read_upload
from gateway.web.pages import Pages
from gateway.web.services import WebServices

HOME, SIGN_IN = "/console", "/console/sign-in"
FORM_MOST = 65_536
"""Bytes of a form: a reason and a provider's own words, in any script."""
HEADERS = {
    # No script at all; and our own pages' posts say where they come from, which elsewhere nobody needs to know.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
}


class FormNotYours(Refusal):
    """The form was made for another session: one that has ended, or somebody else's."""

    code = "form_not_yours"

    def __init__(self) -> None:
        super().__init__("This form isn't of your present sign-in. Open its page again and fill it in there.")


STATUS = {
    WrongCredentials.code: HTTPStatus.UNAUTHORIZED,
    TooManyAttempts.code: HTTPStatus.TOO_MANY_REQUESTS,
    SignInBusy.code: HTTPStatus.SERVICE_UNAVAILABLE,
    FormNotYours.code: HTTPStatus.FORBIDDEN,
}


Handler = Callable[[Request, Session], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Handlers of the door, and the guard that the others stand behind."""

    services: WebServices
    pages: Pages
    passwords: Passwords

    def behind(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """`handler` for who is signed in; the sign-in page for everybody else. A refusal gets a page that says it."""

        async def guarded(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
            try:
                return await handler(request, session)
            except Refusal as refusal:
                status = STATUS.get(refusal.code, HTTPStatus.CONFLICT)
                return self.answer("refused.html", session=session, status=status, sentence=str(refusal))

        return guarded

    def answer(self, template: str, *, session: Session | None, status: int = 200, **context: Any) -> Response:
        """A page of the console."""
        return self.pages.answer(f"console/{template}", status=status, headers=HEADERS, session=session, **context)

    async def posted(self, request: Request, session: Session) -> dict[str, str]:
        """The fields of a form of this session. Raises `FormNotYours`; HTTPException 403 for another site's."""
        fields = await self._form(request)
        if not session.made_form(fields.get("form_token", "")):
            raise FormNotYours
        return fields

    async def uploaded(
        self, request: Request, session: Session, *, most: int
    ) -> tuple[dict[str, str], tuple[str, bytes] | None]:
        """The same of a form with a file of at most `most` bytes: its fields, and the file's name and content."""
        form = await read_upload(request, public_url=self.services.public_url, most=most + FORM_MOST)
        fields = _clean(request, form[0])
        if not session.made_form(fields.get("form_token", "")):
            raise FormNotYours
        return fields, form[1]

    async def show(self, request: Request) -> Response:
        """The sign-in form. Who followed a link from elsewhere is taken for a stranger at first: the cookie stays home."""
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

    async def leave(self, request: Request, session: Session) -> Response:
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
        return "__Secure-lastmile-console" if self._secure else "lastmile-console"

    async def _session(self, request: Request) -> Session | None:
        token = request.cookies.get(self._cookie, "")
        async with transaction(self.services.engine) as connection:
            return await find_session(connection, token=token, now=self.services.clock())

    async def _form(self, request: Request) -> dict[str, str]:
        return _clean(request, await read_form(request, public_url=self.services.public_url, most=FORM_MOST))


def _clean(request: Request, fields: dict[str, str]) -> dict[str, str]:
    # Our pages send their origin, so "null" is somebody else's frame.
    if request.headers.get("origin") == "null" or any("\0" in value for value in fields.values()):
        raise HTTPException(HTTPStatus.FORBIDDEN)
    return fields
