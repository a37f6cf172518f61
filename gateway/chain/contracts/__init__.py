"""Solidity sources of ours and what they compile to: `ForwarderFactory.json`, written by `python -m tests.solidity`."""
