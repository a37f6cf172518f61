"""A coin's price in local money as a vote on the rate of its peg.

Exchanges and some rails tell what one coin brings in a currency, USDC/KES say. What one dollar costs in KES follows by the
coin's own price in dollars: one USDC costs 128.6 KES and 0.995 USD, so one USD costs 129.2462 KES. Crossed so, a coin that
drifts within its band moves all its local prices and none of the currency's rate.

1. The coin's own price is what its sources agree on (`Market.coin_price`), uncapped. Where no source prices the coin and par
   is assumed, it is par here as well.
2. A coin that is outside its band, that a person has stopped, that hasn't been back at its peg for long enough, or whose own
   price can't be told any more doesn't vote: what its local prices say of the currency can't be told from what they say of
   the coin.
3. All venues of one coin are one voice (`gateway.pricing.consensus`): whoever lies about the coin's own price, or a depeg
   that nobody tells of, moves one voice. And a source that tells the pair itself doesn't vote by a coin as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from gateway.pricing.observations import Observation
from gateway.pricing.sources.cross import crossed, fitted


def to_peg(local: Iterable[Observation], *, peg: str, coin: Fraction) -> list[Observation]:
    """Prices of a coin in a currency as prices of its peg, where one coin costs `coin` of it; absurd ones are left out.

    They are as old as what the venue told: the coin's own price has an age of its own, by which it counts or doesn't.
    """
    prices = ((one, fitted(crossed(coin, one.price))) for one in local)
    return [replace(one, base=peg, price=price, via=one.base) for one, price in prices if price is not None]
