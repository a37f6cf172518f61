"""Solidity sources of ours and, in JSON of their names, what they compile to: `python -m tests.solidity` writes it."""
