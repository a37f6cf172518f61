"""How much is promised at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.money import Money
from gateway.orders.accept import Acceptance, Accepted, accept_quote
from gateway.orders.deadlines import keep_deadlines
from gateway.orders.funding import book_deposits
from gateway.orders.recipients import Recipient
from gateway.pricing.exposure import DOLLARS, SLOTS, ExposureFull, slot_end
from gateway.pricing.quotes import QuoteView, make_quote, make_quotes
from gateway.pricing.requests import QuoteRequest
from tests.factories import FACTORIES, NOW, make_deposit
from tests.integration.api.desk import OFFER, Desk

TTL = OFFER.rules.quote_ttl
CAP = Money.parse("100", DOLLARS)
CAPPED = replace(OFFER, rules=replace(OFFER.rules, exposure_cap=CAP))
TEN = QuoteRequest(
    partner_id=None,
    chain="dev",
    asset="USDC",
    send_amount="10",
    country="KE",
    currency="KES",
    method="mobile_money",
    receive_amount=None,
)
SECOND = timedelta(seconds=1)
_blocks = count(100)


@pytest.fixture
async def priced(engine: AsyncEngine) -> AsyncEngine:
    """A database with rates and two partners."""
    await Desk(engine=engine).stock()
    async with transaction(engine) as connection:
        sql = "INSERT INTO partners (id, name, created_at) VALUES ('par_1', 'one', now()), ('par_2', 'two', now())"
        await connection.execute(text(sql))
    return engine


async def ask(engine: AsyncEngine, request: QuoteRequest = TEN, *, now: datetime = NOW, offer=CAPPED) -> QuoteView:
    async with transaction(engine) as connection:
        return await make_quote(connection, request=request, offer=offer, now=now)


async def fill(engine: AsyncEngine, number: int = 10, **options) -> list[QuoteView]:
    return [await ask(engine, **options) for _ in range(number)]


async def full(engine: AsyncEngine, request: QuoteRequest = TEN, **options) -> ExposureFull:
    with pytest.raises(ExposureFull) as refused:
        await ask(engine, request, **options)
    return refused.value


async def order(engine: AsyncEngine, quote: QuoteView, *, now: datetime = NOW) -> Accepted:
    async with transaction(engine) as connection:
        acceptance = Acceptance(
            quote_id=quote.id, partner_id=quote.partner_id, recipient=Recipient(name="Wanjiku", account="+254712345678")
        )
        return await accept_quote(connection, acceptance=acceptance, factories=FACTORIES, now=now)


async def deposit_becomes(engine: AsyncEngine, deposit: dict[str, object], status: str, *, now: datetime = NOW) -> None:
    async with transaction(engine) as connection:
        sql = "UPDATE deposits SET status = :status, block_hash = :hash WHERE tx_hash = :tx"
        block_hash = f"0x{next(_blocks):064x}"
        await connection.execute(text(sql), {"status": status, "hash": block_hash, "tx": deposit["tx_hash"]})
    await book_deposits(engine, least={}, now=now)


async def test_quotes_are_made_up_to_the_cap_and_not_beyond(priced):
    await fill(priced)
    assert (await full(priced)).code == "exposure_full"
    assert (await full(priced, replace(TEN, send_amount="0.5"))).field == "send.amount"
    request = replace(TEN, send_amount=None, receive_amount="1249")
    assert (await full(priced, request)).field == "receive.amount"


async def test_the_refusal_says_the_cap_what_is_open_and_when_there_is_room(priced):
    await fill(priced, 4)
    await fill(priced, 5, now=NOW + timedelta(minutes=5))
    now = NOW + timedelta(minutes=6)
    refused = await full(priced, replace(TEN, send_amount="20"), now=now)
    room_at = slot_end(NOW, NOW + TTL)
    assert refused.retry_after == room_at - now
    assert str(refused) == (
        "90.00 USD of at most 100.00 USD are promised in open quotes and unpaid orders to KE/KES/mobile_money; "
        "this quote would add 20.00 USD. Up to 10.00 USD fit now; there is room for this one at "
        f"{room_at:%Y-%m-%d %H:%M:%S} UTC, or as soon as open orders are paid."
    )
    await ask(priced, replace(TEN, send_amount="20"), now=room_at)
    with pytest.raises(ExposureFull):
        await ask(priced, replace(TEN, send_amount="40"), now=room_at)


async def test_more_than_the_cap_never_fits_and_no_time_is_told(priced):
    refused = await full(priced, replace(TEN, send_amount="100.000001"))
    assert (refused.retry_after, str(refused).endswith("Ask for at most 100.00 USD.")) == (None, True)
    assert await ask(priced, replace(TEN, send_amount="100"))


async def test_each_partner_and_the_form_as_one_have_their_own(priced):
    for partner_id in (None, "par_1", "par_2"):
        request = replace(TEN, partner_id=partner_id)
        await fill(priced, request=request)
        await full(priced, request)


async def test_without_a_cap_nothing_is_counted(priced):
    made = await fill(priced, 30, offer=OFFER)
    async with priced.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM exposures"))).scalar() == 0
        sql = "SELECT exposed_units, exposed_until FROM quotes WHERE id = :id"
        assert tuple((await connection.execute(text(sql), {"id": made[0].id})).one()) == (None, None)


@pytest.mark.parametrize("sets", [1, 100])
async def test_of_a_hundred_at_once_as_many_are_made_as_fit(priced, sets):
    """Each in a transaction of its own, or all in one."""
    requests = [replace(TEN, partner_id="par_1")] * (100 // sets)

    async def some() -> list[QuoteView | Exception]:
        async with transaction(priced) as connection:
            return await make_quotes(connection, requests=requests, offer=CAPPED, now=NOW)

    answers = [answer for group in await asyncio.gather(*(some() for _ in range(sets))) for answer in group]
    assert Counter(type(answer) for answer in answers) == {QuoteView: 10, ExposureFull: 90}
    async with priced.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM quotes"))).scalar() == 10
        assert (await connection.execute(text("SELECT sum(units) FROM exposures"))).scalar() == 100_00


async def test_a_quote_that_is_rolled_back_promises_nothing(priced):
    async with transaction(priced) as connection:
        await make_quote(connection, request=replace(TEN, send_amount="100"), offer=CAPPED, now=NOW)
        await connection.rollback()
    await fill(priced)


async def test_time_frees_what_nobody_used_a_moment_after_it_is_over(priced):
    await fill(priced)
    over = slot_end(NOW, NOW + TTL)
    assert timedelta(0) <= over - (NOW + TTL) < TTL / SLOTS
    await full(priced, now=over - timedelta(microseconds=1))
    await fill(priced, now=over)


async def test_an_order_that_nobody_pays_counts_like_its_quote(priced):
    for quote in await fill(priced):
        await order(priced, quote)
    await full(priced)
    over = slot_end(NOW, NOW + TTL)
    await keep_deadlines(priced, now=NOW + TTL)
    await full(priced, now=NOW + TTL)
    await fill(priced, now=over)


async def test_money_that_is_seen_frees_its_order_once(priced):
    quotes = await fill(priced)
    paid = await order(priced, quotes[0])
    await full(priced)
    deposit = await make_deposit(priced, paid, status="seen")
    await book_deposits(priced, least={}, now=NOW)
    await ask(priced)
    await full(priced)
    await deposit_becomes(priced, deposit, "final")
    await make_deposit(priced, paid)
    await book_deposits(priced, least={}, now=NOW)
    await full(priced)


async def test_money_that_is_final_at_once_frees_its_order_too(priced):
    quotes = await fill(priced)
    await make_deposit(priced, await order(priced, quotes[0]))
    await book_deposits(priced, least={}, now=NOW)
    await ask(priced)
    await full(priced)


async def test_money_that_a_reorganisation_takes_back_is_promised_again(priced):
    quotes = await fill(priced)
    paid = await order(priced, quotes[0])
    deposit = await make_deposit(priced, paid, status="seen")
    await book_deposits(priced, least={}, now=NOW)
    await deposit_becomes(priced, deposit, "orphaned")
    await full(priced)
    await deposit_becomes(priced, deposit, "seen")
    await ask(priced)
    await full(priced)


async def test_what_is_long_over_is_swept_out(priced):
    await fill(priced, 3)
    async with transaction(priced) as connection:
        await connection.execute(text("UPDATE exposures SET until = until - interval '3 hours'"))
    await ask(priced)
    async with priced.connect() as connection:
        assert (await connection.execute(text("SELECT count(*), sum(units) FROM exposures"))).one() == (1, 10_00)


async def test_a_coin_of_another_currency_counts_by_its_rate(priced):
    async with transaction(priced) as connection:
        sql = """INSERT INTO rate_observations (source, base, quote, num, den, as_of, fetched_at)
            SELECT source, 'EUR', quote, num, den, :now, :now FROM unnest(ARRAY['one', 'two']) AS source,
                (VALUES ('KES', 150, 1), ('USD', 12, 10)) AS v (quote, num, den)"""
        await connection.execute(text(sql), {"now": NOW})
    token = replace(CAPPED.tokens["dev", "USDT"], peg="EUR")
    offer = replace(CAPPED, tokens={**CAPPED.tokens, ("dev", "USDT"): token})
    await ask(priced, replace(TEN, asset="USDT", send_amount="80"), offer=offer)
    async with priced.connect() as connection:
        assert (await connection.execute(text("SELECT units FROM exposures"))).scalar() == 96_00
    await full(priced, offer=offer)


@given(
    st.integers(1, 604_800_000_000).map(lambda us: timedelta(microseconds=us)),
    st.integers(0, 10**15).map(lambda us: NOW + timedelta(microseconds=us)),
)
def test_a_slot_ends_soon_after_its_promise_and_never_before(ttl, created_at):
    late = slot_end(created_at, created_at + ttl) - (created_at + ttl)
    assert timedelta(0) <= late < max(ttl / SLOTS, SECOND)
