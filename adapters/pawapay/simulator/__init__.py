"""A simulator of pawaPay: payouts one by one and in bulk, status, cancelling, balances, signed callbacks, public keys."""

from adapters.pawapay.simulator.server import app

__all__ = ["app"]
