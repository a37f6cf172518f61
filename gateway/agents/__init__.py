"""The gateway's own network of cash agents: codes, hand-over, agents' float."""
