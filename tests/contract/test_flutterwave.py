"""Flutterwave keeps the contract."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("adapters.flutterwave.contract")

from adapters.flutterwave.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestFlutterwave(Contract):
    """Everything that an adapter has to keep."""
