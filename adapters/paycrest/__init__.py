"""Paycrest: a network of liquidity providers that deliver local money for coins sent on chain."""

from adapters.paycrest.adapter import Paycrest

__all__ = ["Paycrest"]
