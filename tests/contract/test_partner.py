"""A partner keeps the contract."""

from __future__ import annotations

from adapters.partner.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestPartner(Contract):
    """Everything that an adapter has to keep."""
