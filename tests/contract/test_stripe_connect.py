"""Stripe keeps the contract by both of its ways to pay out."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("adapters.stripe_connect.contract")

from adapters.stripe_connect.contract import Contract, OutboundContract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestTransfersAndPayouts(Contract):
    """Everything that an adapter has to keep."""


class TestOutboundPayments(OutboundContract):
    """Everything that an adapter has to keep."""
