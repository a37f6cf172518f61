"""Paystack keeps the contract."""

from __future__ import annotations

from adapters.paystack.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestPaystack(Contract):
    """Everything that an adapter has to keep."""
