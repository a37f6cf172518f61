"""Paystack's JSON: what we send and what we read. Statuses and errors are in `codes`.

Source: github PaystackOSS/openapi (dist/paystack.yaml) and paystack.com/docs/transfers, /docs/payments/webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from adapters.paystack.codes import EVENTS, STATUSES, error
from adapters.paystack.routes import ASSETS
from gateway.money import Money
from gateway.offramp import ForgedCallback, Instruction, Outcome, Report
from gateway.railkit.documents import Unreadable, document, document_or_empty, inner, text_of, units_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.keys import same
from gateway.railkit.meanings import UNLISTED, Kind, Meaning, report_of

RECIPIENT_PATH, TRANSFER_PATH, BULK_PATH, BALANCE_PATH = "/transferrecipient", "/transfer", "/transfer/bulk", "/balance"
HTTP_OK, HTTP_CREATED, HTTP_ERROR = 200, 201, 400
SIGNATURE = "x-paystack-signature"

_REFERENCE = re.compile(r"att_([0-9a-z]{26})")
_EVIDENCE = frozenset({"id", "transfer_code", "reference", "status", "amount", "currency", "domain", "transferred_at"})


def reference(attempt_id: str) -> str:
    """Our id at Paystack, which takes lower-case letters, digits, "-" and "_", and no fewer than 16 of them."""
    return attempt_id.lower()


def attempt_id(reference: object) -> str | None:
    """The attempt whose reference this is; None if it is none of ours."""
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    return None if match is None else f"att_{match[1].upper()}"


def transfer(instruction: Instruction, *, recipient: str, narration: str) -> dict[str, object]:
    """What is the same of a transfer by itself and in a batch. The amount is in kobo, pesewas or cents."""
    return {
        "amount": instruction.deliver.units,
        "recipient": recipient,
        "reference": reference(instruction.attempt_id),
        "reason": narration,
    }


def is_good(answer: Answer) -> bool:
    """Whether the request was taken: {"status": true, ...}."""
    return answer.status in (HTTP_OK, HTTP_CREATED) and document_or_empty(answer.body).get("status") is True


def data_of(answer: Answer) -> dict[str, Any]:
    """The object under "data"."""
    return inner(document_or_empty(answer.body), "data")


def listed(answer: Answer) -> list[Any]:
    """The list under "data"; an empty one if there is none."""
    data = document_or_empty(answer.body).get("data")
    return data if isinstance(data, list) else []


def refusal(answer: Answer) -> tuple[Meaning, str]:
    """What an answer that isn't good means, and a sentence for people."""
    message = text_of(document_or_empty(answer.body).get("message")) or "no message"
    means = UNLISTED if answer.status >= 500 else error(message)  # noqa: PLR2004 - whatever is said of a failure of its own
    return means, f"HTTP {answer.status}: {means.text} ({words(message)})"


def report(data: Mapping[str, Any], *, attempt: str) -> Report:
    """What a transfer's object says of an attempt."""
    evidence, code = chosen(data, _EVIDENCE), text_of(data.get("transfer_code"))
    if data.get("reference") != reference(attempt):
        return Report(outcome=Outcome.UNKNOWN, reason="the answer is about another transfer", evidence=evidence)
    word = text_of(data.get("status")) or "is missing"
    means = STATUSES.get(word, UNLISTED)
    if means.kind is not Kind.PAID:
        return report_of(means, reason=f"status {clean(word)}: {means.text}", provider_ref=code, evidence=evidence)
    delivered = _amount(data)
    if delivered is None or code is None:
        reason = "paid, it says, but not how much or by which code"
        return Report(outcome=Outcome.UNKNOWN, provider_ref=code, reason=reason, evidence=evidence)
    receipt = text_of(inner(data, "session").get("id")) or code
    return Report(outcome=Outcome.PAID, provider_ref=code, receipt=receipt, delivered=delivered, evidence=evidence)


def _amount(data: Mapping[str, Any]) -> Money | None:
    asset = ASSETS.get(text_of(data.get("currency")) or "")
    return None if asset is None else units_of(data.get("amount"), asset)


def event(body: bytes, *, signature: str | None, key: str) -> Mapping[str, Any] | None:
    """The transfer of a verified webhook; None for an event about something else. Raises `ForgedCallback`.

    The signature is the HMAC-SHA512 of the raw body under our secret key, in hexadecimal.
    """
    if signature is None or not same(signature, hmac.new(key.encode(), body, hashlib.sha512).hexdigest()):
        raise ForgedCallback("the webhook isn't signed with our secret key")
    try:
        given = document(body)
    except Unreadable as unreadable:
        raise ForgedCallback(f"the webhook is {unreadable}") from None
    name, data = given.get("event"), inner(given, "data")
    if not isinstance(name, str) or not data:
        raise ForgedCallback("the webhook holds no event")
    if name not in EVENTS:
        return None
    if data.get("status") != EVENTS[name]:
        raise ForgedCallback("the webhook's event and its transfer's status don't agree")
    return data
