"""Daraja's JSON: what we send and what we read.

Source: developer.safaricom.co.ke, pages BusinessToCustomer (B2C v3) and TransactionStatus, as of 2025-12-28. The codes are
in `codes`, what an answer means in our words in `verdict`.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from adapters.mpesa.settings import KES, MpesaSettings
from gateway.money import Money
from gateway.offramp import AttemptRef, Instruction
from gateway.railkit.documents import Unreadable, document, money_of, text_of
from gateway.railkit.http import Answer

TOKEN_PATH = "/oauth/v1/generate"  # noqa: S105 - an address
PAYMENT_PATH = "/mpesa/b2c/v3/paymentrequest"
STATUS_PATH = "/mpesa/transactionstatus/v1/query"
BALANCE_PATH = "/mpesa/accountbalance/v1/query"

ACCOUNT_PARTS = 4
"""What an account has at least in a balance: name, currency, current, available."""
HTTP_OK = 200
HTTP_ERROR = 400
"""From here on an HTTP status is an error."""

_MSISDN = re.compile(r"\+(254[17][0-9]{8})")


def msisdn(account: str) -> str | None:
    """The number as Daraja writes it, 2547... or 2541... in 12 digits, from E.164; None if it is no Kenyan mobile number."""
    match = _MSISDN.fullmatch(account)
    return None if match is None else match[1]


def payment_body(
    *, settings: MpesaSettings, credential: str, instruction: Instruction, result_url: str, timeout_url: str
) -> dict[str, str]:
    """The body of POST /mpesa/b2c/v3/paymentrequest for an instruction within our limits."""
    return {
        "OriginatorConversationID": instruction.attempt_id,
        "InitiatorName": settings.initiator_name,
        "SecurityCredential": credential,
        "CommandID": settings.command_id,
        "Amount": str(instruction.deliver.units // 10**KES.decimals),
        "PartyA": settings.short_code,
        "PartyB": instruction.to.account.removeprefix("+"),
        "Remarks": settings.remarks,
        "QueueTimeOutURL": timeout_url,
        "ResultURL": result_url,
    }


def status_body(
    *, settings: MpesaSettings, credential: str, attempt: AttemptRef, result_url: str, timeout_url: str
) -> dict[str, str]:
    """The body of POST /mpesa/transactionstatus/v1/query, asking by our own id."""
    return {
        "Initiator": settings.initiator_name,
        "SecurityCredential": credential,
        "CommandID": "TransactionStatusQuery",
        "OriginalConversationID": attempt.attempt_id,
        "PartyA": settings.short_code,
        "IdentifierType": "4",
        "ResultURL": result_url,
        "QueueTimeOutURL": timeout_url,
        "Remarks": "OK",
        "Occasion": "OK",
    }


def balance_body(*, settings: MpesaSettings, credential: str, result_url: str, timeout_url: str) -> dict[str, str]:
    """The body of POST /mpesa/accountbalance/v1/query, about our own short code."""
    return {
        "Initiator": settings.initiator_name,
        "SecurityCredential": credential,
        "CommandID": "AccountBalance",
        "PartyA": settings.short_code,
        "IdentifierType": "4",
        "ResultURL": result_url,
        "QueueTimeOutURL": timeout_url,
        "Remarks": "OK",
    }


def utility_account(text: str) -> Money | None:
    """What is available in "Working Account|KES|700000.00|700000.00|0.00|0.00&Utility Account|KES|...&...".

    An account is name|currency|current|available|reserved|uncleared. B2C spends the Utility account. None if it isn't there
    exactly once, in shillings.
    """
    accounts = [each.split("|") for each in text.split("&")]
    found = [each for each in accounts if each[0].strip().casefold() == "utility account"]
    if len(found) != 1 or len(found[0]) < ACCOUNT_PARTS or found[0][1] != KES.code:
        return None
    return money_of(found[0][3], KES)


def _code(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a code is a number or a text")  # noqa: TRY004 - pydantic reads ValueError
    return str(value)


def _listed(value: object) -> object:
    """One parameter comes as an object, several as a list, none as nothing at all."""
    inner = value.get("ResultParameter") if isinstance(value, dict) else value
    return inner if isinstance(inner, list) else [inner] if inner else []


Text = Annotated[str | None, BeforeValidator(text_of)]
Code = Annotated[str, BeforeValidator(_code)]


class AccessToken(BaseModel):
    """{"access_token": "...", "expires_in": "3599"}; the seconds come as number or text."""

    access_token: str = Field(pattern=r"^[!-~]+$", repr=False)
    expires_in: int = Field(gt=0)

    @classmethod
    def read(cls, answer: Answer) -> AccessToken | None:
        """The token in an answer; None if there is none."""
        return _read(cls, answer) if answer.status == HTTP_OK else None


class GatewayError(BaseModel):
    """{"requestId": "...", "errorCode": "500.002.1001", "errorMessage": "..."} under an HTTP error."""

    code: Code = Field(alias="errorCode")
    text: Text = Field(default=None, alias="errorMessage")

    @classmethod
    def read(cls, answer: Answer) -> GatewayError | None:
        """The error in an answer; None if it is none that Daraja documents."""
        return _read(cls, answer) if answer.status >= HTTP_ERROR else None


class Ack(BaseModel):
    """{"ConversationID": "AG_...", "OriginatorConversationID": "...", "ResponseCode": "0", ...}: taken, not done."""

    code: Code = Field(alias="ResponseCode")
    conversation: Text = Field(default=None, alias="ConversationID")
    originator: Text = Field(default=None, alias="OriginatorConversationID")

    @classmethod
    def read(cls, answer: Answer) -> Ack | None:
        """The acknowledgement in an answer; None if it is none."""
        return _read(cls, answer) if answer.status == HTTP_OK else None


class Parameter(BaseModel):
    """One of a result's parameters."""

    key: str = Field(alias="Key")
    value: object = Field(default=None, alias="Value")


class Result(BaseModel):
    """The body of a callback, under "Result". Codes come as number or text."""

    code: Code = Field(alias="ResultCode")
    text: Text = Field(default=None, alias="ResultDesc")
    originator: Text = Field(default=None, alias="OriginatorConversationID")
    conversation: Text = Field(default=None, alias="ConversationID")
    transaction: Text = Field(default=None, alias="TransactionID")
    listed: Annotated[list[Parameter], BeforeValidator(_listed)] = Field(default_factory=list, alias="ResultParameters")
    envelope: dict[str, object] = Field(default_factory=dict)
    """The whole object, as it came."""

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters by key."""
        return {each.key: each.value for each in self.listed}

    @classmethod
    def read(cls, body: bytes) -> Result:
        """The result in a callback's body. Raises `Unreadable`, also for a parameter that is given twice."""
        envelope = document(body).get("Result")
        try:
            result = cls.model_validate({**envelope, "envelope": envelope} if isinstance(envelope, dict) else envelope)
        except ValidationError:
            raise Unreadable("not a result") from None
        if len(result.listed) != len(result.parameters):
            raise Unreadable("a parameter is given twice")
        return result


M = TypeVar("M", bound=BaseModel)


def _read(model: type[M], answer: Answer) -> M | None:
    try:
        return model.model_validate(document(answer.body))
    except (Unreadable, ValidationError):
        return None
