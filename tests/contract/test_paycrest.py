"""Paycrest keeps the contract, and its own rules."""

from __future__ import annotations

from adapters.paycrest.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestPaycrest(Contract):
    """Everything that an adapter has to keep."""
