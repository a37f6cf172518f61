"""Cash at a counter, by the GSMA authorisation-code contract: our own network of agents, or another operator's."""

from adapters.agent_network.adapter import AgentNetwork

__all__ = ["AgentNetwork"]
