"""The GSMA's documents: codes, withdrawals, balances and errors, as version 1.2.0 of its OpenAPI document has them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, RootModel

from gateway.agents.claims import CONFIRMED, RESERVED, ClaimView
from gateway.agents.codes import CLAIMED, CodeView
from gateway.agents.errors import NetworkRefusal
from gateway.money import Money, MoneyError

HIDDEN = "**********"
"""In place of the digits, which only the answer to their request shows."""
AMOUNT = r"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[0-9])?$"
STATUS: Mapping[str, int] = {"authorisation": 401, "identification": 404, "businessRule": 400, "validation": 400}
"""By errorCategory."""
TOO_MANY = 429
REFERENCE, NAME, MSISDN, COUNTRY = "reference", "recipientName", "recipientMsisdn", "receivingCountry"
"""What customData has to say: the GSMA's code has no field for who may redeem it."""
WORDS: Mapping[str, str] = {RESERVED: "pending", CONFIRMED: "completed", "released": "failed"}
"""transactionStatus of a claim."""
ID_TYPE, ID_NUMBER = "/recipientKyc/idDocument/0/idType", "/recipientKyc/idDocument/0/idNumber"


class WrongBody(NetworkRefusal):
    """The body isn't what its digest says, or says something else than the contract has."""

    code: ClassVar[str] = "pickup_wrong_body"
    gsma, category = "formatError", "validation"

    def __init__(self) -> None:
        super().__init__("The body is not what this contract has, or not the one of X-Content-Hash.")


class GsmaRoute(APIRoute):
    """A route whose refusals are the GSMA's error objects instead of problem documents."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with its refusals turned."""
        answer = super().get_route_handler()

        async def turned(request: Request) -> Response:
            try:
                return await answer(request)
            except NetworkRefusal as refusal:
                status = TOO_MANY if refusal.gsma == "rateLimitError" else STATUS[refusal.category]
                return _error(status, refusal.category, refusal.gsma, str(refusal))
            except (RequestValidationError, MoneyError):
                return _error(400, "validation", "formatError", "A field is missing, unknown or not in its form.")

        return turned


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Pair(_Exact):
    """One of the GSMA's pairs."""

    key: str = Field(min_length=1, max_length=256)
    value: str = Field(min_length=1, max_length=256)


class Channel(_Exact):
    """redemptionChannels."""

    channelType: Literal["agent"]  # noqa: N815 - the GSMA's word


class Kind(_Exact):
    """redemptionTransactionTypes."""

    transactionType: Literal["withdrawal"]  # noqa: N815


class CodeBody(_Exact):
    """A request for a code: paid whole, and with its funds held. Whom it is for stands in customData."""

    amount: Annotated[str, Field(pattern=AMOUNT, max_length=23)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    amountType: Literal["exact"]  # noqa: N815
    codeLifetime: Annotated[int, Field(ge=1, le=2**31 - 1)]  # noqa: N815
    holdFundsIndicator: Literal[True]  # noqa: N815
    redemptionChannels: list[Channel] = Field(default_factory=list, max_length=50)  # noqa: N815
    redemptionTransactionTypes: list[Kind] = Field(default_factory=list, max_length=50)  # noqa: N815
    customData: Annotated[list[Pair], Field(max_length=20)]  # noqa: N815
    requestDate: str | None = Field(default=None, max_length=40)  # noqa: N815

    def who(self) -> dict[str, str]:
        """Reference, country, name and number. Raises `WrongBody`."""
        told = {each.key: each.value for each in self.customData}
        phone, country = told.get(MSISDN, ""), told.get(COUNTRY, "")
        digits = phone.removeprefix("+")
        named = all(told.get(key, "").isprintable() and told.get(key) for key in (REFERENCE, NAME))
        if not named or not phone.startswith("+") or not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):  # noqa: PLR2004
            raise WrongBody
        if len(country) != 2 or not (country.isascii() and country.isupper()):  # noqa: PLR2004 - ISO 3166-1 alpha-2
            raise WrongBody
        return {"reference": told[REFERENCE], "holder": told[NAME], "msisdn": phone, "country": country}


