"""Simulators of exchanges: `app` is Bitso's, `coins_app` that of Coins.ph."""

from adapters.ccxt_exchange.simulator.bitso import app
from adapters.ccxt_exchange.simulator.coins import app as coins_app

__all__ = ["app", "coins_app"]
