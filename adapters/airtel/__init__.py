"""Airtel Money in Africa, by Airtel's open API for disbursements."""

from adapters.airtel.adapter import Airtel

__all__ = ["Airtel"]
