"""Flutterwave keeps the contract."""

from __future__ import annotations

from adapters.flutterwave.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestFlutterwave(Contract):
    """Everything that an adapter has to keep."""
