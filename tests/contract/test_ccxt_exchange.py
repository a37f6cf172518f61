"""Exchanges keep the contract, and their own rules."""

from __future__ import annotations

from adapters.ccxt_exchange.contract import CoinsContract, Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestBitso(Contract):
    """Everything that an adapter has to keep."""


class TestCoinsPh(CoinsContract):
    """Everything that an adapter has to keep, and the second exchange."""
