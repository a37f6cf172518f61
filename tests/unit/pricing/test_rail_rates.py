from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from importlib import import_module

import pytest

from adapters.ccxt_exchange.adapter import CcxtExchange
from adapters.ccxt_exchange.simulator.bitso import app as bitso
from adapters.paycrest import Paycrest
from adapters.paycrest.simulator import app as paycrest
from gateway.clock import system_clock
from gateway.contract.harness import running
from gateway.offramp import AdapterContext, OfframpError
from gateway.prices import RailRate
from gateway.pricing.sources.books import BookSource
from gateway.pricing.sources.port import SourceFault
from gateway.pricing.sources.rails import RailRates
from gateway.railsim import Options

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rate(price: object = "129.25", quote: str = "KES", as_of: datetime = NOW) -> RailRate:
    return RailRate(base="USD", quote=quote, price=Fraction(str(price)), as_of=as_of)


class Rail:
    def __init__(self, *answer: RailRate, error: OfframpError | None = None) -> None:
        self.answer, self.error = answer, error

    async def rates(self, currencies, *, size):  # noqa: ARG002 - one answer for all
        if self.error is not None:
            raise self.error
        return self.answer


def source(adapter, *currencies: str) -> RailRates:
    return RailRates(name="yc", adapter=adapter, currencies=currencies or ("KES",), size=Fraction(100), max_age=HOUR)


def context(rail) -> AdapterContext:
    return AdapterContext(
        name="tested", settings=rail.settings(), callback_address=lambda *_: "https://us.invalid/c", clock=system_clock
    )


async def test_a_rails_rate_is_a_price_of_its_source():
    (one,) = await source(Rail(rate())).fetch(NOW)
    assert (one.source, one.base, one.quote, one.price, one.as_of) == ("yc", "USD", "KES", Fraction("129.25"), NOW)


@pytest.mark.parametrize(
    "wrong", [rate(0), rate(-1), rate("1e13"), rate(as_of=NOW - 2 * HOUR), rate(as_of=NOW + HOUR), rate(quote="XAF")]
)
async def test_a_rate_that_cannot_be_used_is_left_out_and_alone_it_is_a_fault(wrong):
    assert [one.quote for one in await source(Rail(wrong, rate(quote="UGX")), "KES", "UGX").fetch(NOW)] == ["UGX"]
    with pytest.raises(SourceFault, match="no fresh, plausible rate of KES"):
        await source(Rail(wrong)).fetch(NOW)


async def test_a_rail_that_does_not_answer_is_a_fault_with_its_reason():
    with pytest.raises(SourceFault, match=r"^rate source yc: no rates: 503$"):
        await source(Rail(error=OfframpError("no rates: 503"))).fetch(NOW)


async def test_paycrest_tells_what_it_pays_for_a_coin_and_leaves_out_what_it_does_not_serve():
    with running(paycrest(Options(delay_s=0))) as rail:
        adapter = Paycrest(context(rail))
        found = await source(adapter, "KES", "XXX").fetch(system_clock())
        await adapter.close()
    assert [(one.base, one.quote) for one in found] == [("USDC", "KES")]


async def test_bitsos_book_is_read_and_walked():
    import_module("ccxt")  # a busy machine takes longer for it than the adapter waits
    with running(bitso(Options(delay_s=0))) as rail:
        adapter = CcxtExchange(context(rail))
        (one,) = await BookSource(name="b", adapter=adapter, size=Fraction(150_000), max_age=HOUR).fetch(system_clock())
        book = await adapter.order_book()
        await adapter.close()
    assert (one.base, one.quote) == ("USDC", "MXN")
    assert one.price == pytest.approx((book.bids[0][0] * 2 + book.bids[1][0]) / 3)
