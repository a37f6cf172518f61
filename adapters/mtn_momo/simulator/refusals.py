"""How MTN refuses a request, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fastapi import Request, Response
from fastapi.responses import JSONResponse

MESSAGES: Mapping[str, tuple[int, str]] = {
    "BAD_REQUEST": (400, "Request does not follow the specification."),
    "FORBIDDEN_IP": (403, "Authorization failed. IP not authorised."),
    "RESOURCE_NOT_FOUND": (404, "Requested resource was not found."),
    "RESOURCE_ALREADY_EXIST": (409, "Duplicated reference id. Creation of resource failed."),
    "NOT_ALLOWED": (500, "Authorization failed. Insufficient permissions."),
    "NOT_ALLOWED_TARGET_ENVIRONMENT": (500, "Access to target environment is forbidden."),
    "INVALID_CALLBACK_URL_HOST": (500, "Callback URL with different host name then configured for API User"),
    "INVALID_CURRENCY": (500, "Currency not supported."),
    "INTERNAL_PROCESSING_ERROR": (500, "An internal error occurred while processing."),
    "SERVICE_UNAVAILABLE": (503, "Service temporarily unavailable, try again later."),
}
"""Code, HTTP status and message, as page common-error has them. A code that isn't here is answered with HTTP 500."""


class Refused(Exception):
    """A refusal by the MoMo platform: {"code": "...", "message": "..."}."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    def answer(self) -> Response:
        """The HTTP answer."""
        status, message = MESSAGES.get(self.code, (500, "Refused."))
        return JSONResponse({"code": self.code, "message": message}, status_code=status)


class _Gate(NamedTuple):
    status: int
    message: str


BAD_KEY = _Gate(
    401, "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
)
BAD_TOKEN = _Gate(401, "Unauthorized. Access token is missing, invalid or expired.")
TOO_MANY = _Gate(429, "Rate limit is exceeded. Try again in 1 seconds.")
NO_ADDRESS = _Gate(404, "Resource not found")


class TurnedAway(Exception):
    """A refusal by the gateway before the platform: {"statusCode": 401, "message": "..."}."""

    def __init__(self, gate: _Gate) -> None:
        super().__init__(gate.message)
        self.gate = gate

    def answer(self) -> Response:
        """The HTTP answer."""
        return JSONResponse({"statusCode": self.gate.status, "message": self.gate.message}, status_code=self.gate.status)


async def answer_of(_request: Request, error: Exception) -> Response:
    """FastAPI's handler for both."""
    assert isinstance(error, Refused | TurnedAway)
    return error.answer()


async def no_address(_request: Request, _error: Exception) -> Response:
    """FastAPI's handler for addresses that don't exist."""
    return TurnedAway(NO_ADDRESS).answer()
