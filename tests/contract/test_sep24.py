"""SEP-24 keeps the contract, and its own rules."""

from __future__ import annotations

from adapters.sep24.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestSep24(Contract):
    """Everything that an adapter has to keep."""
