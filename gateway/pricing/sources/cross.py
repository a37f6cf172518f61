"""Prices made of prices: inverted and crossed exactly, and cut once, at the end, to what is stored."""

from __future__ import annotations

from fractions import Fraction

from gateway.pricing.observations import PRICE_DIGITS, PRICE_PARTS, is_plausible
from gateway.pricing.sources.port import SourceFault


def inverse(price: Fraction) -> Fraction:
    """What one quote costs in the base. Exact. `price` is above 0."""
    return 1 / price


def crossed(base: Fraction, quote: Fraction) -> Fraction:
    """One base in the quote, where one of a third currency costs `base` of the base and `quote` of the quote. Exact."""
    return quote / base


def fitted(price: Fraction) -> Fraction | None:
    """The price with 24 digits after the point, the rest cut off, so that rates made of it fit NUMERIC(78,0).

    What is lost is below a thousandth of a basis point of the least plausible price. None: it isn't plausible.
    """
    fitting = Fraction(price.numerator * PRICE_PARTS // price.denominator, PRICE_PARTS)
    return fitting if is_plausible(fitting) else None


def cut(source: str, pair: str, price: Fraction) -> Fraction:
    """The same of a source's price of `pair`. Raises `SourceFault` if it isn't plausible."""
    fitting = fitted(price)
    if fitting is None:
        raise SourceFault(source, f"its price of {pair} is not plausible, with {PRICE_DIGITS} digits after the point")
    return fitting
