"""The watcher on a real node with a real USDC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from gateway.chain.check import check_chain
from gateway.chain.forwarders import forwarder_address, salt_of
from gateway.chain.models import ChainCursor, ChainLease
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node, connect
from gateway.chain.terms import ChainTerms, Depth, Finality, FinalizedTag
from gateway.chain.watcher import Did, Watcher
from gateway.chain.watching import Watching
from gateway.chain.watchlist import Watchlist
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from gateway.money import Asset
from gateway.worker.loops import Loop, Worker
from tests.chain_tools import deploy, mine, reorg, transact
from tests.integration.chain.desk import NOW, Desk, catch_up

USDC = Asset("USDC@31337", 6)
OURS, OTHER_OURS, STRANGER = (f"0x{'abc'[n] * 40}" for n in range(3))
DEEP = Depth(30)
_amounts = count(1)


def transfer(to: str, units: int = 10_000_000) -> bytes:
    return call("transfer(address,uint256)", to, units)


@dataclass
class Scene:
    chain: DevChain
    desk: Desk
    node: Node

    def terms(self, finality: Finality | None = None, **changes: Any) -> ChainTerms:
        whole: dict[str, Any] = {
            "name": "dev",
            "chain_id": self.chain.chain_id,
            "rpc": (self.chain.rpc_url,),
            "finality": finality or FinalizedTag(),
            "start_block": None,
            "tokens": {self.chain.usdc.lower(): USDC},
            "poll_s": 1,
            "native": Asset(f"ETH@{self.chain.chain_id}", 18),
            "treasury": self.chain.treasury,
        }
        return ChainTerms(**whole | changes)

    def watcher(self, finality: Finality | None = None) -> Watcher:
        return self.desk.watcher_of(Quorum(nodes=[self.node], quorum=1), self.terms(finality))

    async def pay(self, to: str = OURS, units: int = 10_000_000) -> dict[str, Any]:
        return await asyncio.to_thread(transact, self.chain, to=self.chain.usdc, data=transfer(to, units))

    async def mine(self, blocks: int = 1) -> None:
        await asyncio.to_thread(mine, self.chain, blocks)

    async def reorg(self, first: int, *transactions: tuple[str, int]) -> None:
        """Replace the blocks from `first` on. `transact` may make an empty block too, so depths aren't known."""
        with Rpc(self.chain.rpc_url) as rpc:
            head = int(rpc("eth_blockNumber"), 16)
        await asyncio.to_thread(reorg, self.chain, head - first + 1, transactions)

    def sign(self, data: bytes, *, nonce: int) -> str:
        """A transaction of the sender to the USDC, signed and not sent."""
        with Rpc(self.chain.rpc_url) as rpc:
            price = rpc("eth_gasPrice")
            return str(
                rpc(
                    "eth_signTransaction",
                    {
                        "from": self.chain.sender,
                        "to": self.chain.usdc,
                        "data": "0x" + data.hex(),
                        "nonce": hex(nonce),
                        "gas": hex(200_000),
                        "gasPrice": hex(10 * int(price, 16)),
                        "value": "0x0",
                        "chainId": hex(self.chain.chain_id),
                    },
                )
            )

    def nonce(self) -> int:
        with Rpc(self.chain.rpc_url) as rpc:
            return int(rpc("eth_getTransactionCount", self.chain.sender, "latest"), 16)

    def send_raw(self, raw: str) -> str:
        with Rpc(self.chain.rpc_url) as rpc:
            return str(rpc("eth_sendRawTransaction", raw))


@pytest.fixture
async def scene(devchain: DevChain, desk: Desk) -> AsyncIterator[Scene]:
    await desk.know([USDC], [OURS, OTHER_OURS, devchain.treasury.lower()])
    node = connect(devchain.rpc_url)
    scene = Scene(chain=devchain, desk=desk, node=node)
    # Anvil can't reorganise down to a block that `evm_revert` has touched: neither the one it went back to, nor one that was
    # undone and comes again. So each test stands on a block that never was before.
    await scene.pay(STRANGER, units=next(_amounts))
    yield scene
    await node.disconnect()


