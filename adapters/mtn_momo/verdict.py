"""What MTN's answers mean in our words. Where they don't say for certain, UNKNOWN."""

from __future__ import annotations

from adapters.mtn_momo import wire
from adapters.mtn_momo.codes import HELD, Place, meaning, refusal
from adapters.mtn_momo.wire import Transfer
from gateway.money import Asset
from gateway.offramp import Fault, Outcome, Report
from gateway.railkit.evidence import words
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Kind, refuse_what_was_not_taken, report_of


def of_payment(answer: Answer, *, reference: str) -> Report:
    """What MTN said to a request for payment. Raises `NotSent` only for what is documented as not taken."""
    if answer.status == wire.ACCEPTED:
        return Report(outcome=Outcome.PENDING, provider_ref=reference, evidence=wire.seen_in(answer))
    means = refusal(wire.code_of(answer), answer.status)
    reason = f"{wire.code_of(answer) or f'HTTP {answer.status}'}: {means.text}"
    refuse_what_was_not_taken(means, reason=reason)
    return report_of(means, reason=reason, evidence=wire.seen_in(answer))


def of_transfer(transfer: Transfer, *, reference: str, attempt_id: str, asset: Asset) -> Report:
    """What MTN says of a transfer. A failure whose reason is in `HELD` is reported as FAILED; the caller holds it."""
    means = meaning(Place.STATUS, transfer.status)
    word = transfer.status
    if transfer.external_id not in (None, attempt_id):
        return _unknown(transfer, "the answer is about another payment")
    if means.kind is Kind.PAID:
        return _paid(transfer, asset=asset)
    if transfer.status == "FAILED":
        means, word = meaning(Place.REASON, transfer.reason), f"FAILED {transfer.reason}".rstrip()
    return report_of(means, reason=f"{words(word)}: {means.text}", provider_ref=reference, evidence=transfer.seen)


def must_be_held(transfer: Transfer) -> bool:
    """Whether this failure may only mean that MTN itself doesn't know."""
    return transfer.status == "FAILED" and transfer.reason in HELD


def held(report: Report) -> Report:
    """A failure that isn't believed yet."""
    reason = f"{report.reason}; not believed before a second question"
    return Report(outcome=Outcome.UNKNOWN, provider_ref=report.provider_ref, reason=reason, evidence=report.evidence)


def not_found(answer: Answer, *, failed: bool) -> Report:
    """MTN knows no such reference id. Only after the operator's own delay does that mean that nothing was taken."""
    if failed:
        reason, fault = "MTN does not know this transfer, long after it was sent", Fault.TRANSIENT
        return Report(outcome=Outcome.FAILED, fault=fault, reason=reason, evidence=wire.seen_in(answer))
    return Report(outcome=Outcome.UNKNOWN, reason="MTN does not know this transfer yet", evidence=wire.seen_in(answer))


def _paid(transfer: Transfer, *, asset: Asset) -> Report:
    delivered = transfer.money(asset)
    if delivered is None or transfer.receipt is None:
        return _unknown(transfer, "paid, it says, but not how much or by which transaction")
    return Report(
        outcome=Outcome.PAID,
        provider_ref=transfer.receipt,
        receipt=transfer.receipt,
        delivered=delivered,
        evidence=transfer.seen,
    )


def _unknown(transfer: Transfer, reason: str) -> Report:
    return Report(outcome=Outcome.UNKNOWN, reason=reason, evidence=transfer.seen)
