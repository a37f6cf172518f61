"""Money in flight while a coin is stopped: what is held, what is paid, and how it goes on; March 2023 once more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway import main
from gateway.db.session import transaction
from gateway.desk.consent import accept_requote
from gateway.desk.requote import Channel, Consent, offer_requote
from gateway.desk.resolve import release_hold
from gateway.ledger.post import register_assets
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.advance import Move, advance
from gateway.orders.depegged import hold_depegged_orders
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.orders.states import E
from gateway.payouts.dispatch import dispatch
from gateway.payouts.queries import order_view
from gateway.payouts.rails import Rails
from gateway.pricing import halts
from gateway.pricing.consensus import NoRate
from gateway.pricing.halts import CoinHalted, CorridorHalted
from gateway.pricing.observations import Observation
from gateway.pricing.quotes import QuoteRequest, QuoteView, make_quote
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.rounds import make_round
from tests.factories import FACTORIES, KES, NOW, USDC, USDT, FakeRail, make_deposit, make_orders
from tests.integration.desk.office import offer
from tests.integration.pricing.test_market import Tells

MINUTE = timedelta(minutes=1)
STOPPED_AT = NOW + MINUTE


@dataclass
class House:
    engine: AsyncEngine
    now: datetime = NOW
    rail: FakeRail = field(default_factory=FakeRail)

    async def halt(self, subject: str = "USDC", at: datetime = STOPPED_AT) -> None:
        async with transaction(self.engine) as connection:
            await halts.halt(connection, subject=subject, operator="amina", reason="so it is", now=at)

    async def resume(self, subject: str = "USDC") -> None:
        async with transaction(self.engine) as connection:
            await halts.resume(connection, subject=subject, operator="amina", reason="it is over", now=self.now)

    async def pay(self, order: Accepted, *, at: datetime, **what: Any) -> None:
        await make_deposit(self.engine, order, at=at, **what)
        await book_deposits(self.engine, least={}, now=self.now)

    async def dispatch(self) -> None:
        await dispatch(self.engine, rails=Rails({"fake": self.rail}), clock=lambda: self.now)

    async def step(self) -> int:
        return await hold_depegged_orders(self.engine, now=self.now)

    async def standing(self, order: Accepted) -> tuple[str, str | None]:
        async with transaction(self.engine) as connection:
            view = await order_view(connection, now=self.now, order_id=order.order_id)
            return view.state, view.progress.reason


@pytest.fixture
async def house(engine: AsyncEngine) -> House:
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, USDT, KES])
        await connection.execute(text("INSERT INTO operators VALUES ('amina', 'x', now(), NULL)"))
    return House(engine, now=NOW + 5 * MINUTE)


async def test_a_deposit_that_comes_while_its_coin_is_stopped_is_held(house):
    [order] = await make_orders(house.engine)
    await house.halt()
    await house.pay(order, at=STOPPED_AT)
    assert await house.standing(order) == ("held", "depegged")
    async with transaction(house.engine) as connection:
        told = (await order_view(connection, now=house.now, order_id=order.order_id)).progress
    assert "once the coin is taken again, the order goes on at the rate that was promised" in told.next_step
    await house.dispatch()
    assert [await house.step(), house.rail.calls] == [0, []]


async def test_a_deposit_that_came_before_the_stop_is_paid_whenever_it_is_booked(house):
    [order] = await make_orders(house.engine)
    await house.halt()
    await house.pay(order, at=STOPPED_AT - timedelta(seconds=1))
    assert await house.step() == 0
    await house.dispatch()
    assert (await house.standing(order))[0] == "paid"


@pytest.mark.parametrize("subject", ["USDT", "KE/KES/mobile_money", "*"])
async def test_stops_of_other_coins_and_of_corridors_hold_no_money(house, subject):
    [order] = await make_orders(house.engine)
    await house.halt(subject)
    await house.pay(order, at=STOPPED_AT)
    assert await house.standing(order) == ("funded", "funded")
    await house.dispatch()
    assert (await house.standing(order))[0] == "paid"


@pytest.mark.parametrize(("subject", "refusal"), [("USDC", CoinHalted), ("KE/KES/mobile_money", CorridorHalted)])
async def test_no_order_is_made_of_a_quote_whose_coin_or_corridor_was_stopped(house, subject, refusal):
    await house.halt(subject)
    with pytest.raises(refusal) as caught:
        await make_orders(house.engine)
    assert caught.value.field == "quote_id"


async def test_when_the_stop_is_lifted_what_it_held_is_paid_at_its_quoted_rate(house):
    [order] = await make_orders(house.engine)
    await house.halt()
    await house.pay(order, at=STOPPED_AT)
    await house.resume()
    assert [await house.step(), await house.step()] == [1, 0]
    await house.dispatch()
    assert (await house.standing(order))[0] == "paid"
    assert [money.units for money in house.rail.paid.values()] == [124_900]


async def test_lifting_leads_on_nothing_that_waits_for_another_reason(house):
    late, vanished = await make_orders(house.engine, 2)
    await house.halt()
    await house.pay(late, at=NOW + timedelta(hours=1))
    await house.pay(vanished, at=STOPPED_AT)
    async with transaction(house.engine) as connection:
        await connection.execute(
            text("INSERT INTO incidents (cause, kind, order_id, detail, opened_at) VALUES ('c', :kind, :id, '{}', now())"),
            {"kind": "final_deposit_vanished", "id": vanished.order_id},
        )
    await house.resume()
    assert await house.step() == 0
    assert await house.standing(late) == ("held", "late")


@pytest.mark.parametrize("by", ["dispatch", "its own loop"])
async def test_a_stop_written_while_the_deposit_was_booked_is_found_before_anything_is_sent(house, by):
    orders = await make_orders(house.engine, 2)
    for order in orders:
        await house.pay(order, at=STOPPED_AT)
    await house.halt()
    await (house.dispatch() if by == "dispatch" else house.step())
    assert {await house.standing(order) for order in orders} == {("held", "depegged")}
    assert house.rail.calls == []


async def test_what_was_led_on_while_the_stop_lasts_is_not_held_again(house):
    [order] = await make_orders(house.engine)
    await house.pay(order, at=STOPPED_AT)
    await house.halt()
    assert await house.step() == 1
    # As a new price with consent does.
    move = Move(order_id=order.order_id, event=E.HOLD_LIFTED, cause="requote:one", due_at=house.now)
    async with transaction(house.engine) as connection:
        await advance(connection, moves=[move], now=house.now)
    assert await house.step() == 0
    await house.dispatch()
    assert (await house.standing(order))[0] == "paid"


async def test_a_top_up_that_comes_in_the_stop_completes_the_money_and_not_the_order(house):
    [order] = await make_orders(house.engine)
    await house.pay(order, at=NOW, units=6_000_000)
    await house.halt()
    await house.pay(order, at=STOPPED_AT, units=4_000_000, block=8)
    assert await house.standing(order) == ("held", "depegged")
    await house.resume()
    assert await house.step() == 1
    assert (await house.standing(order))[0] == "funded"


async def test_while_the_stop_lasts_nobody_releases_at_the_quoted_rate(house):
    [order] = await make_orders(house.engine)
    await house.halt()
    await house.pay(order, at=STOPPED_AT)
    async with transaction(house.engine) as connection:
        with pytest.raises(CoinHalted):
            await release_hold(connection, order_id=order.order_id, operator="amina", reason="so", now=house.now)


USDC_IN_MARCH_2023 = (
    (datetime(2023, 3, 10, 22, tzinfo=UTC), "1.000"),
    (datetime(2023, 3, 11, 2, tzinfo=UTC), "0.96"),
    (datetime(2023, 3, 11, 7, tzinfo=UTC), "0.88"),
    (datetime(2023, 3, 11, 8, tzinfo=UTC), "0.877"),
    (datetime(2023, 3, 11, 12, tzinfo=UTC), "0.91"),
    (datetime(2023, 3, 12, 12, tzinfo=UTC), "0.96"),
    (datetime(2023, 3, 13, 0, tzinfo=UTC), "0.99"),
    (datetime(2023, 3, 13, 20, tzinfo=UTC), "0.999"),
)
"""USDC in US dollars as news and exchanges told; in between, a straight line."""
ROUND = timedelta(minutes=30)


def price_at(moment: datetime) -> Fraction:
    for (start, low), (end, high) in pairwise(USDC_IN_MARCH_2023):
        if start <= moment <= end:
            passed = Fraction((moment - start) // MINUTE, (end - start) // MINUTE)
            return Fraction(low) + (Fraction(high) - Fraction(low)) * passed
    return Fraction(1)


class Exchanges:
    """Sources that tell the coin's price of then, and a steady shilling."""

    def __init__(self, name: str, now: datetime) -> None:
        self.name, self._now = name, now

    async def fetch(self, now: datetime) -> list[Observation]:
        told = {("USD", "KES"): Fraction("129.2"), ("USDC", "USD"): Fraction(round(price_at(now) * 10**6), 10**6)}
        told["USDT", "USD"] = Fraction("1.001")
        return [
            Observation(source=self.name, base=base, quote=quote, price=price, as_of=now)
            for (base, quote), price in told.items()
        ]


