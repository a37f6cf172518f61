"""Stripe keeps the contract by both of its ways to pay out."""

from __future__ import annotations

from adapters.stripe_connect.contract import Contract, OutboundContract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestTransfersAndPayouts(Contract):
    """Everything that an adapter has to keep."""


class TestOutboundPayments(OutboundContract):
    """Everything that an adapter has to keep."""
