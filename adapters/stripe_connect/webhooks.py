"""Events that Stripe sends to the one address entered there: verified by its own client, then read.

Snapshot events of v1 hold the payout as it was; "payout.paid" is proof. All others are doorbells: a failed payout may have
been paid before, and its money has to be taken back. Thin events of v2 hold ids only, and ours only where a request of ours
caused them: doorbells as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from stripe import SignatureVerificationError, WebhookSignature

from adapters.stripe_connect import codes, wire
from adapters.stripe_connect.currencies import money_at
from adapters.stripe_connect.settings import StripeSettings
from gateway.offramp import Callback, CallbackRequest, ForgedCallback, Outcome, Report
from gateway.railkit.documents import Unreadable, document, inner, text_of
from gateway.railkit.evidence import chosen, clean
from gateway.railkit.meanings import UNLISTED, Kind

LABEL = "webhook"
SIGNATURE = "stripe-signature"
WHERE = (
    "Workbench > Webhooks > Add destination: payout.paid, payout.failed and payout.canceled of connected accounts, or the "
    "events of outbound payments of your account; its signing secret goes into webhook_secrets"
)
OUTBOUND_EVENTS = "v2.money_management.outbound_payment."


class Webhooks:
    """The signing secrets of one account. Its repr shows nothing."""

    labels: Mapping[str, str] = {LABEL: WHERE}

    def __init__(self, settings: StripeSettings) -> None:
        self._secrets = settings.webhook_secrets
        self._tolerance = timedelta(seconds=settings.signature_tolerance_s)

    def attempt_of(self, request: CallbackRequest) -> str | None:
        """Our id in a genuine event; None if it is about nothing that we can name. Raises `ForgedCallback`."""
        return _named(self._event(request))

    def read(self, request: CallbackRequest) -> Callback:
        """A genuine event about the attempt of this request. Raises `ForgedCallback`."""
        event = self._event(request)
        id_ = text_of(event.get("id"))
        if id_ is None or _named(event) != request.attempt_id:
            raise ForgedCallback("the event names another attempt")
        report = _report(event)
        return Callback(event_id=id_, attempt_id=request.attempt_id, report=report, proof=report.outcome is Outcome.PAID)

    def _event(self, request: CallbackRequest) -> dict[str, Any]:
        if request.label != LABEL:
            raise ForgedCallback(f"we gave Stripe no address labelled {clean(request.label)}")
        header = request.headers.get(SIGNATURE)
        if not any(_signed(request.body, header, each.get_secret_value()) for each in self._secrets):
            raise ForgedCallback("the signature isn't Stripe's")
        # By the time of arrival: an event that has waited in our inbox is no older for that.
        if abs(request.received_at - _time_of(header or "")) > self._tolerance:
            raise ForgedCallback("the signature is too old")
        try:
            return document(request.body)
        except Unreadable as error:
            raise ForgedCallback(f"the event is {error}") from None


def _signed(body: bytes, header: str | None, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(body, header, secret))
    except (SignatureVerificationError, ValueError, TypeError):
        # ValueError: a body that isn't UTF-8. TypeError: a signature that isn't ASCII.
        return False


def _time_of(header: str) -> Any:
    """The signed time, which is the first "t" of the header; long ago if it is none."""
    told = next((value for name, _, value in (each.partition("=") for each in header.split(",")) if name == "t"), "")
    at = wire.moment(int(told)) if told.isascii() and told.isdigit() and len(told) <= len("17000000000") else None
    if at is None:
        raise ForgedCallback("the signature has no time")
    return at


def _named(event: Mapping[str, Any]) -> str | None:
    if event.get("object") == "v2.core.event":
        if not str(event.get("type")).startswith(OUTBOUND_EVENTS):
            return None
        return wire.attempt_of_key(text_of(inner(event, "reason", "request").get("idempotency_key")))
    about = inner(event, "data", "object")
    return text_of(inner(about, "metadata").get(wire.ATTEMPT)) if about.get("object") in ("payout", "transfer") else None


def _report(event: Mapping[str, Any]) -> Report:
    """What an event says of the payment: PAID only for a whole payout that went where we sent it."""
    kind, payout = text_of(event.get("type")), inner(event, "data", "object")
    kept = {"event": clean(event.get("id")), "type": clean(kind), **chosen(payout, wire.EVIDENCE)}
    ref, delivered = text_of(payout.get("id")), money_at(payout)
    means = codes.PAYOUTS.get(str(payout.get("status")), UNLISTED)
    is_ours = payout.get("destination") == inner(payout, "metadata").get(wire.PAYEE)
    if kind == "payout.paid" and means.kind is Kind.PAID and is_ours and ref is not None and delivered is not None:
        receipt = text_of(inner(payout, "trace_id").get("value")) or ref
        return Report(outcome=Outcome.PAID, provider_ref=ref, receipt=receipt, delivered=delivered, evidence=kept)
    return Report(outcome=Outcome.UNKNOWN, reason=f"event {clean(kind)}: to be asked about", evidence=kept)
