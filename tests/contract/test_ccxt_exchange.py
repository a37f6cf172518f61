"""Exchanges keep the contract, and their own rules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("adapters.ccxt_exchange.contract")

from adapters.ccxt_exchange.contract import CoinsContract, Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestBitso(Contract):
    """Everything that an adapter has to keep."""


class TestCoinsPh(CoinsContract):
    """Everything that an adapter has to keep, and the second exchange."""
