"""Simulators of exchanges: `app` is Bitso's, `coins_app` that of Coins.ph."""

from adapters.ccxt_exchange.simulator.bitso import app

__all__ = ["app"]
