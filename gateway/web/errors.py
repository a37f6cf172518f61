"""Error pages: the same for an unknown path and an unknown order, so that neither can be told from the other."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.web.pages import Pages

KNOWN = frozenset({400, 403, 404, 405, 413, 415})
"""Statuses with words of their own in error.html; others share a plain page."""


def handlers(pages: Pages) -> dict[Any, Any]:
    """Exception handlers for the pages' application. The 500 handler's exception still reaches the server's log."""

    async def refused(_request: Request, exception: HTTPException) -> Response:
        status = exception.status_code
        kind = status if status in KNOWN else 400
        return pages.answer("error.html", status=status, headers=exception.headers, kind=kind)

    async def broken(_request: Request, _exception: Exception) -> Response:
        return pages.answer("error.html", status=500, kind=500)

    return {HTTPException: refused, Exception: broken}
