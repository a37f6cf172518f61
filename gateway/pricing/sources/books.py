"""What an exchange's order book pays for an amount of our size, walked level by level.

Never the last trade or the best bid alone: what counts is what the whole amount would bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from gateway.money import decimal_of
from gateway.offramp import OfframpError
from gateway.prices import KeepsOrderBook, OrderBook
from gateway.pricing.observations import PRICE_DIGITS, Observation, is_fresh, is_plausible
from gateway.pricing.sources.port import SourceFault


class BookSource:
    """One exchange's book: `BookSource(name="bitso", adapter=adapter, size=Fraction(1000), max_age=...)`.

    `size` in whole coins: about what is sold at once. The observation's base is the coin, its quote the book's currency.
    """

    def __init__(self, *, name: str, adapter: KeepsOrderBook, size: Fraction, max_age: timedelta) -> None:
        """Raises ValueError unless `size` is above zero."""
        if size <= 0:
            raise ValueError("the size to sell must be above zero")
        self._name, self._adapter, self._size, self._max_age = name, adapter, size, max_age

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """What one coin brings if `size` coins are sold now. Raises `SourceFault`."""
        try:
            book = await self._adapter.order_book()
        except OfframpError as error:
            raise SourceFault(self._name, str(error)) from None
        if not is_fresh(book.as_of, max_age=self._max_age, now=now):
            raise SourceFault(
                self._name, f"its order book is of {book.as_of:%Y-%m-%d %H:%M:%S %Z}: too old, or in the future"
            )
        try:
            price = sold_at(book, size=self._size)
        except ValueError as error:
            raise SourceFault(self._name, str(error)) from None
        return [Observation(source=self._name, base=book.base, quote=book.quote, price=price, as_of=book.as_of)]


def sold_at(book: OrderBook, *, size: Fraction) -> Fraction:
    """What one whole coin brings if `size` whole coins are sold into the bids, cut to the digits that a price may have.

    Raises ValueError with a sentence for a book that is empty, out of order, too thin or absurd.
    """
    if not book.bids:
        raise ValueError(f"nobody wants to buy {book.base} for {book.quote}")
    left, brought, last = size, Fraction(0), book.bids[0][0]
    for price, amount in book.bids:
        if price <= 0 or amount <= 0:
            raise ValueError(f"its order book has a bid of {amount} {book.base} at {price} {book.quote}")
        if price > last:
            raise ValueError("its bids are not in order: the best price should come first")
        taken, last = min(left, amount), price
        brought, left = brought + taken * price, left - taken
        if not left:
            break
    if left:
        raise ValueError(f"its order book is too thin: {size - left} {book.base} are wanted, we would sell {size}")
    found = Fraction(decimal_of(brought / size, digits=PRICE_DIGITS))
    if not is_plausible(found):
        raise ValueError(f"its order book gives no plausible price of {book.base} in {book.quote}")
    return found
