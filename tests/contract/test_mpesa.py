"""M-Pesa keeps the contract, and Daraja's own rules."""

from __future__ import annotations

from adapters.mpesa.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestMpesa(Contract):
    """Everything that an adapter has to keep."""
