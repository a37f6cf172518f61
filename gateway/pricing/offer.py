"""What can be sent and what can be received: the operator's terms as values.

Made once at the start, from the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum, auto

from gateway.money import Asset, Money
from gateway.offramp import Institution, Method


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


class Speed(StrEnum):
    """How soon a payout is made."""

    STANDARD = auto()
    """At once."""
    ECONOMY = auto()
    """At the next drop, together with others, for another fee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Economy:
    """A corridor's terms for payouts that wait for the next drop (gateway.pricing.drops)."""

    every: timedelta
    """Between two drops."""
    fee: Money


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
    economy: Economy | None = None
    """None: everything is paid at once."""
    institutions: tuple[Institution, ...] = ()
    """The banks or wallets that some rail reaches; none: the account says it all by itself."""

    @property
    def at_drops(self) -> Terms | None:
        """The same with economy's fee; None: not offered."""
        return None if self.economy is None else replace(self, fee=self.economy.fee)

    def lane(self, speed: Speed) -> str:
        """Where orders of this corridor wait for dispatch, as the database writes it: "KE/KES/mobile_money/economy"."""
        return f"{self.country}/{self.currency.code}/{self.method}/{speed}"

    def takes(self, receive: Money) -> bool:
        """Whether `receive` can be paid out exactly."""
        return self.least <= receive <= self.most and not receive.units % self.step.units


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

    def drops(self) -> dict[str, timedelta]:
        """How often payouts of each lane are made that wait for a drop."""
        return {
            terms.lane(Speed.ECONOMY): terms.economy.every for terms in self.corridors.values() if terms.economy is not None
        }
