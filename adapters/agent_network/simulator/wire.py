"""The network's side of the wire: what it takes, to the letter, and how it refuses."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.railsim import Scenario


class Fault(NamedTuple):
    """How a refusal is answered."""

    status: int
    category: str
    code: str


FORMAT = Fault(400, "validation", "formatError")
NOT_FOUND = Fault(404, "identification", "identifierError")
STATE = Fault(400, "businessRule", "incorrectState")
SCRIPTED = {
    Scenario.RATE_LIMITED: Fault(429, "businessRule", "rateLimitError"),
    Scenario.ERROR_BEFORE_ACCEPT: Fault(503, "serviceUnavailable", "genericError"),
    Scenario.ERROR_AFTER_ACCEPT: Fault(500, "internal", "genericError"),
    Scenario.DUPLICATE_ANSWER: Fault(400, "businessRule", "duplicateRequest"),
}


class Refused(Exception):
    """The request breaks the contract."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


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


class Wanted(_Exact):
    """A request for a code: exact amounts and held funds only."""

    amount: Annotated[str, Field(pattern=r"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[0-9])?$", max_length=23)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    amountType: Literal["exact"]  # noqa: N815
    codeLifetime: Annotated[int, Field(ge=1)]  # noqa: N815
    holdFundsIndicator: Literal[True]  # noqa: N815
    redemptionChannels: Annotated[list[Channel], Field(min_length=1)]  # noqa: N815
    redemptionTransactionTypes: Annotated[list[Kind], Field(min_length=1)]  # noqa: N815
    customData: Annotated[list[Pair], Field(max_length=20)]  # noqa: N815

    def facts(self) -> dict[str, str]:
        """CustomData as a mapping, with all that says who is paid. Raises `Refused`."""
        told = {each.key: each.value for each in self.customData}
        if told.keys() != {"reference", "recipientName", "recipientMsisdn", "receivingCountry"}:
            raise Refused(Fault(400, "validation", "mandatoryValueNotSupplied"))
        return told


class Claim(_Exact):
    """What an agent types."""

    code: str
    amount: str | None = None
    """What he is about to give; absent: the whole amount."""


def refusal_answer(fault: Fault) -> Response:
    """The GSMA's error object."""
    return JSONResponse({"errorCategory": fault.category, "errorCode": fault.code, "errorDescription": ""}, fault.status)
