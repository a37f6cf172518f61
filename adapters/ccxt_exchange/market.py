"""How much to sell: enough for the payment at the prices of now, and not at any price."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from adapters.ccxt_exchange.settings import BPS, ExchangeSettings
from gateway.money import Money
from gateway.offramp import NotSent

Bid = tuple[Fraction, Fraction]
"""A price per whole coin, and how many whole coins are wanted at it."""


def needed(deliver: Money, settings: ExchangeSettings) -> Money:
    """What a sale has to bring for a payment, after its own fee."""
    return deliver + Money.parse(settings.withdraw_fee, deliver.asset)


def to_sell(bids: Iterable[Bid], *, deliver: Money, settings: ExchangeSettings) -> Money:
    """The coins whose sale into `bids` (best first) pays for `deliver`, rounded up.

    Raises `NotSent` if nobody wants so many, or only too far below the best price.
    """
    after_fees = max(needed(deliver, settings), Money.parse(settings.least_sale, deliver.asset))
    least = Fraction(after_fees.units * BPS, (BPS - settings.sell_fee_bps) * 10**deliver.asset.decimals)
    wanted = least * (BPS + settings.cushion_bps) / BPS
    best, left, coins = Fraction(0), wanted, Fraction(0)
    for price, amount in bids:
        best = best or price
        taken = min(left / price, amount)
        coins, left = coins + taken, left - taken * price
        if left <= 0:
            break
    if left > 0:
        raise NotSent("the order book is too thin for this payment")
    if wanted / coins < best * (BPS - settings.slippage_most_bps) / BPS:
        raise NotSent("the sale would go too far below the best price")
    asset = settings.asset
    return Money(-(-coins.numerator * 10**asset.decimals // coins.denominator), asset)
