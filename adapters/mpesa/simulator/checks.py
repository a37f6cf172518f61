"""What Daraja insists on in a request, and how it refuses one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from fastapi.responses import JSONResponse

_URL = r"https?://(?!.*(?i:m-?pesa|safaricom|exe|cmd|sql|query|ngrok))[^\s/]+(/\S*)?"
"""Addresses with these words in them are refused. In production only HTTPS would do."""

_NAME, _CREDENTIAL, _SHORT_CODE, _REMARKS = r".{1,100}", r"[A-Za-z0-9+/]{342}==", r"[0-9]{5,9}", r".{2,100}"

PAYMENT: Mapping[str, str] = {
    "OriginatorConversationID": r"[A-Za-z0-9_-]{1,100}",
    "InitiatorName": _NAME,
    "SecurityCredential": _CREDENTIAL,
    "CommandID": "SalaryPayment|BusinessPayment|PromotionPayment",
    "Amount": r"[1-9][0-9]{0,8}",
    "PartyA": _SHORT_CODE,
    "PartyB": r"254[17][0-9]{8}",
    "Remarks": _REMARKS,
    "QueueTimeOutURL": _URL,
    "ResultURL": _URL,
}
_QUESTION: Mapping[str, str] = {
    "Initiator": _NAME,
    "SecurityCredential": _CREDENTIAL,
    "PartyA": _SHORT_CODE,
    "IdentifierType": "4",
    "Remarks": _REMARKS,
    "QueueTimeOutURL": _URL,
    "ResultURL": _URL,
}
STATUS: Mapping[str, str] = {**_QUESTION, "CommandID": "TransactionStatusQuery"}
BALANCE: Mapping[str, str] = {**_QUESTION, "CommandID": "AccountBalance"}
OPTIONAL: Mapping[str, str] = {
    "Occassion": r".{1,100}",
    "Occasion": r".{1,100}",
    "TransactionID": r"[A-Z0-9]{10}",
    "OriginalConversationID": r"[A-Za-z0-9_-]{1,100}",
}


class Refused(Exception):
    """The gateway's error, as Daraja words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def answer(self) -> JSONResponse:
        """The HTTP answer."""
        content = {"requestId": str(uuid4()), "errorCode": self.code, "errorMessage": self.message}
        return JSONResponse(content, status_code=self.status)


def fields(body: bytes, expected: Mapping[str, str]) -> dict[str, str]:
    """The body's fields, each of the documented form. Raises `Refused`."""
    try:
        read: Any = json.loads(body)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise Refused(400, "400.002.02", "Bad Request - Invalid Request Payload")
    for name, pattern in {**OPTIONAL, **expected}.items():
        value = read.get(name)
        absent = name in OPTIONAL and value is None
        if not absent and not (isinstance(value, str) and re.fullmatch(pattern, value)):
            raise Refused(400, "400.002.02", f"Bad Request - Invalid {name}")
    return read


def password_in(credential: str, key: RSAPrivateKey) -> str | None:
    """The initiator's password in a SecurityCredential; None if our key doesn't open it."""
    try:
        return key.decrypt(base64.b64decode(credential, validate=True), PKCS1v15()).decode()
    except ValueError:
        return None
