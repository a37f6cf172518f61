"""What pawaPay insists on in a payout, and how it refuses one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from adapters.pawapay.places import PLACES, Place
from adapters.pawapay.settings import private_key
from adapters.pawapay.signatures import SIGNED, Message, Unproven, verify
from adapters.pawapay.simulator.credentials import OUR_KEY_ID, Credentials
from gateway.clock import Clock

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
AMOUNT = r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,2})?"
FORMS: Mapping[str, str] = {
    "payoutId": UUID4,
    "amount": AMOUNT,
    "currency": "[A-Z]{3}",
    "clientReferenceId": ".{1,64}",
    "customerMessage": "[A-Za-z0-9 ]{4,22}",
}
FIELDS = frozenset({*FORMS, "recipient", "metadata"})
METADATA_MOST = 10
STATUS: Mapping[str, int] = {
    "NO_AUTHENTICATION": 401,
    "AUTHENTICATION_ERROR": 403,
    "AUTHORISATION_ERROR": 403,
    "HTTP_SIGNATURE_ERROR": 403,
    "PAYOUTS_NOT_ALLOWED": 403,
    "INVALID_INPUT": 400,
    "MISSING_PARAMETER": 400,
    "UNSUPPORTED_PARAMETER": 400,
    "INVALID_PARAMETER": 400,
    "DUPLICATE_METADATA_FIELD": 400,
    "UNKNOWN_ERROR": 500,
}
"""The HTTP status of technical failures; all others are answered with 200 and REJECTED."""


class Refused(Exception):
    """A rejection, as pawaPay words it."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.text = text or f"Refused: {code}"

    def document(self, payout_id: str | None = None) -> dict[str, Any]:
        """The body of the answer."""
        reason = {"failureCode": self.code, "failureMessage": self.text}
        if self.code in STATUS:
            return {"failureReason": reason}
        return {"payoutId": payout_id, "status": "REJECTED", "failureReason": reason}

    def answer(self, payout_id: str | None = None) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(self.document(payout_id), status_code=STATUS.get(self.code, 200))


def authorise(request: Request, credentials: Credentials) -> None:
    """Raise `Refused` unless the request has the API token."""
    given = request.headers.get("authorization")
    if given is None:
        raise Refused("NO_AUTHENTICATION")
    if given != f"Bearer {credentials.api_token}":
        raise Refused("AUTHENTICATION_ERROR")


def check_signature(request: Request, body: bytes, credentials: Credentials, *, clock: Clock) -> None:
    """Raise `Refused` unless the merchant's key has signed the request as pawaPay's page says."""
    message = Message("POST", str(request.url), dict(request.headers))
    keys = {OUR_KEY_ID: private_key(credentials.signing_key).public_key()}
    covered = re.search(r"\(([^)]*)\)", request.headers.get("signature-input", ""))
    if covered is None or covered[1] != " ".join(f'"{each}"' for each in SIGNED):
        raise Refused("HTTP_SIGNATURE_ERROR", "other components")
    try:
        verify(message, body, keys=keys, now=clock(), fresh=timedelta(minutes=1))
    except Unproven as error:
        raise Refused("HTTP_SIGNATURE_ERROR", str(error)) from None


def content(request: Request, body: bytes) -> Any:
    """The body. Raises `Refused`."""
    if request.headers.get("content-type") != "application/json":
        raise Refused("INVALID_INPUT", "Content-Type")
    try:
        return json.loads(body)
    except ValueError:
        raise Refused("INVALID_INPUT") from None


def payout(given: Any) -> Place:
    """The place that a payout goes to. Raises `Refused` for a field that isn't of the documented form."""
    if not isinstance(given, dict) or FIELDS - set(given):
        raise Refused("MISSING_PARAMETER")
    if set(given) - FIELDS:
        raise Refused("UNSUPPORTED_PARAMETER")
    for name, pattern in FORMS.items():
        if not isinstance(given[name], str) or not re.fullmatch(pattern, given[name]):
            raise Refused("INVALID_PARAMETER", name)
    _check_metadata(given["metadata"])
    recipient = given["recipient"]
    details = recipient.get("accountDetails") if isinstance(recipient, dict) else None
    if not isinstance(details, dict) or set(recipient) != {"type", "accountDetails"} or recipient["type"] != "MMO":
        raise Refused("INVALID_PARAMETER", "recipient")
    if set(details) != {"phoneNumber", "provider"}:
        raise Refused("INVALID_PARAMETER", "accountDetails")
    return _place(given["currency"], details)


def _place(currency: str, details: Mapping[str, Any]) -> Place:
    serving = [each for each in PLACES if details["provider"] in each.providers.values()]
    if not serving:
        raise Refused("INVALID_PROVIDER")
    places = [each for each in serving if each.currency == currency]
    if not places:
        raise Refused("INVALID_CURRENCY")
    if not re.fullmatch(rf"{places[0].prefix[1:]}[0-9]{{6,12}}", str(details["phoneNumber"])):
        raise Refused("INVALID_PHONE_NUMBER")
    return places[0]


def _check_metadata(given: Any) -> None:
    whole = isinstance(given, list) and len(given) <= METADATA_MOST and all(isinstance(each, dict) for each in given)
    if not whole:
        raise Refused("INVALID_PARAMETER", "metadata")
    names = [name for each in given for name in each if name != "isPII"]
    if len(set(names)) != len(names):
        raise Refused("DUPLICATE_METADATA_FIELD")
