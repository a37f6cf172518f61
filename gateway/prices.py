"""What an adapter may tell of prices, beside paying: its rail's own rates, or an exchange's order book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class RailRate:
    """What a rail pays for what it is paid in: at `as_of`, one whole `base` brought `price` whole `quote`."""

    base: str
    """A currency, or a coin's symbol."""
    quote: str
    price: Fraction
    as_of: datetime


@runtime_checkable
class TellsRates(Protocol):
    """An adapter whose rail tells at which rates it pays out."""

    async def rates(self, currencies: Sequence[str], *, size: Fraction) -> Sequence[RailRate]:
        """Its rates for some of `currencies`, for payouts of about `size` whole bases. Raises `OfframpError`.

        A currency that it doesn't serve, or of which it says nothing that can be read, is left out.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """Who wants to buy `base` for `quote` on an exchange."""

    base: str
    """A coin's symbol."""
    quote: str
    bids: tuple[tuple[Fraction, Fraction], ...]
    """(price of one whole base, how many whole bases are wanted at it), the best price first."""
    as_of: datetime


@runtime_checkable
class KeepsOrderBook(Protocol):
    """An adapter whose rail is an exchange, where coins are sold into a public order book."""

    async def order_book(self) -> OrderBook:
        """The book in which our coins are sold. Raises `OfframpError` if it can't be had or read."""
