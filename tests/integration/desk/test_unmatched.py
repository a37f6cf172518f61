"""The list of what fits no order: all of it, each with its reason, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from eth_utils.address import to_checksum_address
from sqlalchemy import text

from gateway.db.session import transaction
from gateway.desk.found import Found, count_natives, keep, native_arrival
from gateway.desk.judge import Kind, Lies, Place, Way
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Asset, Money
from tests.factories import NOW, USDC, USDT
from tests.integration.desk.office import LATE, OTHER_CHAIN

ETH = Asset("ETH@31337", 18)
BRIDGED = Asset("USDC.e@31337", 6)
NATIVE, LISTED, UNKNOWN = "0x" + "00" * 20, "0x" + "ec" * 20, "0x" + "ba" * 20
KNOWN = {LISTED: BRIDGED, NATIVE: ETH}
TX = "0x" + "ab" * 32


async def stray(office, order, *, token, units=5_000_000, identity=None, sender="0x" + "5e" * 20):
    address = await office.one("SELECT deposit_address FROM orders WHERE id = :id", id=order.order_id)
    found = Found(
        identity=identity or f"{TX}:{3 if token == UNKNOWN else 1}",
        address=address,
        token=token,
        sender=sender,
        units=units,
        block_number=9,
    )
    async with transaction(office.engine) as connection:
        return await keep(connection, chain_id=31337, found=[found], known=KNOWN, now=NOW)


async def test_what_fits_is_not_listed(office):
    order = await office.order()
    await office.pay(order)
    assert await office.list() == []


async def test_each_thing_is_listed_once_with_its_kind(office):
    async with transaction(office.engine) as connection:
        await register_assets(connection, assets=[OTHER_CHAIN])
    late, under, paid = await office.late(), await office.order(), await office.order()
    await office.pay(late, units=1_000_000, at=LATE, block=8)
    await office.pay(under, units=4_000_000)
    await office.pay(paid, units=10_250_000)
    await office.pay(paid, block=9)
    await office.pay(paid, units=9_999, block=10)
    await office.pay(paid, asset=USDT, block=11)
    await office.pay(paid, asset=OTHER_CHAIN, block=12)
    await stray(office, paid, token=LISTED)
    await stray(office, paid, token=NATIVE, identity="native:0xaa:7", units=7, sender=None)
    await stray(office, paid, token=UNKNOWN)
    found = await office.list()
    assert [
        (one.order_id, one.kind, one.amount and one.amount.decimal()) for one in found if one.order_id != paid.order_id
    ] == [
        (late.order_id, Kind.LATE, "10.000000"),
        (late.order_id, Kind.LATE, "1.000000"),
        (under.order_id, Kind.UNDERPAID, "4.000000"),
    ]
    assert {(one.kind, one.amount and str(one.amount)) for one in found if one.order_id == paid.order_id} == {
        (Kind.SURPLUS, "0.250000 USDC"),
        (Kind.SECOND, "10.000000 USDC"),
        (Kind.DUST, "0.009999 USDC"),
        (Kind.WRONG_TOKEN, "10.000000 USDT"),
        (Kind.WRONG_CHAIN, "10.000000 USDC"),
        (Kind.WRONG_TOKEN, "5.000000 USDC.e"),
        (Kind.NATIVE, "0.000000000000000007 ETH"),
        (Kind.UNSUPPORTED_TOKEN, None),
    }
    assert len({one.key for one in found}) == len(found) == 11


async def test_each_names_its_deposit_its_sender_and_since_when(office):
    order = await office.order()
    await office.pay(order)
    second = await office.pay(order, block=9, at=LATE)
    [one] = await office.list()
    assert (one.tx_hash, one.log_index, one.sender, one.since) == (second["tx_hash"], 0, "0x" + "11" * 20, LATE)
    assert one.age(now=LATE + (LATE - NOW)) == LATE - NOW
    assert (one.place, one.lies, one.chain_id) == (Place.UNALLOCATED, Lies.DEPOSIT_ADDRESS, 31337)
    assert one.ways == (Way.REQUOTE, Way.REFUND, Way.RECOVER, Way.WRITE_OFF)


async def test_an_unsupported_token_is_its_contracts_address_and_on_no_ledger(office):
    order = await office.order()
    books = await office.books()
    await stray(office, order, token=UNKNOWN, units=2**256 - 1)
    [one] = await office.list()
    assert (one.kind, one.amount, one.units) == (Kind.UNSUPPORTED_TOKEN, None, 2**256 - 1)
    assert one.token == to_checksum_address(UNKNOWN)
    assert one.ways == (Way.RECOVER, Way.CLOSE)
    assert await office.books() == books


async def test_of_an_account_that_was_used_the_newest_is_left(office):
    order = await office.order()
    await office.pay(order)
    for block, units in ((8, 3_000_000), (9, 4_000_000), (10, 5_000_000)):
        await office.pay(order, units=units, block=block)
    async with transaction(office.engine) as connection:
        used = Transfer(f"order:{order.order_id}:unallocated", "wallet:31337", Money(5_000_000, USDC))
        await post(connection, entries=[Entry("used", "test", (used,), order.order_id)], now=NOW)
    assert [one.amount.units for one in await office.list()] == [2_000_000, 5_000_000]


async def test_what_was_swept_lies_in_the_treasury_and_what_came_after_does_not(office):
    order = await office.order()
    await office.pay(order)
    await office.pay(order, block=20)
    await office.pay(order, units=1_000_000, block=30)
    address = await office.one("SELECT deposit_address FROM orders")
    await office.run("INSERT INTO sweeps (id, chain_id, created_at) VALUES ('s', 31337, :now)", now=NOW)
    await office.run(
        "INSERT INTO sweep_items VALUES ('s', 31337, :address, :token, 'flushed', :asset, 1, 1, '0x1', 0, 25, :now)",
        address=address,
        token="0x" + "aa" * 20,
        asset=USDC.code,
        now=NOW,
    )
    assert [(one.lies, Way.RECOVER in one.ways) for one in await office.list()] == [
        (Lies.TREASURY, False),
        (Lies.DEPOSIT_ADDRESS, True),
    ]


async def test_a_page_ends_where_the_next_begins_and_a_kind_is_looked_for_on_all(office):
    orders = [await office.order() for _ in range(5)]
    for order in orders:
        await office.pay(order)
        await office.pay(order, units=2_000_000, block=9)
    await office.pay(orders[4], units=5, block=10)
    whole = await office.list()
    assert len(whole) == 6
    pages, after = [], ""
    while page := await office.list(limit=2, after=after):
        pages += page
        after = page[-1].key
    assert pages == whole
    [dust] = await office.list(kind=Kind.DUST, limit=1)
    assert dust.order_id == orders[4].order_id
    assert {one.order_id for one in await office.list(order_id=orders[2].order_id)} == {orders[2].order_id}


@pytest.mark.parametrize(("reason", "kind"), [("frozen", Kind.FROZEN), ("recipient_refused", Kind.HELD)])
async def test_a_held_order_says_why(office, reason, kind):
    order = await office.late()
    async with transaction(office.engine) as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        values = {"reason": f'{{"reason": "{reason}"}}'}
        await connection.execute(
            text("UPDATE order_events SET data = data || CAST(:reason AS jsonb) WHERE to_state = 'held'"), values
        )
    [one] = await office.list(order_id=order.order_id)
    assert (one.kind, one.place) == (kind, Place.FUNDS)
    assert Way.RELEASE in one.ways
    assert one.tx_hash is not None


async def test_a_thing_found_twice_is_one(office):
    order = await office.order()
    assert await stray(office, order, token=LISTED) == 1
    assert await stray(office, order, token=LISTED) == 0
    assert await office.books() == {
        "chain:31337 USDC.e@31337": "-5.000000",
        "order:0:unallocated USDC.e@31337": "5.000000",
    }


async def test_two_that_count_the_native_coin_at_once_book_it_once(office):
    order = await office.order()
    address = await office.one("SELECT deposit_address FROM orders")
    await office.run("INSERT INTO stray_cursors VALUES (31337, 1, '', :now)", now=NOW)
    counting = asyncio.Event()

    async def count(present, block, *, wait):
        async with transaction(office.engine) as connection:
            if wait:
                await counting.wait()
            counted = await count_natives(connection, chain_id=31337, present={address: present}, block=block)
            if not wait:
                counting.set()
                await asyncio.sleep(0.3)  # the other has come as far as it can by then
            found = native_arrival(address=address, present=present, counted=counted[address], block=block)
            await keep(connection, chain_id=31337, found=[found], known=KNOWN, now=NOW)

    await asyncio.gather(count(5, 8, wait=False), count(7, 9, wait=True))
    [one, other] = await office.list(order_id=order.order_id)
    assert one.amount + other.amount == Money(7, ETH)
