"""Whole processes: killed at any moment of a forking chain, and after an outage of many deposits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.queries import read_cursor
from gateway.db.session import transaction
from gateway.ledger.queries import balances
from tests.adversary.proxy import Proxy, serve
from tests.factories import NOW, make_orders
from tests.integration.chain.desk import Desk
from tests.sim.expected import balances_of, credits_of
from tests.sim.forking import FINAL_AFTER, FollowingNode, ForkingChain
from tests.sim.killable import Processes, processes
from tests.sim.world import DUE, LEAST, LONG, ORDERS
from tests.unit.chain.fake_chain import CHAIN_ID, TOKEN, USDC, FakeChain, address, transfer

NODES = 2
KILLS = 20
REST_S = 30
LIFE_MOST_S = 0.25
BACKLOG = 10_000
PER_BLOCK = 4
GROWTH_MOST = 48 * 2**20
"""What ten thousand deposits may take of memory more than a hundred, in bytes."""


def settings_of(database_url: str, proxies: list[Proxy], **more: Any) -> dict[str, Any]:
    return {
        "database": database_url,
        "chain_id": CHAIN_ID,
        "rpc": [proxy.url for proxy in proxies],
        "quorum": NODES,
        "token": TOKEN,
        "asset": USDC.code,
        "least": LEAST.units,
        "start_block": 1,
    } | more


async def addresses_of(engine: AsyncEngine) -> dict[str, str]:
    made = await make_orders(engine, ORDERS, now=NOW, expires_at=NOW + LONG)
    async with transaction(engine) as connection:
        ids = {"ids": [order.order_id for order in made]}
        rows = await connection.execute(text("SELECT address, owner FROM deposit_addresses WHERE owner = ANY(:ids)"), ids)
        return {row.address.lower(): row.owner for row in rows}


async def rest(engine: AsyncEngine, *, head: str, final: int) -> None:
    """Wait until the cursor is at the head, all below is final, and all is booked."""
    deadline = monotonic() + REST_S
    while True:
        async with transaction(engine) as connection:
            cursor = await read_cursor(connection, chain_id=CHAIN_ID)
            open_ = await connection.execute(text("SELECT count(*) FROM deposits WHERE booked IS DISTINCT FROM status"))
            unbooked = open_.scalar_one()
        if cursor and cursor.at.hash == head and cursor.final.number >= final and not unbooked:
            return
        assert monotonic() < deadline, f"{cursor}, {unbooked} not booked"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", [1])
async def test_killed_at_any_moment_credits_are_those_of_the_last_chain(
    engine: AsyncEngine, database_url: str, seed: int
) -> None:
    random = Random(seed)
    orders = await addresses_of(engine)
    chain = ForkingChain(random=random, ours=list(orders))
    nodes = [FollowingNode(chain) for _ in range(NODES)]
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(serve(node.ask)) for node in nodes]
        many = stack.enter_context(processes(settings_of(database_url, proxies)))
        for _ in range(KILLS):
            pids = [many.start() for _ in range(random.choice([1, 1, 2]))]
            deadline = monotonic() + random.uniform(0.02, LIFE_MOST_S)
            while monotonic() < deadline:
                await asyncio.sleep(random.uniform(0, LIFE_MOST_S / 4))
                if random.random() < 0.5:
                    chain.fork()
                else:
                    chain.grow(random.randint(1, 4))
                for node in nodes:
                    if random.random() < 0.8:
                        node.look()
            for pid in pids:
                many.kill(pid)
        many.start()
        chain.grow(FINAL_AFTER + 1)
        for node in nodes:
            node.look()
        await rest(engine, head=chain.blocks[-1]["hash"], final=chain.final)
    expected = [credit for credit in credits_of(chain.transfers(), ours=orders) if credit[2] <= chain.final]
    rows = [row for row in await Desk(engine).deposits() if row.status == "final"]
    assert sorted((row.tx_hash, row.log_index, row.block_hash) for row in rows) == sorted(
        (tx_hash, index, block_hash) for tx_hash, index, _, block_hash, _, _ in expected
    )
    async with transaction(engine) as connection:
        found = {account: money.units for account, money in await balances(connection)}
    assert found == balances_of(expected, orders=orders, due=DUE, least=LEAST.units)
    assert expected


async def test_an_outage_s_backlog_is_credited_once_oldest_first_in_bounded_memory(
    engine: AsyncEngine, database_url: str
) -> None:
    orders = list(await addresses_of(engine))
    chain = FakeChain(blocks=10)
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(serve(chain.ask)) for _ in range(NODES)]
        many = stack.enter_context(processes(settings_of(database_url, proxies)))
        small = await catch_up_after(many, engine, chain, orders, deposits=100)
        large = await catch_up_after(many, engine, chain, orders, deposits=BACKLOG)
    rows = await Desk(engine).deposits()
    expected = credits_of((log for block in chain.blocks for log in block["logs"]), ours=orders)
    assert {(row.tx_hash, row.log_index, row.block_number, row.block_hash, row.address, int(row.units)) for row in rows} == {
        *expected
    }
    assert len(rows) == len(expected) == BACKLOG + 100
    async with transaction(engine) as connection:
        found = {account: money.units for account, money in await balances(connection)}
    assert found[f"chain:{CHAIN_ID}"] == -sum(credit[5] for credit in expected)
    print(f"{small=} {large=}")
    assert large - small < GROWTH_MOST


async def catch_up_after(many: Processes, engine: AsyncEngine, chain: FakeChain, orders: list[str], *, deposits: int) -> int:
    """Deposits while nobody watches, and then one process until all are booked. Gives its most memory."""
    if chain.head < 20:
        pid = many.start()
        await rest(engine, head=chain.blocks[-1]["hash"], final=chain.head - chain.final_after)
        many.kill(pid)
    random = Random(deposits)
    for _ in range(0, deposits, PER_BLOCK):
        ours = [transfer(to=random.choice(orders), units=5_000_000) for _ in range(PER_BLOCK)]
        chain.mine(*ours, *(transfer(to=address("stranger")) for _ in range(PER_BLOCK)), blocks=random.randint(1, 2))
    chain.mine(blocks=chain.final_after + 1)
    pid = many.start()
    waiting = asyncio.create_task(rest(engine, head=chain.blocks[-1]["hash"], final=chain.head - chain.final_after))
    paid = [sum(log["topics"][2][-40:] != address("stranger")[2:] for log in block["logs"]) for block in chain.blocks]
    while not waiting.done():
        await asyncio.sleep(0.1)
        await check_oldest_first(engine, paid)
    await waiting
    memory = many.memory(pid)
    many.kill(pid)
    return memory


async def check_oldest_first(engine: AsyncEngine, paid: list[int]) -> None:
    """What is there is all that was paid up to the cursor, and nothing above. `paid`: deposits per block."""
    # Three moments in this order: the cursor only goes up here.
    async with transaction(engine) as connection:
        before = await read_cursor(connection, chain_id=CHAIN_ID)
    async with transaction(engine) as connection:
        counted = await connection.execute(text("SELECT count(*) AS number, max(block_number) AS newest FROM deposits"))
        number, newest = counted.one()
    async with transaction(engine) as connection:
        after = await read_cursor(connection, chain_id=CHAIN_ID)
    assert before is not None
    assert after is not None
    assert number >= sum(paid[: before.at.number + 1])
    assert newest is None or newest <= after.at.number
