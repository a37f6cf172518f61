"""The GSMA adapter keeps the contract."""

from __future__ import annotations

from adapters.gsma_mm.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestGsmaMm(Contract):
    """Everything that an adapter has to keep."""
