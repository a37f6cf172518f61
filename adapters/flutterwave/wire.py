"""Flutterwave's JSON, version 3: what we send and what we read. Statuses and errors are in `codes`.

Source: github Flutterwave/Node-v3, documentation/transfers.md, and developer.flutterwave.com (transfers, webhooks, error
timeouts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.flutterwave import codes
from adapters.flutterwave.routes import ASSETS, Route
from adapters.flutterwave.settings import FlutterwaveSettings
from gateway.money import Money
from gateway.offramp import ForgedCallback, Instruction, Method, Outcome, Report
from gateway.railkit.documents import Unreadable, document, document_or_empty, inner, money_of, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Kind, Meaning, report_of

TRANSFERS_PATH, FEE_PATH, RESOLVE_PATH = "/transfers", "/transfers/fee", "/accounts/resolve"
HTTP_OK = 200
HASH_HEADER = "verif-hash"
EVENT = "transfer.completed"

_ATTEMPT = re.compile(r"att_[0-9A-Z]{26}")
_EVIDENCE = frozenset({"id", "status", "reference", "amount", "fee", "currency", "debit_currency", "created_at"})


def number_of(money: Money) -> int | Decimal:
    """An amount as a JSON number: a whole one without a point."""
    whole, rest = divmod(money.units, 10**money.asset.decimals)
    return Decimal(money.decimal()) if rest else whole


def transfer_body(*, settings: FlutterwaveSettings, instruction: Instruction, route: Route) -> dict[str, object]:
    """The body of POST /transfers. Wallets want to know the sender."""
    to, currency = instruction.to, instruction.deliver.asset.code
    sender = {
        "sender": settings.sender_name,
        "sender_country": settings.sender_country,
        "mobile_number": settings.sender_phone.removeprefix("+"),
    }
    return {
        "account_bank": route.codes[to.institution or ""].code,
        "account_number": route.number(to.account),
        "amount": number_of(instruction.deliver),
        "narration": settings.narration,
        "currency": currency,
        "reference": instruction.attempt_id,
        "debit_currency": settings.debit_currency or currency,
        "beneficiary_name": to.holder,
        **({"meta": [sender]} if route.method is Method.MOBILE_MONEY else {}),
    }


def is_good(answer: Answer) -> bool:
    """Whether the request was taken: {"status": "success", ...}."""
    return answer.status == HTTP_OK and document_or_empty(answer.body).get("status") == "success"


def data_of(answer: Answer) -> dict[str, Any]:
    """The object under "data"."""
    return inner(document_or_empty(answer.body), "data")


def transfers_in(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """The transfers under "data": one, or a list."""
    data = document_or_empty(answer.body).get("data")
    return [each for each in (data if isinstance(data, list) else [data]) if isinstance(each, dict)]


def refusal(answer: Answer, *, settings: FlutterwaveSettings) -> tuple[Meaning, str]:
    """What an answer that isn't good means, and a sentence for people."""
    message = text_of(document_or_empty(answer.body).get("message")) or "no message"
    means = codes.error(answer.status, message, refusals=settings.refusals)
    return means, f"HTTP {answer.status}: {means.text} ({words(message)})"


def report(data: Mapping[str, Any], *, attempt: str) -> Report:
    """What a transfer's object says of an attempt: its status, never the name of an event around it."""
    evidence, id_ = chosen(data, _EVIDENCE), text_of(data.get("id"))
    if data.get("reference") != attempt:
        return Report(outcome=Outcome.UNKNOWN, reason="the answer is about another transfer", evidence=evidence)
    word = text_of(data.get("status")) or "is missing"
    means = codes.transfer(word, text_of(data.get("complete_message")) or "")
    if means.kind is not Kind.PAID:
        return report_of(means, reason=f"status {clean(word)}: {means.text}", provider_ref=id_, evidence=evidence)
    asset = ASSETS.get(text_of(data.get("currency")) or "")
    delivered = None if asset is None else money_of(data.get("amount"), asset)
    if delivered is None or id_ is None:
        reason = "paid, it says, but not how much or by which id"
        return Report(outcome=Outcome.UNKNOWN, provider_ref=id_, reason=reason, evidence=evidence)
    return Report(outcome=Outcome.PAID, provider_ref=id_, receipt=id_, delivered=delivered, evidence=evidence)


def event(body: bytes) -> Mapping[str, Any] | None:
    """The transfer in a webhook; None for an event about something else. Raises `ForgedCallback`."""
    try:
        given = document(body)
    except Unreadable as error:
        raise ForgedCallback(f"the webhook is {error}") from None
    name, data = given.get("event"), inner(given, "data")
    if not isinstance(name, str) or not data:
        raise ForgedCallback("the webhook holds no event")
    return data if name == EVENT else None


def attempt_id(reference: object) -> str | None:
    """The attempt whose reference this is; None if it is none of ours."""
    return reference if isinstance(reference, str) and _ATTEMPT.fullmatch(reference) else None
