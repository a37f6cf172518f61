"""Exchanges: coins are sold and local money is paid out from there. Bitso (Mexico, SPEI) and Coins.ph (Philippines)."""

from adapters.ccxt_exchange.adapter import CcxtExchange

__all__ = ["CcxtExchange"]