@dataclass
class Weekend:
    """The gateway from Friday to Monday: every half hour somebody asks for a quote, accepts, and pays at its last second."""

    house: House
    quoted: list[tuple[datetime, QuoteView, Accepted]] = field(default_factory=list)
    refused: list[tuple[datetime, NoRate]] = field(default_factory=list)
    paid_at: dict[str, datetime] = field(default_factory=dict)
    led_on_at: dict[str, datetime] = field(default_factory=dict)

    async def go_on(self, until: datetime) -> None:
        while self.house.now < until:
            self.house.now += ROUND
            now = self.house.now
            await refresh_rates(self.house.engine, sources=[Exchanges("one", now), Exchanges("two", now)], now=now)
            await make_round(self.house.engine, offer=OFFER, now=now)
            for _, quote, order in self.quoted[-2:]:
                at = quote.expires_at - timedelta(seconds=1)
                if order.order_id not in self.paid_at:
                    self.paid_at[order.order_id] = at
                    await self.house.pay(order, at=at)
            await self.house.step()
            await self.house.dispatch()
            await self.ask(now)

    async def ask(self, now: datetime) -> None:
        try:
            async with transaction(self.house.engine) as connection:
                quote = await make_quote(connection, request=ASK, offer=OFFER, now=now)
                acceptance = Acceptance(
                    quote_id=quote.id, partner_id=None, recipient=Recipient(name="W", account="+254712345678")
                )
                order = await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=now)
        except NoRate as refusal:
            self.refused.append((now, refusal))
        else:
            self.quoted.append((now, quote, order))

    async def state(self, number: int) -> str:
        return (await self.house.standing(self.quoted[number][2]))[0]

    def lost(self) -> list[Fraction]:
        """Of each quote that was paid for, what the coin had lost between quote and deposit, in parts of its amount.

        Of one that was held, between quote and payout: until then it is its sender's coin.
        """
        return [
            quote.mid.whole() / KES_PER_USD - price_at(self.led_on_at.get(order.order_id) or self.paid_at[order.order_id])
            for _, quote, order in self.quoted
            if order.order_id in self.paid_at
        ]