class WithdrawalBody(_Exact):
    """An agent's claim. The recipient tells the code and his phone number, or its last digits."""

    amount: Annotated[str, Field(pattern=AMOUNT, max_length=23)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    oneTimeCode: Annotated[str, Field(min_length=1, max_length=40)]  # noqa: N815
    debitParty: Annotated[list[Pair], Field(min_length=1, max_length=10)]  # noqa: N815
    creditParty: list[Pair] = Field(default_factory=list, max_length=10)  # noqa: N815
    requestingOrganisationTransactionReference: Annotated[str, Field(min_length=1, max_length=100)]  # noqa: N815

    def phone(self) -> str:
        """The recipient's msisdn. Raises `WrongBody`."""
        found = [each.value for each in self.debitParty if each.key == "msisdn"]
        if len(found) != 1:
            raise WrongBody
        return found[0]


class Change(_Exact):
    """One operation of the GSMA's generic patch."""

    op: Literal["replace", "add"]
    path: Annotated[str, Field(min_length=1, max_length=256)]
    value: Annotated[str, Field(min_length=1, max_length=256)]


class PatchBody(RootModel[Annotated[list[Change], Field(min_length=1, max_length=10)]]):
    """The GSMA's generic patch."""


def cancels(body: PatchBody) -> None:
    """Raise `WrongBody` unless it cancels a code and does nothing else."""
    if [(each.op, each.path, each.value) for each in body.root] != [("replace", "/codeState", "cancelled")]:
        raise WrongBody


def document_shown(body: PatchBody) -> str:
    """Kind and number of the recipient's document, of a patch that completes a withdrawal. Raises `WrongBody`."""
    told = {each.path: each.value for each in body.root}
    if told.keys() != {"/transactionStatus", ID_TYPE, ID_NUMBER} or told["/transactionStatus"] != "completed":
        raise WrongBody
    return f"{told[ID_TYPE]} {told[ID_NUMBER]}"


def code_document(code: CodeView, *, digits: str | None = None) -> dict[str, Any]:
    """A code. While an agent has claimed it nothing is decided: it is active."""
    metadata = {"codeReference": code.id}
    if code.withdrawal is not None:
        metadata["transactionReference"] = code.withdrawal
    custom = {REFERENCE: code.reference, NAME: code.holder, MSISDN: code.msisdn, COUNTRY: code.country}
    return {
        "authorisationCode": HIDDEN if digits is None else digits,
        "codeState": "active" if code.state == CLAIMED else code.state,
        "amount": code.money.decimal(),
        "currency": code.money.asset.code,
        "amountType": "exact",
        "codeLifetime": int((code.expires_at - code.created_at).total_seconds()),
        "holdFundsIndicator": True,
        "redemptionChannels": [{"channelType": "agent"}],
        "redemptionTransactionTypes": [{"transactionType": "withdrawal"}],
        "creationDate": code.created_at.isoformat(),
        "modificationDate": code.updated_at.isoformat(),
        "customData": _pairs(custom),
        "metadata": _pairs(metadata),
    }


def withdrawal_document(claim: ClaimView, *, to_agent: bool = False) -> dict[str, Any]:
    """A withdrawal; to the agent who makes it with all that he has to know of the recipient."""
    document: dict[str, Any] = {
        "transactionReference": claim.id,
        "transactionStatus": WORDS[claim.state],
        "transactionReceipt": claim.id,
        "type": "withdrawal",
        "amount": claim.money.decimal(),
        "currency": claim.money.asset.code,
        "creationDate": claim.reserved_at.isoformat(),
    }
    if to_agent:
        document["requestingOrganisationTransactionReference"] = claim.agent_reference
        document["debitParty"] = _pairs({"msisdn": claim.msisdn})
        document["recipientKyc"] = {"subjectName": {"fullName": claim.holder}}
    return document


def balance_document(free: Money, held: Money) -> dict[str, str]:
    """An account's balance."""
    return {
        "accountStatus": "available",
        "currency": free.asset.code,
        "currentBalance": (free + held).decimal(),
        "availableBalance": free.decimal(),
        "reservedBalance": held.decimal(),
        "unclearedBalance": Money(0, free.asset).decimal(),
    }


def _error(status: int, category: str, code: str, description: str) -> JSONResponse:
    return JSONResponse({"errorCategory": category, "errorCode": code, "errorDescription": description}, status)


def _pairs(facts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in facts.items()]
