"""Yellow Card keeps the contract, and its own rules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gateway.contract.ground", "gateway.contract.suite", "adapters.yellowcard.contract")

from adapters.yellowcard.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestYellowCard(Contract):
    """Everything that an adapter has to keep."""
