"""Payouts: attempts, their sending, polling, callbacks, and what the outside sees of them."""
