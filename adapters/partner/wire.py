"""The fill contract's JSON and its signature. Ours at both ends: gateway/api/fills.py serves it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.partner.settings import PartnerSettings
from gateway.money import Money
from gateway.offramp import AttemptRef, Instruction
from gateway.railkit.documents import inner, money_of, text_of

PATH = "/v1/fill-orders"


def offer_body(settings: PartnerSettings, instruction: Instruction) -> bytes:
    """An offer of exactly this payout to one partner."""
    to = instruction.to
    destination = {"country": to.country, "method": to.method.value, "account": to.account, "holder": to.holder}
    if to.institution is not None:
        destination["institution"] = to.institution
    return json.dumps(
        {
            "reference": instruction.attempt_id,
            "partner_id": settings.partner_id,
            "amount": instruction.deliver.decimal(),
            "currency": instruction.deliver.asset.code,
            "destination": destination,
            "offered_for_s": settings.offered_for_s,
            "fulfil_within_s": settings.fulfil_within_s,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def signed(settings: PartnerSettings, *, method: str, path: str, body: bytes, now: datetime) -> dict[str, str]:
    """The header that proves who asks: HMAC-SHA256 over time, method, path and the raw body."""
    seconds = str(int(now.timestamp()))
    message = f"{seconds}\n{method}\n{path}\n".encode() + body
    signature = hmac.new(settings.client_secret.get_secret_value().encode(), message, hashlib.sha256).hexdigest()
    return {"Authorization": f"HMAC {settings.client_id}:{seconds}:{signature}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A fill as the other side tells it; what it doesn't tell is None."""

    id: str | None
    reference: str | None
    state: str | None
    reason: str | None
    delivered: Money | None
    proof: str | None
    """The partner's own reference of what he paid."""
    overdue: bool
    late: bool

    @classmethod
    def read(cls, document: Mapping[str, Any], attempt: AttemptRef | Instruction) -> Fill:
        """Read what is there; nothing has to be."""
        delivered = inner(document, "delivered")
        asset = attempt.deliver.asset
        known = delivered.get("currency") == asset.code
        return cls(
            id=text_of(document.get("id")),
            reference=text_of(document.get("reference")),
            state=text_of(document.get("state")),
            reason=text_of(document.get("reason")),
            delivered=money_of(delivered.get("amount"), asset) if known else None,
            proof=text_of(inner(document, "proof").get("reference")),
            overdue=document.get("overdue") is True,
            late=document.get("late") is True,
        )
