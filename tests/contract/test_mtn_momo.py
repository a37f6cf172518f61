"""MTN MoMo keeps the contract, and MTN's own rules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gateway.contract.ground", "gateway.contract.suite", "adapters.mtn_momo.contract")

from adapters.mtn_momo.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestMtnMomo(Contract):
    """Everything that an adapter has to keep."""
