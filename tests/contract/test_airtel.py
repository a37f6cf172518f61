"""Airtel Money keeps the contract."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("adapters.airtel.contract")

from adapters.airtel.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestAirtel(Contract):
    """Everything that an adapter has to keep."""