async def test_a_real_transfer_is_seen_then_final(scene: Scene) -> None:
    watcher = scene.watcher()
    await catch_up(watcher)
    receipt = await scene.pay(units=12_345_678)
    await catch_up(watcher)
    seen = await scene.desk.deposit()
    assert (seen.tx_hash, seen.block_hash) == (receipt["transactionHash"], receipt["blockHash"])
    assert (seen.log_index, seen.block_number) == (0, int(receipt["blockNumber"], 16))
    assert (seen.asset, seen.units, seen.sender) == (USDC.code, 12_345_678, scene.chain.sender.lower())
    assert (seen.address, seen.status) == (OURS, "seen")
    assert abs(seen.block_time - datetime.now(UTC)).total_seconds() < 3_600
    await scene.mine(2)
    await catch_up(watcher)
    assert (await scene.desk.deposit()).status == "final"
    await scene.desk.check()


async def test_one_sweep_is_many_deposits_to_its_receiver(scene: Scene) -> None:
    salts = [salt_of(f"ord_{n}") for n in range(3)]
    for salt in salts:
        await scene.pay(forwarder_address(factory=scene.chain.factory, salt=salt))
    watcher = scene.watcher()
    await catch_up(watcher)
    sweep = call("sweep(bytes32[],address[])", salts, [scene.chain.usdc])
    receipt = await asyncio.to_thread(transact, scene.chain, to=scene.chain.factory, data=sweep)
    await catch_up(watcher)
    rows = await scene.desk.deposits()
    assert {row.tx_hash for row in rows} == {receipt["transactionHash"]}
    assert len({row.log_index for row in rows}) == len(rows) == 3
    assert sum(row.units for row in rows) == 30_000_000


async def test_nothing_else_is_a_deposit(scene: Scene, test_contracts: Mapping[str, Mapping[str, Any]]) -> None:
    """A look-alike's coins, transfers of nothing, to others, failed and never mined."""
    fake = await asyncio.to_thread(deploy, scene.chain, test_contracts["GoodToken"]["bytecode"])
    watcher = scene.watcher()
    await catch_up(watcher)
    mint = call("mint(address,uint256)", OURS, 10_000_000)
    assert (await asyncio.to_thread(transact, scene.chain, to=fake, data=mint))["logs"]
    assert (await scene.pay(units=0))["logs"]
    await scene.pay(STRANGER)
    assert (await scene.pay(units=10**30))["status"] == "0x0"
    await asyncio.to_thread(transact, scene.chain, to=OURS, value=10**18)
    await catch_up(watcher)
    await scene.mine(4)
    await catch_up(watcher)
    assert await scene.desk.deposits() == []
    await scene.desk.check()


async def test_a_transaction_dropped_by_a_reorganisation_is_no_deposit_any_more(scene: Scene) -> None:
    watcher = scene.watcher(DEEP)
    await catch_up(watcher)
    await scene.pay()
    await scene.mine()
    await catch_up(watcher)
    await scene.reorg((await scene.desk.deposit()).block_number)
    steps = await catch_up(watcher)
    assert steps[0].did is Did.REWOUND
    assert (await scene.desk.deposit()).status == "orphaned"
    await scene.desk.check()


async def test_the_same_transaction_mined_in_another_block_is_one_deposit(scene: Scene) -> None:
    watcher = scene.watcher(DEEP)
    await catch_up(watcher)
    raw = scene.sign(transfer(OURS), nonce=scene.nonce())
    tx_hash = scene.send_raw(raw)
    await scene.mine(2)
    await catch_up(watcher)
    first = await scene.desk.deposit()
    await scene.reorg(first.block_number, (raw, 2))
    await catch_up(watcher)
    again = await scene.desk.deposit()
    assert (first.tx_hash, again.tx_hash, again.status) == (tx_hash, tx_hash, "seen")
    assert again.block_number == first.block_number + 2
    await scene.mine(30)
    await catch_up(watcher)
    assert (await scene.desk.deposit()).status == "final"
    await scene.desk.check()


async def test_a_rival_transaction_voids_the_first_and_is_judged_alone(scene: Scene) -> None:
    watcher = scene.watcher(DEEP)
    await catch_up(watcher)
    nonce = scene.nonce()
    first = scene.send_raw(scene.sign(transfer(OURS), nonce=nonce))
    await scene.mine()
    await catch_up(watcher)
    rival_raw = scene.sign(transfer(OTHER_OURS, 3_000_000), nonce=nonce)
    await scene.reorg((await scene.desk.deposit()).block_number, (rival_raw, 0))
    await catch_up(watcher)
    rows = {row.tx_hash: row for row in await scene.desk.deposits()}
    assert rows.pop(first).status == "orphaned"
    (rival,) = rows.values()
    assert (rival.address, rival.units, rival.status) == (OTHER_OURS, 3_000_000, "seen")


