"""Airtel Money keeps the contract."""

from __future__ import annotations

from adapters.airtel.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestAirtel(Contract):
    """Everything that an adapter has to keep."""
