"""What the simulated operator insists on in a request, and how it refuses one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from gateway.railsim import Desk

UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
AMOUNT = r"(0|[1-9][0-9]{0,17})(\.[0-9]{0,3}[0-9])?"
LIFE_S = 3600
STALE = timedelta(minutes=5)
STATUS: Mapping[str, int] = {
    "businessRule": 400,
    "validation": 400,
    "authorisation": 401,
    "identification": 404,
    "internal": 500,
    "serviceUnavailable": 503,
}
"""The HTTP status of each errorCategory, as the API's document lists them."""
AUTHORISATION = frozenset({"clientAuthorisationError", "requestDeclined", "servicingPartyAuthorisationError"})
VALIDATION = frozenset({
    "lengthError", "formatError", "negativeValue", "currencyNotSupported", "mandatoryValueNotSupplied", "invalidOffset",
})  # fmt: skip


class Refused(Exception):
    """An error, as the API words it."""

    def __init__(self, code: str, category: str | None = None, text: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.category = category or category_of(code)
        self.text = text or f"Refused: {code}"

    def document(self) -> dict[str, Any]:
        """The error object."""
        return {
            "errorCategory": self.category,
            "errorCode": self.code,
            "errorDescription": self.text,
            "errorDateTime": "2026-11-22T10:43:27.405Z",
            "errorParameters": [],
        }

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(self.document(), status_code=STATUS[self.category])


def category_of(code: str) -> str:
    """The errorCategory that goes with a code."""
    if code in AUTHORISATION:
        return "authorisation"
    if code in VALIDATION:
        return "validation"
    if code == "identifierError":
        return "identification"
    return "internal" if code == "genericError" else "businessRule"


class Credentials(BaseModel):
    """What an operator would give us."""

    client_id: str
    client_secret: str
    api_key: str
    account: str

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "gsma_mm")
        if kept is not None:
            return cls.model_validate(kept)
        made = cls(
            client_id="lastmile",
            client_secret=secrets.token_urlsafe(24),
            api_key=secrets.token_urlsafe(24),
            account=f"7{secrets.randbelow(10**11):011}",
        )
        desk.shelf.put(("secrets", "gsma_mm", made.model_dump()))
        return made


class Gate:
    """Who may come in: the API key, the date, and the living token. A new token kills the old one."""

    def __init__(self, desk: Desk, credentials: Credentials) -> None:
        self._desk = desk
        self._credentials = credentials
        self._token = secrets.token_urlsafe(24)
        self._ends = desk.clock()

    async def issue(self, request: Request) -> JSONResponse:
        """POST /v1/oauth/accesstoken, client credentials under Basic authentication."""
        known = self._credentials
        basic = base64.b64encode(f"{known.client_id}:{known.client_secret}".encode()).decode()
        right = request.headers.get("authorization") == f"Basic {basic}"
        self.check_key(request)
        if not right or await request.body() != b"grant_type=client_credentials":
            raise Refused("clientAuthorisationError")
        self.expire()
        self._ends = self._desk.clock() + timedelta(seconds=LIFE_S)
        return JSONResponse({"access_token": self._token, "token_type": "Bearer", "expires_in": LIFE_S})

    def expire(self) -> None:
        """End the living token before its time."""
        self._token = secrets.token_urlsafe(24)
        self._ends = self._desk.clock()

    def check(self, request: Request) -> None:
        """Raise `Refused` unless key, date and token are right."""
        self.check_key(request)
        if request.headers.get("authorization") != f"Bearer {self._token}" or self._desk.clock() >= self._ends:
            raise Refused("clientAuthorisationError")

    def check_key(self, request: Request) -> None:
        """Raise `Refused` unless key and date are right."""
        if request.headers.get("x-api-key") != self._credentials.api_key:
            raise Refused("clientAuthorisationError")
        try:
            sent = datetime.fromisoformat(request.headers.get("x-date", ""))
        except ValueError:
            raise Refused("formatError", text="X-Date") from None
        if sent.tzinfo is None or abs(self._desk.clock() - sent) > STALE:
            raise Refused("formatError", text="X-Date is not of now")


def correlation(request: Request) -> str:
    """X-CorrelationID of a POST. Raises `Refused`."""
    given = request.headers.get("x-correlationid", "")
    if not re.fullmatch(UUID, given):
        raise Refused("formatError", text="X-CorrelationID must be a UUID")
    return given


def content(request: Request, body: bytes) -> dict[str, Any]:
    """The body, whole by its hash. Raises `Refused`."""
    if request.headers.get("x-content-hash") != hashlib.sha256(body).hexdigest():
        raise Refused("formatError", text="X-Content-Hash is not the body's SHA-256")
    if request.headers.get("content-type") != "application/json":
        raise Refused("formatError", text="Content-Type")
    try:
        read = json.loads(body)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise Refused("formatError", text="the body")
    return read


TEXTS: Mapping[str, str] = {
    "amount": AMOUNT,
    "currency": r"[A-Z]{3}",
    "requestingOrganisationTransactionReference": r".{1,256}",
    "descriptionText": r".{1,160}",
}
KNOWN = frozenset({*TEXTS, "debitParty", "creditParty"})


def disbursement(given: Mapping[str, Any], *, account: str) -> str:
    """The recipient's number. Raises `Refused` for a field that isn't of the documented form."""
    if set(given) != KNOWN:
        raise Refused("mandatoryValueNotSupplied" if KNOWN - set(given) else "formatError", text="fields")
    for name, pattern in TEXTS.items():
        if not isinstance(given[name], str) or not re.fullmatch(pattern, given[name]):
            raise Refused("formatError", text=name)
    if given["debitParty"] != [{"key": "accountid", "value": account}]:
        raise Refused("identifierError", text="debitParty")
    payee = given["creditParty"]
    if not isinstance(payee, list) or len(payee) != 1 or set(payee[0]) != {"key", "value"} or payee[0]["key"] != "msisdn":
        raise Refused("formatError", text="creditParty")
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", str(payee[0]["value"])):
        raise Refused("identifierError", text="creditParty")
    return str(payee[0]["value"])
