"""pawaPay's JSON: what we send and what we read.

Source: docs.pawapay.io, pages /v2/api-reference/payouts/*, /finances/wallet-balances and /toolkit/*.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.pawapay.places import Place
from gateway.money import Money
from gateway.offramp import Corridor, Instruction, OutsideLimits
from gateway.railkit.documents import inner, text_of
from gateway.railkit.keys import uuid4_of

PAYOUTS = "/v2/payouts"
BULK = "/v2/payouts/bulk"
CANCEL = "/v2/payouts/fail-enqueued/"
RESEND = "/v2/payouts/resend-callback/"
BALANCES = "/v2/wallet-balances"
AVAILABILITY = "/v2/availability?operationType=PAYOUT"
CONFIGURATION = "/v2/active-conf?operationType=PAYOUT"
KEYS = "/v2/public-key/http"

OK = 200
BULK_MOST = 20
"""How many payouts fit into one request."""
ATTEMPT, SEAL = "attemptId", "seal"
"""The names of our metadata, which callbacks repeat."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def payout(instruction: Instruction, *, corridor: Corridor, place: Place, message: str, key: bytes) -> dict[str, Any]:
    """One payout. Raises `OutsideLimits` for an account that is no phone number of the country."""
    to = instruction.to
    if not _E164.fullmatch(to.account) or not to.account.startswith(place.prefix):
        raise OutsideLimits(f"pawaPay pays in {to.country} to phone numbers in E.164 that begin with {place.prefix}")
    body: dict[str, Any] = {
        "payoutId": uuid4_of(instruction.attempt_id),
        "amount": amount(instruction.deliver, corridor.step),
        "currency": instruction.deliver.asset.code,
        "recipient": {
            "type": "MMO",
            "accountDetails": {
                "phoneNumber": to.account.removeprefix("+"),
                "provider": place.providers[to.institution or ""],
            },
        },
        "clientReferenceId": instruction.attempt_id,
        "customerMessage": message,
    }
    body["metadata"] = [{ATTEMPT: instruction.attempt_id}, {SEAL: seal(body, instruction.attempt_id, key=key)}]
    return body


def amount(deliver: Money, step: Money) -> str:
    """As short as the corridor's step allows: many wallets refuse a point, none refuses its absence."""
    whole = 10**deliver.asset.decimals
    return deliver.decimal().partition(".")[0] if step.units % whole == 0 else deliver.decimal()


def encoded(body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
    """JSON as it goes out: these bytes are signed and sent."""
    return json.dumps(body, separators=(",", ":")).encode()


def seal(values: Mapping[str, Any], attempt_id: str, *, key: bytes) -> str:
    """Binds an attempt to its payee, amount and currency: a callback that names others isn't about what we ordered."""
    details = inner(values, "recipient", "accountDetails")
    given = text_of(values.get("amount")) or ""
    plain = given.rstrip("0").rstrip(".") if "." in given else given
    told = (attempt_id, plain, values.get("currency"), details.get("phoneNumber"), details.get("provider"))
    return hmac.new(key, "\n".join(map(str, told)).encode(), hashlib.sha256).hexdigest()[:32]


def metadata(values: Mapping[str, Any]) -> dict[str, str]:
    """Our metadata in a callback or an answer: an object there, a list of objects in a request."""
    given = values.get("metadata")
    listed = given if isinstance(given, list) else [given]
    found: dict[str, str] = {}
    for each in listed:
        if isinstance(each, dict):
            found |= {name: text for name in (ATTEMPT, SEAL) if (text := text_of(each.get(name))) is not None}
    return found


def failure_code(values: Mapping[str, Any]) -> str | None:
    """The failureCode of an answer."""
    return text_of(inner(values, "failureReason").get("failureCode"))


def failure_text(values: Mapping[str, Any]) -> str | None:
    """The failureMessage of an answer: for us, in pawaPay's words."""
    return text_of(inner(values, "failureReason").get("failureMessage"))
