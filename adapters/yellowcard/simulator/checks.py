"""What Yellow Card insists on in a request, and how it refuses one."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from adapters.yellowcard.client import signature
from adapters.yellowcard.simulator.books import Credentials
from gateway.railkit.documents import Unreadable, document
from gateway.railkit.keys import same

SKEW = timedelta(minutes=5)
"""How old or young a signed request may be."""

_TEXT, _ID = r".{1,200}", r"[0-9a-f-]{36}"
SUBMISSION = {
    "channelId": _ID,
    "sequenceId": r"[A-Za-z0-9_-]{1,100}",
    "reason": _TEXT,
    "customerUID": _TEXT,
    "customerType": "institution",
}
SENDER = {"businessName": _TEXT, "businessId": _TEXT}
DESTINATION = {"accountName": _TEXT, "accountNumber": r"\+?[0-9]{5,20}", "accountType": "bank|momo", "networkId": _ID}
RESOLVE = {"accountNumber": r"[0-9]{5,20}", "networkId": _ID}
INT32_MOST = 2**31 - 1


class Refused(Exception):
    """An error as Yellow Card words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse({"code": self.code, "message": self.message}, status_code=self.status)


def invalid(message: str) -> Refused:
    """A body that doesn't validate."""
    return Refused(400, "PaymentValidationError", message)


async def authenticate(request: Request, credentials: Credentials, *, now: datetime) -> None:
    """Check the signature of a request. Raises `Refused`."""
    at, given = request.headers.get("x-yc-timestamp", ""), request.headers.get("authorization", "")
    signed = signature(
        secret=credentials.secret_key, at=at, path=request.url.path, method=request.method, body=await request.body()
    )
    try:
        fresh = abs(datetime.fromisoformat(at) - now) <= SKEW
    except (ValueError, TypeError):
        fresh = False
    if not fresh or not same(given, f"YcHmacV1 {credentials.api_key}:{signed}"):
        raise Refused(401, "AuthenticationError", "Invalid API key or Signature")


def submission(body: bytes) -> dict[str, Any]:
    """The body of a submission, every field of the documented form and no other. Raises `Refused`."""
    given = _document(body)
    known = {*SUBMISSION, "sender", "destination", "forceAccept", "localAmount"}
    if strange := set(given) - known:
        raise invalid(f"unknown {', '.join(sorted(strange))}")
    _fields(given, SUBMISSION)
    _whole(given.get("sender"), SENDER, "sender")
    _whole(given.get("destination"), DESTINATION, "destination")
    amount = given.get("localAmount")
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount <= INT32_MOST:
        raise invalid("localAmount must be an integer")
    if given.get("forceAccept") is not False:
        raise invalid("forceAccept must be a boolean")
    return given


def resolution(body: bytes) -> dict[str, Any]:
    """The body of a name look-up. Raises `Refused`."""
    given = _document(body)
    try:
        _whole(given, RESOLVE, "body")
    except Refused as error:
        raise Refused(400, "InvalidRequestBody", error.message) from None
    return given


def _document(body: bytes) -> dict[str, Any]:
    try:
        return document(body)
    except Unreadable as error:
        raise invalid(str(error)) from None


def _whole(given: Any, expected: dict[str, str], name: str) -> None:
    if not isinstance(given, dict) or set(given) != set(expected):
        raise invalid(f"{name} needs {', '.join(expected)}")
    _fields(given, expected)


def _fields(given: dict[str, Any], expected: dict[str, str]) -> None:
    for name, pattern in expected.items():
        value = given.get(name)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise invalid(f"{name} is invalid")
