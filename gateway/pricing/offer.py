"""What can be sent and what can be received: the operator's terms as values.

Made once at the start, from the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from gateway.money import Asset, Money
from gateway.offramp import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A stablecoin that we take on one chain."""

    chain: str
    """The chain's name in the configuration."""
    chain_id: int
    asset: Asset
    """Code like "USDC@8453"."""
    address: str
    """The contract, EIP-55 checksummed."""
    peg: str
    """The currency it is worth one of."""

    def payment_uri(self, *, to: str, amount: Money) -> str:
        """The transfer as a link that wallets open with everything filled in (EIP-681)."""
        return f"ethereum:{self.address}@{self.chain_id}/transfer?address={to}&uint256={amount.units}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One corridor as we offer it: amounts are in the receive currency."""

    country: str
    currency: Asset
    method: Method
    spread_bps: int
    fee: Money
    least: Money
    most: Money
    """The smallest and largest payout, both allowed: the operator's limits within what some rail can pay."""
    step: Money
    """Payouts are multiples of it (M-Pesa pays whole shillings)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingRules:
    """When rates may be used."""

    max_age: timedelta
    max_spread_bps: int
    min_sources: int
    quote_ttl: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """All of it."""

    tokens: Mapping[tuple[str, str], Token]
    """By (chain name, symbol)."""
    corridors: Mapping[tuple[str, str, Method], Terms]
    """By (country, currency code, method)."""
    rules: PricingRules

    def token_of(self, asset: Asset) -> Token | None:
        """The token that an asset stands for; None if it is no longer offered."""
        return next((token for token in self.tokens.values() if token.asset == asset), None)
