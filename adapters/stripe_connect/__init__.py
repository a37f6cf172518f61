"""Stripe: bank accounts and debit cards, by transfers and payouts (Connect) or by outbound payments (v2)."""

from adapters.stripe_connect.adapter import StripeConnect

__all__ = ["StripeConnect"]
