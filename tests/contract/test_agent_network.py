"""The agent network keeps the contract."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("adapters.agent_network.contract")

from adapters.agent_network.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestAgentNetwork(Contract):
    """Everything that an adapter has to keep."""
