"""Paystack transfers to banks and wallets in Nigeria, Ghana, Kenya and South Africa."""

from adapters.paystack.adapter import Paystack

__all__ = ["Paystack"]