@pytest.mark.parametrize("empty", [0, 25])
async def test_a_reorganisation_while_no_watcher_ran_is_found(scene: Scene, empty: int) -> None:
    finality = Depth(80)
    await catch_up(scene.watcher(finality))
    await scene.pay()
    await scene.mine(empty)
    await catch_up(scene.watcher(finality))
    await scene.reorg((await scene.desk.deposit()).block_number)
    await scene.mine(5)
    await scene.pay(OTHER_OURS)
    steps = await catch_up(scene.watcher(finality))
    assert steps[0].did is Did.REWOUND
    assert {row.address: row.status for row in await scene.desk.deposits()} == {OURS: "orphaned", OTHER_OURS: "seen"}
    await scene.desk.check()


async def test_a_change_below_the_finalized_block_halts(scene: Scene) -> None:
    watcher = scene.watcher()
    await catch_up(watcher)
    await scene.pay()
    await scene.mine(4)
    await catch_up(watcher)
    before = await scene.desk.deposits()
    # From the payment's block on: empty blocks in place of empty ones could be the very same.
    await scene.reorg(before[0].block_number)
    await scene.mine(6)
    assert (await catch_up(watcher))[-1].did is Did.HALTED
    assert (await scene.desk.cursor()).halted
    assert await scene.desk.deposits() == before


async def test_two_watchers_of_a_busy_chain_write_each_deposit_once(scene: Scene) -> None:
    watchers = [scene.watcher(DEEP) for _ in range(3)]
    await catch_up(watchers[0])
    for _ in range(10):
        await scene.pay()
    await asyncio.gather(*map(catch_up, watchers))
    assert len(await scene.desk.deposits()) == 10
    await scene.desk.check()


async def test_an_announced_block_is_looked_at_without_waiting_for_the_next_poll(scene: Scene, database_url: str) -> None:
    """The loop as the worker runs it: lease, nodes, announcements, steps; it would look again in an hour by itself."""
    terms = scene.terms(heads=(scene.chain.rpc_url.replace("http", "ws", 1),))
    watching = Watching(terms=terms, engine=scene.desk.engine, clock=lambda: NOW, watched=Watchlist(scene.desk.engine))
    loop = Loop("chain", watching.step, idle=timedelta(hours=1), wakes=False, beside=watching.attend)
    worker = asyncio.create_task(Worker(loops=(loop,), database_url=database_url).run())
    async with asyncio.timeout(20):
        while not await scene.desk.rows(ChainCursor):
            await asyncio.sleep(0.01)
        for _ in range(2):
            await scene.pay()
        while len(await scene.desk.deposits()) < 2:
            await asyncio.sleep(0.01)
    assert await scene.desk.rows(ChainLease)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert await scene.desk.rows(ChainLease) == []


async def test_a_quorum_of_nodes_of_which_one_is_down(scene: Scene) -> None:
    """The same node under two names is two voices here; the third name leads to nobody."""
    nodes = [connect(scene.chain.rpc_url), connect(scene.chain.rpc_url), connect("http://127.0.0.1:1/")]
    for name, node in zip("abc", nodes, strict=True):
        node.name = name
    quorum = Quorum(nodes=[nodes[2], *nodes[:2]], quorum=2)
    watcher = scene.desk.watcher_of(quorum, scene.terms())
    await catch_up(watcher)
    await scene.pay()
    await catch_up(watcher)
    assert (await scene.desk.deposit()).status == "seen"
    assert [node.name for node in quorum.nodes] == ["a", "b"]
    await quorum.close()


async def test_a_right_configuration_has_no_problems(scene: Scene) -> None:
    heads = (scene.chain.rpc_url.replace("http", "ws", 1),)
    assert await check_chain(scene.terms(heads=heads)) == []


async def test_a_wrong_configuration_is_told_key_by_key(scene: Scene) -> None:
    usdc, eighteen = scene.chain.usdc.lower(), Asset("USDC@31337", 18)
    wrong = {
        "decimals = 6": {"tokens": {usdc: eighteen}},
        "there is no contract": {"tokens": {usdc: USDC, STRANGER: USDC}},
        "Correct address": {"tokens": {scene.chain.factory.lower(): USDC}},
        "chain_id = 1": {"chain_id": 1},
        "rpc[1]": {"rpc": (scene.chain.rpc_url, "http://127.0.0.1:1/")},
    }
    for told, change in wrong.items():
        (problem,) = await check_chain(scene.terms(**change))
        assert problem.startswith("rpc[")
        assert told in problem
