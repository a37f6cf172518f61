"""pawaPay keeps the contract."""

from __future__ import annotations

from adapters.pawapay.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestPawaPay(Contract):
    """Everything that an adapter has to keep."""
