"""What the simulated servers insist on, and how they refuse."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from gateway.railkit.documents import Unreadable, document

_AMOUNT = r"[0-9]+(\.[0-9]{1,7})?"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
QUOTE = {
    "context": "sep24",
    "buy_amount": _AMOUNT,
    "country_code": "[A-Z]{2}",
    "sell_asset": ".+",
    "buy_asset": "iso4217:[A-Z]{3}",
}
OPEN = {
    "asset_code": "USDC",
    "asset_issuer": "G[A-Z2-7]{55}",
    "destination_asset": "iso4217:[A-Z]{3}",
    "amount": _AMOUNT,
    "quote_id": _UUID,
    "account": "G[A-Z2-7]{55}",
    "lang": "en",
    "refund_memo": "[A-Za-z0-9+/]{43}=",
    "refund_memo_type": "hash",
    "first_name": ".{1,100}",
    "last_name": ".{1,100}",
    "mobile_number": r"\+[1-9][0-9]{6,14}",
}
PERSON = ("first_name", "last_name", "mobile_number")
"""What the anchor's page wants to know; what is missing, a person has to enter there."""
HORIZON = "https://stellar.org/horizon-errors/"


class Refused(Exception):
    """An error, as the server that refuses words it."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = dict(body)

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(self.body, status_code=self.status)


def refused(text: str, *, status: int = 400) -> Refused:
    """The anchor's error: a text for people."""
    return Refused(status, {"error": text})


AUTHENTICATE = Refused(403, {"type": "authentication_required"})


def horizon(status: int, kind: str, title: str, **extras: Any) -> Refused:
    """Horizon's error (RFC 7807)."""
    body = {"type": HORIZON + kind, "title": title, "status": status}
    return Refused(status, body | ({"extras": extras} if extras else {}))


def rejected(transaction: str, *operations: str) -> Refused:
    """A transaction that Horizon won't submit, or that failed."""
    codes: dict[str, Any] = {"transaction": transaction}
    if operations:
        codes["operations"] = list(operations)
    return horizon(400, "transaction_failed", "Transaction Failed", result_codes=codes)


def body_of(raw: bytes, expected: Mapping[str, str], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """A body with exactly these fields. Raises `Refused`."""
    try:
        given = document(raw)
    except Unreadable as error:
        raise refused(str(error)) from None
    if unknown := set(given) - set(expected):
        raise refused(f"unknown fields: {sorted(unknown)}")
    for key, pattern in expected.items():
        value = given.get(key)
        if key in optional and value is None:
            continue
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refused(f"'{key}' is invalid")
    return given


def is_hash(text: str) -> bool:
    """Whether it is 32 bytes in base64."""
    return len(base64.b64decode(text)) == 32  # noqa: PLR2004
