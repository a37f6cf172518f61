from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from adapters.ccxt_exchange import spei
from gateway.offramp import OfframpError
from gateway.prices import OrderBook
from gateway.pricing.sources.books import BookSource, sold_at
from gateway.pricing.sources.port import SourceFault
from gateway.railkit.http import Answer

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def book(*rows: tuple[object, object], as_of: datetime = NOW) -> OrderBook:
    bids = tuple((Fraction(str(price)), Fraction(str(amount))) for price, amount in rows)
    return OrderBook(base="USDC", quote="MXN", bids=bids, as_of=as_of)


class Exchange:
    def __init__(self, answer: OrderBook | OfframpError) -> None:
        self.answer = answer

    async def order_book(self) -> OrderBook:
        if isinstance(self.answer, OfframpError):
            raise self.answer
        return self.answer


async def fetch(answer: OrderBook | OfframpError, size: int = 100):
    source = BookSource(name="bitso", adapter=Exchange(answer), size=Fraction(size), max_age=HOUR)
    return await source.fetch(NOW)


async def test_the_price_is_what_selling_the_whole_size_brings_per_coin():
    (one,) = await fetch(book(("17.5", 40), (17, 40), (16, 1000)))
    assert one.price == (Fraction("17.5") * 40 + 17 * 40 + 16 * 20) / 100
    assert (one.source, one.base, one.quote, one.as_of) == ("bitso", "USDC", "MXN", NOW)


def test_a_price_with_endless_digits_is_cut_to_what_a_price_may_have():
    assert abs(sold_at(book((2, 1), (1, 9)), size=Fraction(3)) - Fraction(4, 3)) < Fraction(1, 10**23)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (book(), "nobody wants to buy"),
        (book((17, "99.999")), "too thin"),
        (book((0, 1000)), "has a bid"),
        (book((17, -5), (16, 1000)), "has a bid"),
        (book((16, 10), (17, 1000)), "not in order"),
        (book(("1e-13", 1000)), "no plausible price"),
        (book((17, 1000), as_of=NOW - 2 * HOUR), "too old"),
        (book((17, 1000), as_of=NOW + HOUR), "in the future"),
        (OfframpError("no order book: 503"), "no order book: 503"),
    ],
)
async def test_a_book_that_cannot_be_sold_into_is_refused(wrong, why):
    with pytest.raises(SourceFault, match=f"^rate source bitso: .*{why}"):
        await fetch(wrong)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        BookSource(name="bitso", adapter=Exchange(book()), size=Fraction(0), max_age=HOUR)


def test_bitsos_levels_that_are_no_numbers_never_get_into_the_book():
    rows = ",".join(
        f'{{"price": "{price}", "amount": "5"}}' for price in ("NaN", "-17", "0", "Infinity", "x", "17.1", "17.2")
    )
    answer = Answer(200, {}, f'{{"success": true, "payload": {{"bids": [{rows}]}}}}'.encode())
    assert spei.bids(answer) == [(Fraction("17.2"), 5), (Fraction("17.1"), 5)]
