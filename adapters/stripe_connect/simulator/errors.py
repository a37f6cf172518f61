"""Stripe's errors, as v1 and v2 write them."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi.responses import JSONResponse


class Refused(Exception):
    """An error answer. `stored`: the endpoint had begun to work, so that v1 keeps the answer under the idempotency key."""

    def __init__(
        self,
        status: int,
        kind: str,
        code: str | None = None,
        *,
        param: str | None = None,
        stored: bool = False,
        retry: bool | None = None,
    ) -> None:
        super().__init__(code or kind)
        self.status = status
        self.stored = stored
        self.retry = retry
        told = {"type": kind, "code": code, "message": f"The simulator says: {code or kind}.", "param": param}
        self.error = {key: value for key, value in told.items() if value is not None}

    def document(self) -> dict[str, Any]:
        """The body."""
        return {"error": self.error}

    def answer(self) -> JSONResponse:
        """The answer, with the headers that Stripe adds."""
        headers = {"request-id": f"req_{secrets.token_hex(7)}"}
        if self.retry is not None:
            headers["stripe-should-retry"] = str(self.retry).lower()
        return JSONResponse(self.document(), status_code=self.status, headers=headers)


def invalid(code: str, *, param: str | None = None) -> Refused:
    """A request that isn't right: refused before anything is done, hence not stored."""
    return Refused(400, "invalid_request_error", code, param=param)


def not_done(code: str) -> Refused:
    """A right request that can't be done: the answer is stored under its key."""
    return Refused(400, "invalid_request_error", code, stored=True)


def missing(what: str) -> Refused:
    """An object that isn't there."""
    return Refused(404, "invalid_request_error", "resource_missing", param=what)


UNAUTHORIZED = (401, "invalid_request_error")
FAILURE = (500, "api_error")
IN_USE = (409, "invalid_request_error", "idempotency_key_in_use")
OTHER_REQUEST = (400, "idempotency_error")
THROTTLED = (429, "invalid_request_error", "rate_limit")
