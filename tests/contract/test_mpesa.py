"""M-Pesa keeps the contract, and Daraja's own rules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gateway.contract.ground", "gateway.contract.suite", "adapters.mpesa.contract")

from adapters.mpesa.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestMpesa(Contract):
    """Everything that an adapter has to keep."""
