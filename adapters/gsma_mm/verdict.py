"""What an operator's answers mean in our words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapters.gsma_mm import codes, wire
from adapters.gsma_mm.profile import Profile
from gateway.money import Asset
from gateway.offramp import Fault, ForgedCallback, Outcome, Report
from gateway.railkit.documents import Unreadable, document, document_or_empty, money_of, text_of
from gateway.railkit.evidence import chosen, clean, words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import refuse_what_was_not_taken, report_of

KEPT = (
    "transactionReference", "transactionReceipt", "transactionStatus", "amount", "currency", "serverCorrelationId",
    "objectReference", "status", "pendingReason", "expiryTime", "pollLimit", "errorCategory", "errorCode", "errorDateTime",
    "creationDate", "modificationDate",
)  # fmt: skip
"""What of an answer is kept as evidence: no names, no accounts, no free text."""


def of_payment(answer: Answer, *, attempt_id: str, asset: Asset, profile: Profile) -> Report:
    """What the answer to a disbursement says. Raises `NotSent` if it proves that nothing was taken."""
    values = document_or_empty(answer.body)
    if answer.status == wire.CREATED:
        return of_transaction(values, attempt_id=attempt_id, asset=asset, profile=profile)
    if answer.status == wire.ACCEPTED:
        return of_request_state(values, now=None)
    return of_refusal(answer, profile=profile)


def of_refusal(answer: Answer, *, profile: Profile) -> Report:
    """What an error in answer to a POST says. Raises `NotSent` if it proves that nothing was taken."""
    values = document_or_empty(answer.body)
    code, category, text = wire.error_of(values)
    means, named = codes.refusal(
        answer.status,
        code=code,
        category=category,
        unavailable_means_not_processed=profile.unavailable_means_not_processed,
    )
    reason = f"{clean(named)}: {means.text}{_added(text)}"
    refuse_what_was_not_taken(means, reason=reason)
    return report_of(means, reason=reason, evidence={"http_status": str(answer.status), **chosen(values, KEPT)})


def of_request_state(values: Mapping[str, Any], *, now: datetime | None) -> Report:
    """What the state of a request says; `now` is None for one that has just been made.

    One that is completed has made a transaction, which alone says what was paid: PENDING, with the transaction's reference.
    """
    evidence, ref = chosen(values, KEPT), text_of(values.get("serverCorrelationId"))
    made, status = text_of(values.get("objectReference")), text_of(values.get("status"))
    if status == "failed":
        return _failed_request(wire.error_in(values), evidence=evidence)
    if status == "completed" and made is not None:
        return Report(outcome=Outcome.PENDING, provider_ref=made, reason="the request is completed", evidence=evidence)
    if status == "pending" and ref is not None:
        late = _is_over(values, now=now)
        return Report(
            outcome=Outcome.UNKNOWN if late else Outcome.PENDING,
            provider_ref=f"requeststates/{ref}",
            reason=late,
            evidence=evidence,
        )
    return Report(outcome=Outcome.UNKNOWN, reason=f"request {clean(status or 'without a status')}", evidence=evidence)


def of_transaction(values: Mapping[str, Any], *, attempt_id: str, asset: Asset | None, profile: Profile) -> Report:
    """What a transaction says. `asset` None: of a callback, which needn't be of the ordered currency."""
    evidence = chosen(values, KEPT)
    ref, word = text_of(values.get("transactionReference")), text_of(values.get("transactionStatus"))
    ours = text_of(values.get("requestingOrganisationTransactionReference"))
    if ours is not None and ours != attempt_id:
        return Report(outcome=Outcome.UNKNOWN, reason="the transaction names another payment", evidence=evidence)
    statuses = {name.casefold(): meaning for name, meaning in profile.statuses.items()}
    meaning = statuses.get((word or "").casefold(), "unknown")
    if meaning == "paid":
        return _paid(values, ref=ref, asset=asset, evidence=evidence)
    outcome = Outcome(meaning)
    return Report(
        outcome=outcome,
        provider_ref=ref,
        # The word alone doesn't say why: to ask the recipient neither stops the rail nor repeats blindly.
        fault=Fault.RECIPIENT if outcome in (Outcome.FAILED, Outcome.RETURNED) else None,
        reason=f"transactionStatus {clean(word or 'is missing')}",
        evidence=evidence,
    )


def of_callback(body: bytes, *, attempt_id: str, asset: Asset | None, profile: Profile) -> Report:
    """What a callback says: a transaction, a request's state, or an error. Raises `ForgedCallback`."""
    try:
        values = document(body)
    except Unreadable as error:
        raise ForgedCallback(f"the callback is {error}") from None
    ours = text_of(values.get("requestingOrganisationTransactionReference"))
    if ours is not None and ours != attempt_id:
        raise ForgedCallback("the callback names another attempt")
    if "transactionStatus" in values:
        return of_transaction(values, attempt_id=attempt_id, asset=asset, profile=profile)
    if "serverCorrelationId" in values:
        return of_request_state(values, now=None)
    if "errorCode" in values:
        return _failed_request(values, evidence=chosen(values, KEPT))
    raise ForgedCallback("the callback is nothing that the API documents")


def _failed_request(error: Mapping[str, Any], *, evidence: Mapping[str, str]) -> Report:
    code, _, text = wire.error_of(error)
    means = codes.outcome(code)
    return report_of(
        means,
        reason=f"{clean(code or 'failed without a code')}: {means.text}{_added(text)}",
        evidence={**evidence, **chosen(error, KEPT)},
    )


def _paid(values: Mapping[str, Any], *, ref: str | None, asset: Asset | None, evidence: Mapping[str, str]) -> Report:
    right = asset is not None and text_of(values.get("currency")) == asset.code
    delivered = money_of(values.get("amount"), asset) if asset is not None and right else None
    if delivered is None or ref is None:
        reason = "paid, it says, but not how much of the ordered currency or by which reference"
        return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=dict(evidence))
    receipt = text_of(values.get("transactionReceipt")) or ref
    return Report(outcome=Outcome.PAID, provider_ref=ref, receipt=receipt, delivered=delivered, evidence=dict(evidence))


def _is_over(values: Mapping[str, Any], *, now: datetime | None) -> str | None:
    """Why a pending request says nothing any more, if so."""
    if text_of(values.get("pollLimit")) == "0":
        return "still pending, and no more questions are allowed"
    expiry = text_of(values.get("expiryTime"))
    try:
        ends = None if expiry is None else datetime.fromisoformat(expiry)
    except ValueError:
        return None
    over = now is not None and ends is not None and ends.tzinfo is not None and ends < now
    return "still pending after its expiryTime" if over else None


def _added(text: str | None) -> str:
    return "" if text is None else f" ({words(text)})"
