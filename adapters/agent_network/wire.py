"""The network's JSON: what we send and what we read. GSMA Mobile Money API 1.2, Authorisation Codes and Transactions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.agent_network.settings import AgentNetworkSettings
from gateway.offramp import Instruction, Pickup
from gateway.railkit.documents import text_of

REFERENCE, NAME, MSISDN, COUNTRY = "reference", "recipientName", "recipientMsisdn", "receivingCountry"
"""Keys of customData: the GSMA's code has no field for who may redeem it."""
LINK = re.compile(r"(?!.*(?:\.\.|//))/[A-Za-z0-9/@$._~+%-]{1,600}")
"""An address below the network's own: it can't lead anywhere else."""
HIDDEN = re.compile(r"\**")


def code_path(account: str) -> str:
    """Where codes of an account of ours are made."""
    return f"/accounts/accountid/{account}/authorisationcodes"


def payment_body(settings: AgentNetworkSettings, instruction: Instruction) -> bytes:
    """A request for a code of exactly this amount, with the funds held, for an agent's withdrawal."""
    to = instruction.to
    facts = {REFERENCE: instruction.attempt_id, NAME: to.holder, MSISDN: to.account, COUNTRY: to.country}
    return _json(
        {
            "amount": instruction.deliver.decimal(),
            "currency": instruction.deliver.asset.code,
            "amountType": "exact",
            "codeLifetime": settings.code_lifetime_s,
            "holdFundsIndicator": True,
            "redemptionChannels": [{"channelType": "agent"}],
            "redemptionTransactionTypes": [{"transactionType": "withdrawal"}],
            "customData": [{"key": key, "value": value} for key, value in facts.items()],
        }
    )


def cancel_body() -> bytes:
    """The only change that the GSMA permits."""
    return _json([{"op": "replace", "path": "/codeState", "value": "cancelled"}])


def headers(settings: AgentNetworkSettings, *, correlation: str | None = None, body: bytes | None = None) -> dict[str, str]:
    """The GSMA's headers: who asks, under which id, and the digest of what is sent."""
    given = {"X-Client-Id": settings.client_id, "X-API-Key": settings.api_key.get_secret_value()}
    if correlation is not None:
        given["X-CorrelationID"] = correlation
    if body is not None:
        given |= {"Content-Type": "application/json", "X-Content-Hash": hashlib.sha256(body).hexdigest()}
    return given


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code as the network tells it; what it doesn't tell is None."""

    state: str | None
    digits: str | None = field(repr=False)
    """The code itself; None where the network shows it no more."""
    amount: object
    currency: str | None
    ours: str | None
    """Our attempt id, as the network repeats it."""
    reference: str | None
    """The network's own name for it, which tells nothing of the digits."""
    transaction: str | None
    """The withdrawal by which it was redeemed."""
    reason: str | None
    expires_at: datetime | None

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Code:
        """Read what is there; nothing has to be."""
        custom, metadata = pairs(document.get("customData")), pairs(document.get("metadata"))
        digits = text_of(document.get("authorisationCode"))
        return cls(
            state=text_of(document.get("codeState")),
            digits=None if digits is None or HIDDEN.fullmatch(digits) else digits,
            amount=document.get("amount"),
            currency=text_of(document.get("currency")),
            ours=custom.get(REFERENCE),
            reference=metadata.get("codeReference"),
            transaction=metadata.get("transactionReference"),
            reason=metadata.get("reason"),
            expires_at=_expiry(document),
        )

    def pickup(self, *, where: str | None) -> Pickup | None:
        """What the recipient shows; None where the digits aren't told."""
        if self.digits is None:
            return None
        return Pickup(code=self.digits, expires_at=self.expires_at, where=where)


def pairs(value: object) -> dict[str, str]:
    """The GSMA's lists of {"key": …, "value": …}."""
    listed = value if isinstance(value, list) else []
    texts = [(text_of(each.get("key")), text_of(each.get("value"))) for each in listed if isinstance(each, dict)]
    return {key: said for key, said in texts if key is not None and said is not None}


def link_of(document: Mapping[str, Any]) -> str | None:
    """The address that GET /responses/{id} tells; None if it tells none below the network's own."""
    link = document.get("link")
    return link if isinstance(link, str) and LINK.fullmatch(link) else None


def _expiry(document: Mapping[str, Any]) -> datetime | None:
    made, lifetime = document.get("creationDate"), document.get("codeLifetime")
    if not isinstance(made, str) or not isinstance(lifetime, int) or isinstance(lifetime, bool):
        return None
    try:
        moment = datetime.fromisoformat(made)
        return None if moment.tzinfo is None else moment + timedelta(seconds=lifetime)
    except (ValueError, OverflowError):
        return None
