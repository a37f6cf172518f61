"""Where a chain's first watcher begins, if nobody says where."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.chain.watcher import CLOCKS_APART
from tests.integration.chain.desk import Desk, catch_up
from tests.unit.chain.fake_chain import START_TIME, USDC, FakeChain, address, terms, transfer

SHOWN_AT = 1_500
"""Of the chain's seconds and blocks."""


async def test_what_was_paid_before_any_watcher_had_started_is_found(desk: Desk) -> None:
    desk.now = datetime.fromtimestamp(START_TIME + SHOWN_AT, UTC)
    await desk.know([USDC], [address("ours")])
    chain = FakeChain(blocks=SHOWN_AT + 1)
    chain.mine(transfer(to=address("ours"), units=7), blocks=500)
    watcher = desk.watcher(chain, terms())
    started = await watcher.step()
    assert started.cursor is not None
    assert 0 < started.cursor.number <= SHOWN_AT - CLOCKS_APART.total_seconds()
    await catch_up(watcher)
    assert (await desk.deposit()).units == 7


async def test_without_an_address_it_begins_at_the_end(desk: Desk) -> None:
    chain = FakeChain(blocks=1_000)
    started = await desk.watcher(chain, terms()).step()
    assert started.cursor is not None
    assert started.cursor.number > 900


async def test_addresses_of_long_ago_do_not_make_it_read_years(desk: Desk) -> None:
    desk.now = datetime.fromtimestamp(START_TIME, UTC)
    await desk.know([USDC], [address("ours")])
    desk.now = datetime.fromtimestamp(START_TIME + 10 * 86_400, UTC)
    started = await desk.watcher(FakeChain(blocks=1_000), terms()).step()
    assert started.cursor is not None
    assert started.cursor.number > 900
