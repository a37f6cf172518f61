"""Which exchange it is, the settings say."""

from __future__ import annotations

from adapters.ccxt_exchange.bitso import Bitso
from adapters.ccxt_exchange.coinsph import CoinsPh
from adapters.ccxt_exchange.settings import ExchangeSettings
from gateway.offramp import AdapterContext


def CcxtExchange(context: AdapterContext) -> Bitso | CoinsPh:  # noqa: N802 - stands where other adapters have their class
    """Make the adapter of the exchange that the settings name. Raises `BadSettings`."""
    settings = ExchangeSettings.read(context.settings)
    return Bitso(context, settings) if settings.exchange == "bitso" else CoinsPh(context, settings)