KES_PER_USD = Fraction("129.2")
OFFER = replace(offer(), rules=replace(offer().rules, max_age=timedelta(hours=2)))
ASK = QuoteRequest(
    partner_id=None,
    chain="dev",
    asset="USDC",
    send_amount="10",
    country="KE",
    currency="KES",
    method="mobile_money",
    receive_amount=None,
)


async def test_the_depeg_of_march_2023(house):
    """Quotes stop with the first price outside the band and come back; money in flight follows the rule; we lose little."""
    start = USDC_IN_MARCH_2023[0][0]
    house.now = start - 2 * ROUND
    weekend = Weekend(house)
    await weekend.go_on(start + 2 * ROUND)
    # One who is quoted at 23:20, by the price of 23:00 (0.99), and pays at 23:34, after the stop.
    await weekend.ask(house.now + 20 * MINUTE)
    await weekend.go_on(start + 3 * ROUND)
    assert [await weekend.state(-2), await weekend.state(-1)] == ["paid", "held"]
    await weekend.go_on(datetime(2023, 3, 13, 0, 30, tzinfo=UTC))
    assert await weekend.state(-1) == "held"
    await weekend.go_on(datetime(2023, 3, 13, 2, 30, tzinfo=UTC))

    # Below 0.99 from 23:00 on; back at it on Monday at midnight, and taken an hour later.
    outside = [moment for moment, _ in weekend.refused]
    assert (outside[0], outside[-1]) == (start + 3 * ROUND, datetime(2023, 3, 13, 0, 30, tzinfo=UTC))
    assert outside == [outside[0] + n * ROUND for n in range(len(outside))]
    assert {refusal.code for _, refusal in weekend.refused} == {"coin_depegged"}
    # Whatever was paid for is paid out, the held one after the coin had come back; but the last, which nobody has paid yet.
    states = [await weekend.state(number) for number in range(len(weekend.quoted))]
    assert states == ["paid"] * (len(states) - 1) + ["awaiting_deposit"]
    held = weekend.quoted[[quote.created_at.minute for _, quote, _ in weekend.quoted].index(20)]
    assert held[1].receive.units in {money.units for money in house.rail.paid.values()}
    weekend.led_on_at[held[2].order_id] = outside[-1] + ROUND
    # We bear what the coin loses while a quote waits for its deposit: a fraction of the spread (1 %) that pays for it.
    lost = sorted(weekend.lost())
    assert Fraction("0.002") < lost[-1] < Fraction("0.003")
    assert sum(lost) < Fraction("0.01") * len(lost)
    # What a coin is below par is in every quote, and none says more than par.
    assert {quote.mid.whole() <= KES_PER_USD for _, quote, _ in weekend.quoted} == {True}
    assert weekend.quoted[4][1].mid.whole() == KES_PER_USD * Fraction("0.99")


