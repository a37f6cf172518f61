"""Yellow Card keeps the contract, and its own rules."""

from __future__ import annotations

from adapters.yellowcard.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestYellowCard(Contract):
    """Everything that an adapter has to keep."""
