"""What Yellow Card's answers mean for a payment of ours."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.yellowcard import wire
from adapters.yellowcard.codes import error_meaning, status_meaning
from gateway.money import Asset
from gateway.offramp import Fault, Outcome, Report
from gateway.railkit.documents import document_or_empty, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import UNLISTED, Kind, Meaning, report_of

KEPT = ("id", "sequenceId", "status", "currency", "amount", "convertedAmount", "rate", "expiresAt", "errorCode", "channelId")
"""What is kept of a payment as evidence."""


def unknown(reason: str) -> Report:
    """Nobody knows: ask."""
    return Report(outcome=Outcome.UNKNOWN, reason=reason)


def of_payment(payment: wire.Payment, *, attempt_id: str, asset: Asset, failures: Mapping[str, Fault]) -> Report:
    """What a payment as shown means. UNKNOWN if it is another one, has an unlisted status, or is paid without an amount."""
    means = status_meaning(payment.status)
    evidence = chosen(payment.fields, KEPT)
    if payment.sequence_id != attempt_id:
        return Report(outcome=Outcome.UNKNOWN, reason="the answer names another payment", evidence=evidence)
    code = text_of(payment.fields.get("errorCode"))
    reason = clean(f"{payment.status}{f' ({words(code)})' if code else ''}: {means.text}")
    if means.kind is Kind.PAID:
        delivered = payment.pays(asset)
        if delivered is None:
            return Report(outcome=Outcome.UNKNOWN, reason="paid, it says, but not how much", evidence=evidence)
        receipt = text_of(payment.fields.get("sessionId"))
        return Report(
            outcome=Outcome.PAID,
            provider_ref=payment.id,
            receipt=receipt,
            delivered=delivered,
            reason=reason,
            evidence=evidence,
        )
    if means.kind is Kind.FAILED and code is not None:
        means = means._replace(fault=failures.get(code, means.fault))
    return report_of(means, reason=reason, provider_ref=payment.id, evidence=evidence)


def of_error(answer: Answer) -> tuple[Meaning, str]:
    """What an error means, and the sentence to tell it by. An answer that succeeded and shows no payment is AMBIGUOUS."""
    fields = document_or_empty(answer.body)
    code = text_of(fields.get("code"))
    means = UNLISTED if answer.status < 400 else error_meaning(answer.status, code)  # noqa: PLR2004 - errors begin there
    return means, clean(f"HTTP {answer.status} {words(code or '')}: {words(fields.get('message') or means.text)}")
