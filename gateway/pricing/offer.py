"""What can be sent and what can be received: the operator's terms as values.

Made once at the start, from the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import NamedTuple, Protocol

from gateway.money import Asset, Money
from gateway.offramp import Institution, Method
from gateway.pricing import breakers, volatility
from gateway.pricing.breakers import BreakerRules
from gateway.pricing.tariffs import FREE, Schedule
from gateway.pricing.volatility import TtlRules


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
    network_fee: Money | None = None
    """What we charge per payment for the chain's fees, in this coin; None: nothing."""

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
    rail_charge: Schedule = FREE
    """What a rail charges us for a payout: the first one that pays there, in the operator's order."""
    pass_on_rail_fee: bool = False
    """Whether that is charged on top; else it is in our margin and fee."""
    cash_out: Schedule = FREE
    """What the recipient pays to whoever hands out the cash, as far as the operator's tariffs tell."""

    @property
    def rail_fee(self) -> Schedule:
        """What the customer is charged for the rail."""
        return self.rail_charge if self.pass_on_rail_fee else FREE

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
    exposure_cap: Money | None = None
    """How many US dollars may be promised in open quotes and unpaid orders, per partner (the form is one) and corridor.

    None: any number.
    """
    breakers: BreakerRules = breakers.USUAL
    ttl: TtlRules = volatility.USUAL
    """How volatility shortens `quote_ttl`."""
    takes_depegged: bool = False
    """Whether a coin outside its band is priced, at what it is worth: only money that lies here already, with consent."""
    listed: frozenset[str] | None = None
    """The configured sources: what others told before they were taken out of the configuration doesn't count. None: all."""
    bounds: Mapping[str, int] = field(default_factory=dict)
    """Sources that don't vote but bound what the others agree on, and by how many basis points it may be off theirs."""

    def votes(self, source: str) -> bool:
        """Whether a source's prices make the rate."""
        return source not in self.bounds and (self.listed is None or source in self.listed)


class Delivery(NamedTuple):
    """When a payout is there, in whole seconds after it can be sent: its coins are final, and its drop has come."""

    p50_s: int
    """As one in two is."""
    p95_s: int
    """As nineteen of twenty are."""


class Deliveries(Protocol):
    """What knows when payouts are there."""

    def expect(
        self, terms: Terms, receive: Money, *, partner: str | None = None, drop_every_s: int | None = None, now: datetime
    ) -> Delivery | None:
        """When this one would be, sent now or at its next drop; None: no rail pays it. Asked once per quote.

        `partner`: whose order it is.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """All of it."""

    tokens: Mapping[tuple[str, str], Token]
    """By (chain name, symbol)."""
    corridors: Mapping[tuple[str, str, Method], Terms]
    """By (country, currency code, method)."""
    rules: PricingRules
    deliveries: Deliveries | None = field(default=None, repr=False, compare=False)
    """None: quotes don't say when the money is there."""

    def token_of(self, asset: Asset) -> Token | None:
        """The token that an asset stands for; None if it is no longer offered."""
        return next((token for token in self.tokens.values() if token.asset == asset), None)

    def drops(self) -> dict[str, timedelta]:
        """How often payouts of each lane are made that wait for a drop."""
        return {
            terms.lane(Speed.ECONOMY): terms.economy.every for terms in self.corridors.values() if terms.economy is not None
        }
