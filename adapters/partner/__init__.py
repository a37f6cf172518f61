"""Payouts that a partner exchange fills, by the fill contract of this product's own API."""

from adapters.partner.adapter import Partner

__all__ = ["Partner"]
