"""MTN MoMo's JSON: what we send and what we read.

Source: momodeveloper.mtn.com, Disbursement API, /disbursement/v1_0/transfer, /accountholder, /account/balance and /token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from adapters.mtn_momo.settings import MtnMomoSettings
from gateway.money import Asset, Money
from gateway.offramp import Instruction, OutsideLimits
from gateway.railkit.documents import document, document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import chosen, words
from gateway.railkit.http import Answer

TOKEN_PATH = "/disbursement/token/"  # noqa: S105 - an address
TRANSFER_PATH = "/disbursement/v1_0/transfer"
BALANCE_PATH = "/disbursement/v1_0/account/balance"
HOLDER_PATH = "/disbursement/v1_0/accountholder/msisdn/"

OK, ACCEPTED, NOT_FOUND = 200, 202, 404
NO_SUCH_ID = "RESOURCE_NOT_FOUND"
"""The code with which MTN says that a reference id does not exist. HTTP 404 without it may only mean a wrong address."""

_EVIDENCE = frozenset({"statusCode", "financialTransactionId", "externalId", "amount", "currency"})
_CODE = re.compile(r"[A-Z][A-Z_]{0,60}[0-9]{0,3}")


def msisdn(account: str, settings: MtnMomoSettings) -> str:
    """The number as MTN writes it, from E.164. Raises `OutsideLimits` for one that is none of the country's."""
    if re.fullmatch(settings.target.number, account) is None:
        raise OutsideLimits(f"MTN MoMo needs a number of {settings.target.country} in E.164")
    return account.removeprefix("+")


def transfer_body(settings: MtnMomoSettings, instruction: Instruction) -> dict[str, object]:
    """The body of POST /disbursement/v1_0/transfer. `externalId` is ours, and no key: MTN takes the same one twice."""
    return {
        "amount": instruction.deliver.decimal(),
        "currency": instruction.deliver.asset.code,
        "externalId": instruction.attempt_id,
        "payee": {"partyIdType": "MSISDN", "partyId": msisdn(instruction.to.account, settings)},
        "payerMessage": settings.payer_message,
        "payeeNote": settings.payee_note,
    }


def code_of(answer: Answer) -> str:
    """The word in {"code": "RESOURCE_ALREADY_EXIST", "message": "..."}; empty if there is none."""
    code = text_of(document_or_empty(answer.body).get("code")) or ""
    return code if _CODE.fullmatch(code) else ""


class Transfer(NamedTuple):
    """A transfer as MTN tells it, in answer to a question or by callback."""

    status: str
    reason: str
    """Empty if there is none."""
    external_id: str | None
    receipt: str | None
    amount: object
    currency: str | None
    seen: Mapping[str, str]
    """What may be kept of it as evidence."""

    @classmethod
    def read(cls, body: bytes) -> Transfer:
        """{"status": "FAILED", "reason": {"code": "PAYEE_NOT_FOUND", ...}, ...}; the reason comes as a bare text too.

        Raises `Unreadable`. A status that is none is empty.
        """
        read = document(body)
        reason = read.get("reason")
        word = text_of(inner(read, "reason").get("code") if isinstance(reason, dict) else reason) or ""
        return cls(
            status=text_of(read.get("status")) or "",
            reason=word,
            external_id=text_of(read.get("externalId")),
            receipt=text_of(read.get("financialTransactionId")),
            amount=read.get("amount"),
            currency=text_of(read.get("currency")),
            seen={
                **chosen(read, _EVIDENCE),
                "status": words(read.get("status")),
                **({"reason": words(word)} if word else {}),
            },
        )

    def money(self, asset: Asset) -> Money | None:
        """The amount, if it is one of this currency."""
        return money_of(self.amount, asset) if self.currency == asset.code else None


def seen_in(answer: Answer) -> dict[str, str]:
    """What may be kept of an answer as evidence."""
    code = {"code": code_of(answer)} if code_of(answer) else {}
    return {"http_status": str(answer.status), **code, **chosen(document_or_empty(answer.body), _EVIDENCE)}
