"""Stripe's two ways to pay out, as one entry point: which one an adapter is, its settings say."""

from __future__ import annotations

from adapters.stripe_connect.connect import Connect
from adapters.stripe_connect.outbound import OutboundPayments
from adapters.stripe_connect.settings import StripeSettings
from gateway.offramp import AdapterContext


def StripeConnect(context: AdapterContext) -> Connect | OutboundPayments:  # noqa: N802 - named as other adapters' classes are
    """Make the adapter of `product`. Raises `BadSettings`."""
    settings = StripeSettings.read(context.settings)
    if settings.product == "outbound_payments":
        return OutboundPayments(context, settings)
    return Connect(context, settings)
