"""Paycrest keeps the contract, and its own rules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gateway.contract.ground", "gateway.contract.suite", "adapters.paycrest.contract")

from adapters.paycrest.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestPaycrest(Contract):
    """Everything that an adapter has to keep."""
