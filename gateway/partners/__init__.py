"""Partners: clients and their tokens."""