async def test_prices_that_stop_a_coin_stop_it_as_soon_as_they_are_stored(house):
    [order] = await make_orders(house.engine)
    fallen = Tells("one", {("USD", "KES"): "129.2", ("USDC", "USD"): "0.9"}, at=house.now)
    sources = (fallen, replace(fallen, name="two"))
    gateway = SimpleNamespace(engine=house.engine, sources=sources, offer=OFFER, clock=lambda: house.now)
    assert await main._rates_loop(gateway).step() == 0
    # In the next block, long before the market's own loop comes by.
    await house.pay(order, at=house.now + timedelta(seconds=1))
    assert await house.standing(order) == ("held", "depegged")


async def test_a_coin_that_falls_at_once_costs_no_more_than_what_was_paid_before_the_round_that_saw_it(house):
    """From par to 0.88 between two rounds: what came before the stop is our loss, and what comes after is held."""
    house.now = USDC_IN_MARCH_2023[2][0]
    fallen, now = Fraction("0.88"), house.now

    async def tell(price: str) -> None:
        source = Tells("one")
        source.at, source.prices = house.now, {("USD", "KES"): "129.2", ("USDC", "USD"): price}
        await refresh_rates(house.engine, sources=[source], now=house.now)
        await make_round(house.engine, offer=OFFER, now=house.now)

    await tell("1")
    weekend = Weekend(house)
    for _ in range(3):
        await weekend.ask(now)
    before, after, never = [order for _, _, order in weekend.quoted]
    await house.pay(before, at=now + MINUTE)
    house.now = now + 5 * MINUTE
    await tell("0.88")
    await house.pay(after, at=house.now + MINUTE)
    house.now += 2 * MINUTE
    await house.dispatch()
    assert [(await house.standing(one))[0] for one in (before, after, never)] == ["paid", "held", "awaiting_deposit"]
    paid_out = sum(Fraction(money.units, 100) for money in house.rail.paid.values()) / KES_PER_USD
    assert 0 < paid_out - 10 * fallen < 10 * (1 - fallen)

    # Held: a new price with consent, at what the coin is worth now.
    async with transaction(house.engine) as connection:
        made = await offer_requote(
            connection,
            order_id=after.order_id,
            offer=OFFER,
            operator="amina",
            reason="asked for it",
            now=house.now,
        )
    assert made.quote.mid.whole() == KES_PER_USD * fallen
    async with transaction(house.engine) as connection:
        await accept_requote(
            connection,
            order_id=after.order_id,
            requote_id=made.id,
            consent=Consent(channel=Channel.TRACKER),
            factories=FACTORIES,
            now=house.now,
        )
    assert await house.step() == 0
    await house.dispatch()
    assert (await house.standing(after))[0] == "paid"
    assert made.quote.receive.units in {money.units for money in house.rail.paid.values()}
