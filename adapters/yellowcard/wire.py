"""What goes over the wire to Yellow Card and comes back. Source: docs.yellowcard.engineering/reference, API 1.0.23."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

from adapters.yellowcard.directory import Route
from adapters.yellowcard.settings import YellowCardSettings
from gateway.money import Asset, Money
from gateway.offramp import Instruction, Method
from gateway.railkit.documents import document_or_empty, money_of, text_of
from gateway.railkit.http import Answer

ACCOUNT, RESOLVE, RATES = "/business/account", "/business/details/bank", "/business/rates"
BY_SEQUENCE, FAIL_PENDING = "/business/payments/sequence-id/{}", "/business/payments/{}/fail-pending-liquidity"
"""Under these names in both namings."""
ACCOUNT_TYPES = {Method.BANK: "bank", Method.MOBILE_MONEY: "momo"}


class Payment(NamedTuple):
    """A payment as Yellow Card shows it, in every answer about one."""

    id: str
    sequence_id: str
    """Our attempt id."""
    status: str
    """In upper case."""
    fields: dict[str, Any]

    @classmethod
    def read(cls, answer: Answer) -> Payment | None:
        """A payment; None if this answer shows none."""
        fields = document_or_empty(answer.body) if answer.status in (200, 201) else {}
        id_, sequence, status = (text_of(fields.get(key)) for key in ("id", "sequenceId", "status"))
        # The id becomes part of a path.
        is_id = id_ is not None and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id_) is not None
        return cls(id_, sequence, status.upper(), fields) if id_ and is_id and sequence and status else None

    def pays(self, asset: Asset) -> Money | None:
        """What the recipient gets, "fixed or calculated": `convertedAmount`. None if it isn't told in this currency."""
        return money_of(self.fields.get("convertedAmount"), asset) if self.fields.get("currency") == asset.code else None

    def expires_at(self) -> datetime | None:
        """Until when its rate is locked; None if that can't be read."""
        try:
            read = datetime.fromisoformat(self.fields.get("expiresAt") or "")
        except (ValueError, TypeError):
            return None
        return read if read.tzinfo else None


def submission(instruction: Instruction, *, route: Route, settings: YellowCardSettings) -> dict[str, object]:
    """The body of Submit Payment Request: fixed in local currency, and not to be paid before we accept it."""
    to, deliver = instruction.to, instruction.deliver
    return {
        "channelId": route.channel_id,
        "sequenceId": instruction.attempt_id,
        "localAmount": deliver.units // 10**deliver.asset.decimals,
        "reason": settings.reason,
        "sender": {"businessName": settings.business_name, "businessId": settings.business_id},
        "destination": {
            "accountName": to.holder,
            "accountNumber": to.account,
            "accountType": ACCOUNT_TYPES[to.method],
            "networkId": route.network_id,
        },
        "forceAccept": False,
        "customerType": "institution",
        "customerUID": settings.customer_uid,
    }


def error_code(answer: Answer) -> str | None:
    """The `code` of an error."""
    return text_of(document_or_empty(answer.body).get("code"))
