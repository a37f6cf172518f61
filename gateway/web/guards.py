"""What every page's answer carries, and which posts are let in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MACHINES = ("/v1", "/oauth", "/callbacks", "/.well-known")
"""Paths under which programs ask: what is missing there is answered by the API's own problems."""

BODY_MOST = 16_384
"""Largest form we read, in bytes; an honest one has a few hundred."""
FIELDS_MOST = 20

FORM_TYPE, UPLOAD_TYPE = "application/x-www-form-urlencoded", "multipart/form-data"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}
"""On every answer of the pages, unless the page sets its own: closed first, opened where it does no harm."""


class Front:
    """Stands where the main application finds no route: gives the request to the pages, or a program's to `otherwise`.

    It is outside of the pages' own error handling, so that an error page carries the headers too.
    """

    def __init__(self, *, pages: ASGIApp, otherwise: ASGIApp) -> None:
        self._pages = pages
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(MACHINES):
            await self._otherwise(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._pages(scope, receive, send_guarded)


async def read_form(request: Request, *, public_url: str, most: int = BODY_MOST) -> dict[str, str]:
    """The fields of a posted form of at most `most` bytes; of a repeated field the last.

    With `read_upload` the only way that a page reads a post. Raises HTTPException: 403 for a post from another site, 413,
    415, or 400 for what no browser sends.
    """
    body = await _read_body(request, public_url=public_url, content_type=FORM_TYPE, most=most)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MOST)
    except ValueError:
        raise HTTPException(400) from None
    return dict(pairs)


async def read_upload(request: Request, *, public_url: str, most: int) -> tuple[dict[str, str], tuple[str, bytes] | None]:
    """The fields of a form with one file, and the file's name and content; None: none was chosen.

    `most` bytes at most for all of it, read whole before any of it is parsed. Raises as `read_form` does.
    """
    body = await _read_body(request, public_url=public_url, content_type=UPLOAD_TYPE, most=most)

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, whole(), max_files=1, max_fields=FIELDS_MOST, max_part_size=BODY_MOST)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError):
        raise HTTPException(400) from None
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    file = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
    found = None if file is None else (file.filename or "", await file.read())
    await form.close()
    return fields, found


async def _read_body(request: Request, *, public_url: str, content_type: str, most: int) -> bytes:
    _refuse_other_sites(request, public_url=public_url)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
        raise HTTPException(415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413)
    return bytes(body)


def _refuse_other_sites(request: Request, *, public_url: str) -> None:
    """There is no session to ride on; still nobody else's page may send a visitor into an order of its making."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        welcome = site in ("same-origin", "none")
    else:
        # Browsers without Sec-Fetch-Site write "null" for our own pages too, because these send no referrer.
        own = f"{request.url.scheme}://{request.url.netloc}"
        welcome = request.headers.get("origin", "null") in ("null", own, public_url.rstrip("/"))
    if not welcome:
        raise HTTPException(403)
