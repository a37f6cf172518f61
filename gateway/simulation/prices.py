"""What the simulated product offers, and a source of prices in which the coin leaves its par now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from gateway.clock import Clock
from gateway.money import Money
from gateway.pricing.breakers import BreakerRules
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Offer, PricingRules, Terms, Token
from gateway.simulation.chain import CHAIN_ID, TERMS, TOKEN, USDC
from gateway.simulation.market import LANES, QUOTE_TTL, RATE_DEN

SOURCE = "simulated"
PAR, BELOW = Fraction(1), Fraction(9, 10)
_TOKEN = Token(chain=TERMS.name, chain_id=CHAIN_ID, asset=USDC, address=TOKEN, peg="USD")
OFFER = Offer(
    tokens={(TERMS.name, USDC.symbol): _TOKEN},
    corridors={
        (lane.country, lane.asset.code, lane.method): Terms(
            country=lane.country,
            currency=lane.asset,
            method=lane.method,
            spread_bps=100,
            fee=Money(0, lane.asset),
            least=Money(10**lane.asset.decimals, lane.asset),
            most=Money(10_000_000 * 10**lane.asset.decimals, lane.asset),
            step=Money(10**lane.asset.decimals, lane.asset),
        )
        for lane in LANES
    },
    rules=PricingRules(
        max_age=timedelta(hours=1),
        max_spread_bps=200,
        min_sources=1,
        quote_ttl=QUOTE_TTL,
        breakers=BreakerRules(depeg_recovery=timedelta(minutes=5)),
    ),
)


@dataclass
class Prices:
    """The true prices, a `RateSource`."""

    clock: Clock
    """The sources' own."""
    coin: Fraction = PAR
    name: str = SOURCE

    async def fetch(self, now: datetime) -> Sequence[Observation]:  # noqa: ARG002 - it has a clock of its own
        """What they are now."""
        rates = {
            lane.asset.code: Fraction(lane.mid_num * 10**USDC.decimals, RATE_DEN * 10**lane.asset.decimals) for lane in LANES
        }
        told = [("USD", code, price) for code, price in sorted(rates.items())]
        return [
            Observation(source=self.name, base=base, quote=quote, price=price, as_of=self.clock())
            for base, quote, price in (*told, (USDC.symbol, "USD", self.coin))
        ]
