"""The agent network keeps the contract."""

from __future__ import annotations

from adapters.agent_network.contract import Contract
from gateway.contract.ground import rail

__all__ = ["rail"]


class TestAgentNetwork(Contract):
    """Everything that an adapter has to keep."""
