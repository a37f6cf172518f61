"""MTN MoMo keeps the contract, and MTN's own rules."""

from __future__ import annotations

from adapters.mtn_momo.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestMtnMomo(Contract):
    """Everything that an adapter has to keep."""
