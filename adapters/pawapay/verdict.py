"""What pawaPay's answers mean in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.pawapay import wire
from adapters.pawapay.codes import Place, meaning
from gateway.money import Asset
from gateway.offramp import Outcome, Report
from gateway.railkit.documents import document_or_empty, money_of, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.keys import uuid4_of
from gateway.railkit.meanings import UNLISTED, Kind, Meaning, refuse_what_was_not_taken, report_of

KEPT = ("payoutId", "status", "amount", "currency", "country", "created", "providerTransactionId")
"""What of an answer is kept as evidence: no number, no name, no free text."""

SERVER_ERROR = 500


def of_payment(answer: Answer) -> Report:
    """What the answer to a payout says. Raises `NotSent` if it proves that nothing was taken."""
    values = document_or_empty(answer.body)
    means, reason = _request(answer.status, values)
    refuse_what_was_not_taken(means, reason=reason)
    return _of(means, reason, values, status=answer.status)


def of_bulk_item(values: Mapping[str, Any]) -> Report:
    """What the answer to several payouts says of one: REJECTED is FAILED, for nothing of it was taken."""
    means, reason = _request(wire.OK, values)
    if means.kind is Kind.NOT_PROCESSED:
        means = means._replace(kind=Kind.FAILED)
    return _of(means, reason, values, status=wire.OK)


def of_status(values: Mapping[str, Any], *, attempt_id: str, asset: Asset) -> Report:
    """What GET /v2/payouts/{payoutId} says. NOT_FOUND is UNKNOWN: no page says from when on it is final."""
    found = values.get("data")
    if values.get("status") != "FOUND" or not isinstance(found, dict):
        reason = "pawaPay doesn't find it" if values.get("status") == "NOT_FOUND" else "an answer that isn't documented"
        return Report(outcome=Outcome.UNKNOWN, reason=reason)
    return of_payout(found, attempt_id=attempt_id, asset=asset)


def of_payout(values: Mapping[str, Any], *, attempt_id: str, asset: Asset | None) -> Report:
    """What a payout says, in an answer or in a callback; `asset` None: of a currency that this adapter doesn't pay."""
    evidence, id_ = chosen(values, KEPT), text_of(values.get("payoutId"))
    if id_ is None or id_.lower() != uuid4_of(attempt_id):
        return Report(outcome=Outcome.UNKNOWN, reason="the payout is another one", evidence=evidence)
    status = text_of(values.get("status"))
    if status == "FAILED":
        code = wire.failure_code(values)
        means = meaning(Place.FAILURE, code)
        reason = f"{clean(code or 'FAILED')}: {means.text}"
        return report_of(means, reason=reason, provider_ref=id_, evidence={**evidence, "failureCode": clean(code or "")})
    means = meaning(Place.STATUS, status)
    if means.kind is Kind.PAID:
        return _paid(values, id_=id_, asset=asset, evidence=evidence)
    return report_of(means, reason=f"{clean(status or 'no status')}: {means.text}", provider_ref=id_, evidence=evidence)


def _request(http_status: int, values: Mapping[str, Any]) -> tuple[Meaning, str]:
    """What the answer to a request for payment means, and why."""
    status, code = text_of(values.get("status")), wire.failure_code(values)
    if http_status >= SERVER_ERROR:
        means, named = UNLISTED._replace(text="a failure at pawaPay"), code or f"HTTP {http_status}"
    elif status == "REJECTED" or (http_status != wire.OK and code is not None):
        means, named = meaning(Place.REJECTION, code), code or "REJECTED"
    elif http_status == wire.OK:
        means, named = meaning(Place.REQUEST, status), status or "no status"
    else:
        means, named = UNLISTED, f"HTTP {http_status}"
    text = wire.failure_text(values)
    return means, f"{clean(named)}: {means.text}" + ("" if text is None else f" ({words(text)})")


def _of(means: Meaning, reason: str, values: Mapping[str, Any], *, status: int) -> Report:
    ref = text_of(values.get("payoutId")) if means.kind is Kind.ACCEPTED else None
    evidence = {"http_status": str(status), **chosen(values, KEPT)}
    return report_of(means, reason=reason, provider_ref=ref, evidence=evidence)


def _paid(values: Mapping[str, Any], *, id_: str, asset: Asset | None, evidence: Mapping[str, str]) -> Report:
    right = asset is not None and text_of(values.get("currency")) == asset.code
    delivered = money_of(values.get("amount"), asset) if asset is not None and right else None
    if delivered is None:
        reason = "paid, it says, but not how much of the ordered currency"
        return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=dict(evidence))
    receipt = text_of(values.get("providerTransactionId"))
    return Report(outcome=Outcome.PAID, provider_ref=id_, receipt=receipt, delivered=delivered, evidence=dict(evidence))
