"""Coins that no watcher sees, on a real node: native ones however they came, unlisted tokens, known ones not taken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from gateway.chain.forwarders import NO_ADDRESS
from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.rpc import Node
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.desk.judge import Kind
from gateway.desk.scan import NotOurs, address_of, look_at
from gateway.desk.strays import RECENT, StraySearch
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from gateway.money import Asset, Money
from tests.chain_tools import deal_native, deal_usdc, deploy, mine, transact
from tests.factories import NOW, USDC
from tests.integration.desk.office import Office

ETH, BRIDGED = Asset("ETH@31337", 18), Asset("USDC.e@31337", 6)


@dataclass
class Scene:
    office: Office
    chain: DevChain
    terms: ChainTerms
    quorum: Quorum
    known: dict[str, Asset]

    def search(self, **changes: Any) -> StraySearch:
        parts: dict[str, Any] = {
            "terms": self.terms,
            "quorum": self.quorum,
            "engine": self.office.engine,
            "clock": lambda: NOW,
            "known": self.known,
        }
        return StraySearch(**parts | changes)

    async def order(self) -> tuple[Any, str]:
        order = await self.office.order()
        return order, str(await self.office.one("SELECT deposit_address FROM orders WHERE id = :id", id=order.order_id))

    async def settle(self) -> int:
        """What the watcher knows after all blocks so far have become final."""
        mine(self.chain, 70)
        with Rpc(self.chain.rpc_url) as rpc:
            final = int(rpc("eth_getBlockByNumber", "finalized", False)["number"], 16)
        await self.office.run(
            "INSERT INTO chain_cursors VALUES (31337, :n, '0x', :n, '0x', NULL, :now) "
            "ON CONFLICT (chain_id) DO UPDATE SET number = :n, finalized_number = :n",
            n=final,
            now=NOW,
        )
        return final

    async def found(self) -> list[tuple[Kind, str, str]]:
        return [(one.kind, one.order_id, str(one.amount)) for one in await self.office.list()]


@pytest.fixture
async def scene(office: Office, devchain: DevChain):
    terms = ChainTerms(
        name="dev",
        chain_id=31337,
        rpc=(devchain.rpc_url,),
        finality=FinalizedTag(),
        start_block=1,
        tokens={devchain.usdc.lower(): USDC},
        poll_s=1,
        native=ETH,
        treasury=devchain.treasury,
    )
    quorum = connect_all(terms)
    yield Scene(office, devchain, terms, quorum, {NO_ADDRESS: ETH})
    await quorum.close()


async def run(search: StraySearch) -> int:
    total = 0
    for _ in range(50):
        if not (did := await search.step()):
            return total
        total += did
    pytest.fail("no rest")


async def test_the_native_coin_is_found_however_it_came_and_once(scene: Scene, test_wallets: Any) -> None:
    (first, to_first), (second, to_second) = await scene.order(), await scene.order()
    await scene.settle()
    await run(scene.search())
    assert await scene.found() == []
    deal_native(scene.chain, to_first, 5)
    router = deploy(scene.chain, test_wallets["Router"]["bytecode"])
    passed = transact(scene.chain, to=router, data=call("pass(address)", to_second), value=7)
    assert passed["status"] == "0x1"
    await run(scene.search())
    assert await scene.found() == []  # not final yet
    await scene.settle()
    await asyncio.gather(*(run(scene.search()) for _ in range(5)))
    await run(scene.search())
    eth = "0.000000000000000005 ETH", "0.000000000000000007 ETH"
    assert await scene.found() == [(Kind.NATIVE, first.order_id, eth[0]), (Kind.NATIVE, second.order_id, eth[1])]
    deal_native(scene.chain, to_first, 1)
    await scene.settle()
    await run(scene.search())
    books = await scene.office.books()
    assert books == {
        "chain:31337 ETH@31337": "-0.000000000000000013",
        "order:0:unallocated ETH@31337": "0.000000000000000006",
        "order:1:unallocated ETH@31337": "0.000000000000000007",
    }


async def test_what_a_sweep_took_is_not_taken_for_gone_nor_what_came_after_for_old(scene: Scene) -> None:
    _, to = await scene.order()
    deal_native(scene.chain, to, 5)
    await scene.settle()
    await run(scene.search())
    office = scene.office
    await office.run("INSERT INTO sweeps (id, chain_id, created_at) VALUES ('s', 31337, :now)", now=NOW)
    await office.run(
        "INSERT INTO sweep_items (sweep_id, chain_id, address, token, state, updated_at) "
        "VALUES ('s', 31337, :a, :t, 'open', :now)",
        a=to,
        t=NO_ADDRESS,
        now=NOW,
    )
    with Rpc(scene.chain.rpc_url) as rpc:
        rpc("anvil_setBalance", to, hex(2))  # a sweep took five, then two came
    block = await scene.settle()
    await run(scene.search())
    assert await office.one("SELECT count(*) FROM strays") == 1  # while it is open nothing is counted
    await office.run(
        "UPDATE sweep_items SET state = 'flushed', sent = 5, arrived = 5, tx_hash = '0x1', log_index = 0, block_number = :n",
        n=block - 1,
    )
    await run(scene.search())
    await run(scene.search())
    units = await office.run("SELECT units FROM strays ORDER BY block_number")
    assert [int(row.units) for row in units] == [5, 2]
    assert await office.one("SELECT count(*) FROM incidents") == 0


async def test_a_coin_that_went_by_another_hand_is_an_alarm(scene: Scene) -> None:
    _, to = await scene.order()
    deal_native(scene.chain, to, 5)
    await scene.settle()
    await run(scene.search())
    with Rpc(scene.chain.rpc_url) as rpc:
        rpc("anvil_setBalance", to, hex(1))
    await scene.settle()
    for _ in range(2):
        await run(scene.search())
    [incident] = await scene.office.run("SELECT kind, detail FROM incidents")
    assert (incident.kind, incident.detail["units"]) == ("native_coin_gone", "4")


async def test_tokens_are_found_by_their_logs(scene: Scene, test_contracts: Any, test_wallets: Any) -> None:
    _, to = await scene.order()
    unlisted, bridged = (deploy(scene.chain, test_contracts["GoodToken"]["bytecode"]) for _ in range(2))
    scene.known[bridged.lower()] = BRIDGED
    for token, units in ((unlisted, 2**255), (bridged, 4_000_000), (bridged, 0)):
        minted = transact(scene.chain, to=token, data=call("mint(address,uint256)", to, units))
        assert minted["status"] == "0x1"
    deal_usdc(scene.chain, to, 9_000_000)
    emitter = deploy(scene.chain, test_wallets["Emitter"]["bytecode"])
    assert transact(scene.chain, to=emitter, data=call("nft(address)", to))["status"] == "0x1"
    await scene.settle()
    await asyncio.gather(*(run(scene.search()) for _ in range(3)))
    found = {one.kind: one for one in await scene.office.list()}
    assert found.keys() == {Kind.UNSUPPORTED_TOKEN, Kind.WRONG_TOKEN}
    assert found[Kind.UNSUPPORTED_TOKEN].token.lower() == unlisted.lower()
    assert found[Kind.WRONG_TOKEN].amount == Money(4_000_000, BRIDGED)
    assert await scene.office.books() == {
        "chain:31337 USDC.e@31337": "-4.000000",
        "order:0:unallocated USDC.e@31337": "4.000000",
    }
    assert await scene.office.one("SELECT count(*) FROM strays") == 2


async def test_only_recent_and_lasting_orders_are_searched_unasked_and_any_when_asked(
    scene: Scene, test_contracts: Any
) -> None:
    order, to = await scene.order()
    held, to_held = await scene.order()
    await scene.office.run("UPDATE orders SET state = 'held' WHERE id = :id", id=held.order_id)
    token = deploy(scene.chain, test_contracts["GoodToken"]["bytecode"])
    for address in (to, to_held):
        transact(scene.chain, to=token, data=call("mint(address,uint256)", address, 3))
        deal_native(scene.chain, address, 3)
    last = await scene.settle()
    later = scene.search(clock=lambda: NOW + RECENT * 2)
    await run(later)
    assert {one.order_id for one in await scene.office.list()} == {held.order_id}
    new = await later.look(address=to, first=1, last=last)
    assert new == 2
    assert await later.look(address=to, first=1, last=last) == 0
    assert {one.order_id for one in await scene.office.list()} == {held.order_id, order.order_id}


async def test_a_node_that_fails_moves_nothing_and_is_asked_for_less(scene: Scene) -> None:
    await scene.order()
    await scene.settle()
    asked: list[int] = []

    class Tired:
        async def ask(self, method: str, params: Any) -> object:
            if method == "eth_getLogs":
                asked.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
            raise NodeFault("too much")

        fetch = ask

        async def disconnect(self) -> None:
            return None

    search = scene.search(quorum=Quorum(nodes=[Node(Tired(), name="tired")], quorum=1))  # type: ignore[arg-type]
    search._range = 64
    for _ in range(3):
        with pytest.raises(NodeFault):
            await search.step()
    assert asked == [64, 32, 16]
    after = await scene.office.run("SELECT number FROM stray_cursors")
    assert [tuple(row) for row in after] == [(0,)]


async def test_a_halted_chain_or_one_that_was_never_watched_is_not_searched(scene: Scene) -> None:
    await scene.order()
    assert await scene.search().step() == 0
    await scene.settle()
    await scene.office.run("UPDATE chain_cursors SET halted = 'x'")
    assert await scene.search().step() == 0
    assert await scene.office.run("SELECT * FROM stray_cursors") == []


async def test_a_person_looks_at_one_address_on_a_chain_now(scene: Scene, test_contracts: Any) -> None:
    order, to = await scene.order()
    async with transaction(scene.office.engine) as connection:
        assert await address_of(connection, what=order.order_id) == to
        assert await address_of(connection, what=to.upper().replace("0X", "0x")) == to
        with pytest.raises(NotOurs):
            await address_of(connection, what="0x" + "12" * 20)
    unseen = await look_at(scene.office.engine, terms=scene.terms, address=to, clock=lambda: NOW)
    assert (unseen.block, unseen.new) == (None, 0)
    deal_native(scene.chain, to, 5)
    deal_usdc(scene.chain, to, 9_000_000)
    token = deploy(scene.chain, test_contracts["GoodToken"]["bytecode"])
    transact(scene.chain, to=token, data=call("mint(address,uint256)", to, 3))
    last = await scene.settle()
    look = await look_at(scene.office.engine, terms=scene.terms, address=to, clock=lambda: NOW)
    assert (look.block, look.new) == (last, 2)
    assert set(look.holds) == {Money(9_000_000, USDC), Money(5, ETH)}
    again = await look_at(scene.office.engine, terms=scene.terms, address=to, clock=lambda: datetime.now(UTC))
    assert again.new == 0


async def test_what_the_watcher_books_later_is_not_booked_twice(scene: Scene, test_contracts: Any) -> None:
    """The operator takes a coin that was found as a stray, and has its blocks scanned again."""
    order, to = await scene.order()
    token = deploy(scene.chain, test_contracts["GoodToken"]["bytecode"])
    scene.known[token.lower()] = BRIDGED
    transact(scene.chain, to=token, data=call("mint(address,uint256)", to, 4_000_000))
    await scene.settle()
    await run(scene.search())
    books = await scene.office.books()
    [stray] = await scene.office.run("SELECT identity, block_number FROM strays")
    tx_hash, _, log_index = stray.identity.partition(":")
    row = await scene.office.pay(order, asset=BRIDGED, units=4_000_000, status="seen")
    async with transaction(scene.office.engine) as connection:
        await connection.execute(
            text("UPDATE deposits SET status = 'final', tx_hash = :h, log_index = :i WHERE tx_hash = :old"),
            {"h": tx_hash, "i": int(log_index), "old": row["tx_hash"]},
        )
    await scene.office.pay(order, units=1, block=9)
    after = await scene.office.books()
    assert {name: amount for name, amount in after.items() if "USDC.e" in name} == books
