"""Where rates come from: a port, and one module for each kind of source."""

from __future__ import annotations

from gateway.pricing.sources.http import BODY_MOST
from gateway.pricing.sources.open_exchange_rates import (
    OPEN_EXCHANGE_RATES,
    OpenExchangeRates,
    OpenExchangeRatesSettings,
    read_latest,
)
from gateway.pricing.sources.port import RateSource, SourceFault
from gateway.pricing.sources.rate_file import RateFile, RateFileSettings, read_rate_file

__all__ = [
    "BODY_MOST",
    "OPEN_EXCHANGE_RATES",
    "OpenExchangeRates",
    "OpenExchangeRatesSettings",
    "RateFile",
    "RateFileSettings",
    "RateSource",
    "SourceFault",
    "read_latest",
    "read_rate_file",
]
