"""Flutterwave transfers, version 3, to wallets in eleven countries and banks in Nigeria."""

from adapters.flutterwave.adapter import Flutterwave

__all__ = ["Flutterwave"]
