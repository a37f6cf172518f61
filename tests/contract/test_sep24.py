"""SEP-24 keeps the contract, and its own rules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gateway.contract.ground", "gateway.contract.suite", "adapters.sep24.contract")

from adapters.sep24.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestSep24(Contract):
    """Everything that an adapter has to keep."""
