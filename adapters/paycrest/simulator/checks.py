"""What Paycrest insists on in a request, and how it refuses one."""

from __future__ import annotations

import re
from typing import Any

from fastapi.responses import JSONResponse

from adapters.paycrest.countries import COUNTRIES
from gateway.railkit.documents import Unreadable, document

_ADDRESS = r"0x[0-9a-fA-F]{40}"
_TEXT = r".{1,200}"
SOURCE = {"type": "crypto", "currency": "USDC|USDT", "network": "base|polygon|celo", "refundAddress": _ADDRESS}
RECIPIENT = {"institution": r"[A-Z]{8}", "accountIdentifier": r"[0-9]{6,20}", "accountName": _TEXT, "memo": _TEXT}
CODES = {known.theirs: place for place in COUNTRIES.values() for known in (*place.banks, *place.wallets)}
"""The institutions that it pays into, with their countries."""


class Refused(Exception):
    """An error as Paycrest words it. A refused payload's `data` names a field."""

    def __init__(self, status: int, message: str, *, field: str | None = None, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.data = None if field is None else {"field": field, "message": said}

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse({"status": "error", "message": self.message, "data": self.data}, status_code=self.status)


def success(data: Any, message: str, *, status: int = 200) -> JSONResponse:
    """An answer that is no error."""
    return JSONResponse({"status": "success", "message": message, "data": data}, status_code=status)


def invalid(field: str, said: str) -> Refused:
    """A payload that doesn't validate."""
    return Refused(400, "Failed to validate payload", field=field, said=said)


def order(body: bytes) -> dict[str, Any]:
    """The body of an order, every field of the documented form and no other. Raises `Refused`."""
    given = _document(body)
    _only(given, {"amount", "amountIn", "reference", "source", "destination"}, "Payload")
    _fields(given, {"amount": r"[0-9]+(\.[0-9]{1,6})?", "amountIn": "fiat", "reference": r"[a-zA-Z0-9_-]{1,70}"}, "")
    _whole(given["source"], SOURCE, "Source")
    destination = given["destination"]
    _only(destination, {"type", "currency", "recipient"}, "Destination")
    _fields(destination, {"type": "fiat", "currency": r"[A-Z]{3}"}, "Destination")
    recipient = destination.get("recipient")
    _only(recipient, {*RECIPIENT, "metadata"}, "Recipient")
    _fields(recipient, RECIPIENT, "Recipient")
    place = CODES.get(recipient["institution"])
    if place is None or place.asset.code != destination["currency"]:
        raise invalid("Recipient", "Provided institution is not supported")
    if recipient.get("metadata", {"channel": "Mobile"}) != {"channel": "Mobile"}:
        raise invalid("Recipient", "metadata.channel is invalid")
    return given


def verification(body: bytes) -> tuple[str, str]:
    """Institution and account of a question about a name. Raises `Refused`."""
    given = _document(body)
    _whole(given, {key: RECIPIENT[key] for key in ("institution", "accountIdentifier")}, "Payload")
    if given["institution"] not in CODES:
        raise invalid("Institution", "Provided institution is not supported")
    return given["institution"], given["accountIdentifier"]


def _document(body: bytes) -> dict[str, Any]:
    try:
        return document(body)
    except Unreadable as error:
        raise invalid("Payload", str(error)) from None


def _only(given: Any, known: set[str], name: str) -> None:
    if not isinstance(given, dict) or set(given) - known:
        raise invalid(name, "unknown fields")


def _whole(given: Any, expected: dict[str, str], name: str) -> None:
    _only(given, set(expected), name)
    _fields(given, expected, name)


def _fields(given: dict[str, Any], expected: dict[str, str], name: str) -> None:
    for key, pattern in expected.items():
        value = given.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise invalid(name or key.capitalize(), f"{key} is invalid")
