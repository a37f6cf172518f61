"""Two hundred random forks of a real node: what is credited in the end is what the last chain says (invariant 19).

Depths are 1 to 64. What a fork throws out is put back elsewhere, replaced by a rival of the same nonce, or dropped; it
happens under a watcher's hands, between its steps, and while nobody watches. Three nodes tell of the chain: proxies of one,
of which one may be behind. The seed is in the test's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.queries import read_cursor
from gateway.chain.terms import ChainTerms, Depth
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.devchain import chain
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from gateway.ledger.queries import balances
from gateway.money import Asset, Money
from gateway.orders.funding import book_deposits
from tests.adversary.proxy import Proxy, serve
from tests.adversary.upstream import HttpUpstream
from tests.chain_tools import deal_usdc, deploy
from tests.databases import Spare
from tests.factories import NOW, make_orders
from tests.integration.chain.desk import Desk
from tests.sim.expected import balances_of, credits_of
from tests.sim.watching import Watch, watch_urls
from tests.solidity import Solc, compile_sources, tools_cache

USDC = Asset("USDC@31337", 6)
LEAST = Money(1_000, USDC)
DUE = 10_000_000
DEPTH_MOST = 64
FINAL_AFTER = 72
LITTLE = 10
"""Credits below which a run has shown nothing."""
ORDERS = 6
ACCOUNTS = 12
GAS = 400_000
SETTLING_MOST = 400
STRANGER = "0x" + "57" * 20
BATCH = """
// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.0;
interface IToken { function transfer(address to, uint256 value) external returns (bool); }
contract Batch {
    function pay(address token, address[] calldata to, uint256[] calldata units) external {
        for (uint256 i = 0; i < to.length; i++) require(IToken(token).transfer(to[i], units[i]));
    }
}
"""
"""One transaction, many transfers."""


@dataclass(frozen=True, slots=True)
class Signed:
    account: int
    nonce: int
    raw: str
    tx_hash: str


@dataclass
class Scene:
    """A chain that forks, its watchers, and the books."""

    dev: DevChain
    batch: str
    rpc: Rpc
    random: Random
    engine: AsyncEngine
    proxies: list[Proxy]
    orders: dict[str, str]
    accounts: list[Any]
    gas_price: int
    now: datetime = NOW
    final: int = 0
    mined: dict[str, Signed] = field(default_factory=dict)
    """Every transaction made, by hash: the chain says which of them stand."""
    watches: list[Watch] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    started: int = 0
    """The first block that is watched."""

    async def begin(self) -> None:
        """Give everybody coins, and start watching above."""
        self.rpc("evm_setAutomine", True)
        for account in self.accounts:
            self.rpc("anvil_setBalance", account.address, hex(10**20))
            deal_usdc(self.dev, account.address, 10_000 * 10**6)
        deal_usdc(self.dev, self.batch, 100_000 * 10**6)
        self.rpc("evm_setAutomine", False)
        self.grow(FINAL_AFTER + 5, busy=False)
        self.started = self.final + 1
        await self.restart(1)
        await self.step(self.watches[0])

    def terms(self) -> ChainTerms:
        return ChainTerms(
            name="dev",
            chain_id=self.dev.chain_id,
            rpc=tuple(proxy.url for proxy in self.proxies),
            quorum=2,
            finality=Depth(FINAL_AFTER),
            start_block=None,
            tokens={self.dev.usdc.lower(): USDC},
            poll_s=1,
            native=Asset("ETH@31337", 18),
            treasury=self.dev.treasury,
        )

    def watch(self) -> Watch:
        return watch_urls(terms=self.terms(), engine=self.engine, clock=lambda: self.now)

    async def restart(self, number: int) -> None:
        """New processes in place of the old ones."""
        for watch in self.watches:
            await watch.close()
        self.watches = [self.watch() for _ in range(number)]

    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def grow(self, blocks: int, *, busy: bool = True) -> None:
        """Mine blocks, in some of them payments."""
        while blocks > 0:
            if not busy or self.random.random() < 0.5:
                empty = self.random.randint(1, blocks)
                self.rpc("anvil_mine", hex(empty))
                blocks -= empty
            else:
                for account in self.random.sample(range(ACCOUNTS), self.random.randint(1, 3)):
                    self.rpc("eth_sendRawTransaction", self.sign(account, self.nonce(account)).raw)
                self.rpc("evm_mine")
                blocks -= 1
        self.final = max(self.final, self.head() - FINAL_AFTER)

    def fork(self) -> None:
        """Replace the newest blocks. Per account its transactions are put back in their order, up to where its luck ends."""
        head = self.head()
        depth = min(self.random.randint(1, DEPTH_MOST), head - self.final)
        gone: dict[int, list[Signed]] = {}
        for number in range(head - depth + 1, head + 1):
            for tx_hash in self.rpc("eth_getBlockByNumber", hex(number), False)["transactions"]:
                gone.setdefault(self.mined[tx_hash].account, []).append(self.mined[tx_hash])
        placed = [pair for signed in gone.values() for pair in self.put_back(signed, depth)]
        self.rpc("anvil_reorg", depth, sorted(placed, key=lambda pair: pair[1]))
        self.history.append(f"fork of {depth}, {sum(map(len, gone.values()))} gone, {len(placed)} put back")
        self.grow(self.random.randint(0, 3))

    def put_back(self, signed: list[Signed], depth: int) -> list[list[Any]]:
        kept = self.random.choice([len(signed), len(signed), self.random.randint(0, len(signed))])
        chosen = signed[:kept]
        if kept < len(signed) and self.random.random() < 0.6:
            chosen.append(self.sign(signed[kept].account, signed[kept].nonce))
        places = sorted(self.random.randrange(depth) for _ in chosen)
        return [[each.raw, place] for each, place in zip(chosen, places, strict=True)]

    def nonce(self, account: int) -> int:
        return int(self.rpc("eth_getTransactionCount", self.accounts[account].address, "latest"), 16)

    def sign(self, account: int, nonce: int) -> Signed:
        to, data = self.payment()
        transaction = {"to": to, "data": data, "nonce": nonce, "gas": GAS, "gasPrice": self.gas_price, "value": 0}
        made = self.accounts[account].sign_transaction(transaction | {"chainId": self.dev.chain_id})
        signed = Signed(account, nonce, made.raw_transaction.to_0x_hex(), made.hash.to_0x_hex())
        self.mined[signed.tx_hash] = signed
        return signed

    def payment(self) -> tuple[str, bytes]:
        """One transfer, or several by a contract that holds coins."""
        holders = [*self.orders, STRANGER]
        amounts = [0, 1, 999, 4_000_000, 6_000_000, 10_000_000, 10_000_000, 25_000_000]
        if self.random.random() < 0.7:
            return self.dev.usdc, call("transfer(address,uint256)", self.random.choice(holders), self.random.choice(amounts))
        count = self.random.randint(1, 4)
        to, units = self.random.choices(holders, k=count), self.random.choices(amounts, k=count)
        return self.batch, call("pay(address,address[],uint256[])", self.dev.usdc, to, units)

    async def round(self) -> None:
        self.now += timedelta(seconds=20)
        gap = self.random.random() < 0.1
        self.grow(self.random.randint(20, 40) if gap else self.random.randint(0, 6), busy=not gap)
        if self.random.random() < 0.5:
            await self.look(self.random.randint(1, 4))
        if self.random.random() < 0.3:
            await self.book()
        if self.random.random() < 0.15:
            await asyncio.gather(self.look(2), asyncio.to_thread(self.fork))
        else:
            self.fork()
        if self.random.random() < 0.15:
            await self.restart(self.random.choice([1, 1, 2]))
        lagging = self.proxies[-1]
        lagging.honest()
        if self.random.random() < 0.3:
            lagging.lie("lag", by=self.random.randint(1, 5))
        if self.random.random() < 0.75:
            await self.look(self.random.randint(1, 4))

    async def look(self, steps: int) -> None:
        for _ in range(steps):
            await asyncio.gather(*map(self.step, self.watches))
        await Desk(self.engine).check()

    async def step(self, watch: Watch) -> None:
        try:
            progress = await watch.step()
        except NodeFault as fault:
            self.history.append(f"fault: {fault}"[:200])
        else:
            self.history.append(f"{progress.did} at {progress.cursor.number if progress.cursor else None}")

    async def book(self) -> None:
        while await book_deposits(self.engine, least={USDC.code: LEAST}, now=self.now):
            pass

    async def settle(self) -> None:
        """Everything becomes final, and everybody catches up."""
        self.proxies[-1].honest()
        self.grow(FINAL_AFTER + 1, busy=False)
        head = self.head()
        for _ in range(SETTLING_MOST):
            self.now += timedelta(seconds=20)
            await self.step(self.watches[0])
            await self.book()
            async with transaction(self.engine) as connection:
                cursor = await read_cursor(connection, chain_id=self.dev.chain_id)
            assert cursor is not None
            assert cursor.halted is None, cursor.halted
            if cursor.at.number == head and cursor.final.number == self.final:
                return
        raise AssertionError(f"no rest: {cursor}")

    async def check(self) -> int:
        logs = self.rpc(
            "eth_getLogs", {"fromBlock": hex(self.started), "toBlock": hex(self.final), "address": self.dev.usdc}
        )
        transfers = [log for log in logs if len(log["topics"]) == 3 and "0x" + log["topics"][2][-40:] in self.orders]
        expected = credits_of(transfers, ours=self.orders, token=self.dev.usdc)
        rows = await Desk(self.engine).deposits()
        final = {
            (row.tx_hash, row.log_index, row.block_number, row.block_hash, row.address.lower(), int(row.units))
            for row in rows
            if row.status == "final"
        }
        assert final == set(expected)
        assert {row.status for row in rows} <= {"final", "orphaned"}
        async with transaction(self.engine) as connection:
            found = {account: money.units for account, money in await balances(connection)}
        assert found == balances_of(expected, orders=self.orders, due=DUE, least=LEAST.units)
        assert any(row.status == "orphaned" for row in rows)
        return len(expected)


@pytest.fixture(scope="module")
def forking_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevChain]:
    """A chain of this module's own: forks would take away what other tests stand on."""
    running = chain.start(folder=tmp_path_factory.mktemp("forking"), tools_folder=tools_cache(), progress=print)
    yield running
    running.node.stop()


@pytest.fixture(scope="module")
def batch(forking_chain: DevChain, solc: Solc) -> str:
    compiled = compile_sources(solc, {"Batch.sol": BATCH}, {"evmVersion": "paris"})
    return to_checksum_address(deploy(forking_chain, compiled["Batch"]["bytecode"]))


@pytest.fixture
def database_url(spare_database: Spare) -> Iterator[str]:
    yield spare_database.take()
    spare_database.give_back()


@pytest.fixture
async def scene(
    forking_chain: DevChain, batch: str, engine: AsyncEngine, request: pytest.FixtureRequest
) -> AsyncIterator[Scene]:
    made = await make_orders(engine, ORDERS, now=NOW, expires_at=NOW + timedelta(days=30))
    async with transaction(engine) as connection:
        ids = {"ids": [order.order_id for order in made]}
        rows = await connection.execute(text("SELECT address, owner FROM deposit_addresses WHERE owner = ANY(:ids)"), ids)
        orders = {row.address.lower(): row.owner for row in rows}
    async with AsyncExitStack() as stack:
        upstream = HttpUpstream(forking_chain.rpc_url)
        stack.push_async_callback(upstream.close)
        proxies = [await stack.enter_async_context(serve(upstream.ask)) for _ in range(3)]
        rpc = stack.enter_context(Rpc(forking_chain.rpc_url))
        scene = Scene(
            dev=forking_chain,
            batch=batch,
            rpc=rpc,
            random=Random(request.node.callspec.params["seed"]),
            engine=engine,
            proxies=proxies,
            orders=orders,
            accounts=[Account.create() for _ in range(ACCOUNTS)],
            gas_price=20 * int(rpc("eth_gasPrice"), 16),
        )
        await scene.begin()
        yield scene
        await scene.restart(0)
        rpc("evm_setAutomine", True)


async def run(scene: Scene, seed: int, *, forks: int) -> None:
    try:
        for _ in range(forks):
            await scene.round()
        await scene.settle()
        assert await scene.check() > LITTLE
    except BaseException:
        print(f"seed {seed}", *scene.history, sep="\n")
        raise


@pytest.mark.parametrize("seed", [0])
async def test_credits_are_those_of_the_last_chain(scene: Scene, seed: int) -> None:
    await run(scene, seed, forks=20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
async def test_after_two_hundred_forks_credits_are_those_of_the_last_chain(scene: Scene, seed: int) -> None:
    await run(scene, seed, forks=50)
