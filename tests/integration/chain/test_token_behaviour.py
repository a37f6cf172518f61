"""Tokens as the world has them, on a real node: what each is worth to an order, and what is nothing to us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.chain.logs import TRANSFER
from gateway.chain.rpc import connect
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.chain.wire import NodeFault
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from gateway.money import Asset
from tests.chain_tools import deploy, mine, transact
from tests.integration.chain.desk import Desk, catch_up
from tests.unit.chain.fake_chain import SENDER, TOKEN, FakeChain, terms, topic, transfer, word

USDC, COIN, OTHER = Asset("USDC@31337", 6), Asset("COIN@31337", 6), Asset("USDC.e@31337", 6)
OURS = "0x" + "a" * 40
BIGGEST = 2**256 - 1
Contracts = Mapping[str, Mapping[str, Any]]


@dataclass
class Scene:
    chain: DevChain
    desk: Desk
    contracts: Contracts
    transport: Any

    async def deploy(self, name: str) -> str:
        return (await asyncio.to_thread(deploy, self.chain, self.contracts[name]["bytecode"])).lower()

    async def tell(self, to: str, signature: str, *arguments: object) -> dict[str, Any]:
        return await asyncio.to_thread(transact, self.chain, to=to, data=call(signature, *arguments))

    async def deposits(self, tokens: Mapping[str, Asset], *deeds: tuple[Any, ...]) -> Sequence[Any]:
        """What a watcher of `tokens` makes of the deeds, all final."""
        whole = ChainTerms(
            name="dev",
            chain_id=self.chain.chain_id,
            rpc=(self.chain.rpc_url,),
            finality=FinalizedTag(),
            start_block=None,
            tokens=dict(tokens),
            poll_s=1,
            native=Asset("ETH@31337", 18),
            treasury=self.chain.treasury,
        )
        watcher = self.desk.watcher(self.transport, whole)
        await catch_up(watcher)
        for deed in deeds:
            await self.tell(*deed)
        await asyncio.to_thread(mine, self.chain, 4)
        await catch_up(watcher)
        await self.desk.check()
        return await self.desk.deposits()


@pytest.fixture
async def scene(devchain: DevChain, desk: Desk, test_contracts: Contracts) -> AsyncIterator[Scene]:
    await desk.know([USDC, COIN, OTHER], [OURS])
    node = connect(devchain.rpc_url)
    yield Scene(chain=devchain, desk=desk, contracts=test_contracts, transport=node._transport)
    await node.disconnect()


def pay(token: str, units: int = 1_000_000) -> tuple[Any, ...]:
    return token, "transfer(address,uint256)", OURS, units


async def funded(scene: Scene, name: str, units: int = 10_000_000) -> str:
    token = await scene.deploy(name)
    await scene.tell(token, "mint(address,uint256)", scene.chain.sender, units)
    return token


async def test_a_token_that_says_no_without_reverting_moves_nothing(scene: Scene) -> None:
    token = await funded(scene, "FalseToken")
    assert await scene.deposits({token: COIN}, pay(token)) == []


async def test_a_token_that_answers_nothing_is_a_deposit_like_any(scene: Scene) -> None:
    token = await funded(scene, "SilentToken")
    (deposit,) = await scene.deposits({token: COIN}, pay(token))
    assert (deposit.asset, deposit.units, deposit.status) == (COIN.code, 1_000_000, "final")


async def test_of_a_token_that_keeps_a_fee_what_arrived_counts(scene: Scene) -> None:
    token = await funded(scene, "FeeToken")
    (deposit,) = await scene.deposits({token: COIN}, pay(token))
    assert (deposit.units, deposit.log_index) == (990_000, 1)


async def test_transfers_of_nothing_are_not_kept(scene: Scene) -> None:
    token = await funded(scene, "GoodToken")
    assert await scene.deposits({token: COIN}, pay(token, 0), pay(token, 0)) == []


async def test_the_same_name_at_another_address_is_nothing_to_us(scene: Scene) -> None:
    costumed = await funded(scene, "CostumedToken")
    assert await scene.deposits({scene.chain.usdc.lower(): USDC}, pay(costumed)) == []


async def test_what_a_contract_calls_itself_is_never_asked(scene: Scene) -> None:
    """Whatever its symbol holds (markup, reversed writing, NUL), ours is the configuration's."""
    asked: list[str] = []

    class Told:
        def __getattr__(self, name: str) -> Any:
            def noted(*arguments: Any) -> Any:
                asked.append(str(arguments))
                return getattr(transport, name)(*arguments)

            return noted

    transport, scene.transport = scene.transport, Told()
    token = await funded(scene, "CostumedToken")
    (deposit,) = await scene.deposits({token: COIN}, pay(token))
    assert deposit.asset == COIN.code
    assert asked
    assert not [one for one in asked if "95d89b41" in one or "06fdde03" in one]  # symbol(), name()


async def test_a_collectors_item_is_no_coin(scene: Scene) -> None:
    item = await scene.deploy("CollectorsItem")
    good = await funded(scene, "GoodToken")
    mint = (item, "mint(address,uint256)", OURS, 5_000_000)
    (deposit,) = await scene.deposits({good: COIN}, mint, pay(good), mint)
    assert deposit.asset == COIN.code


async def test_a_listed_contract_that_turns_out_to_be_one_stops_the_chain_instead_of_guessing(scene: Scene) -> None:
    item = await scene.deploy("CollectorsItem")
    with pytest.raises(NodeFault):
        await scene.deposits({item: COIN}, (item, "mint(address,uint256)", OURS, 5_000_000))
    assert await scene.desk.deposits() == []


@pytest.mark.parametrize("units", [BIGGEST, 2**255, 2**255 + 1, 10**77])
async def test_amounts_up_to_the_largest_that_a_contract_can_name_are_kept_exactly(scene: Scene, units: int) -> None:
    token = await funded(scene, "GoodToken", units)
    (deposit,) = await scene.deposits({token: COIN}, pay(token, units))
    assert deposit.units == units


async def test_native_and_bridged_coins_of_one_name_are_two_assets(scene: Scene) -> None:
    bridged = await funded(scene, "GoodToken")
    tokens = {scene.chain.usdc.lower(): USDC, bridged: OTHER}
    rows = await scene.deposits(tokens, pay(bridged, 7), pay(scene.chain.usdc.lower(), 5))
    assert {row.asset: row.units for row in rows} == {"USDC.e@31337": 7, "USDC@31337": 5}


async def test_a_flood_of_dust_is_as_many_rows_and_no_more_work_than_its_logs(scene: Scene) -> None:
    token = await scene.deploy("DustToken")
    flood = (token, "flood(address,uint256,uint256)", OURS, 1, 500)
    rows = await scene.deposits({token: COIN}, flood)
    assert (len(rows), {row.units for row in rows}, len({row.log_index for row in rows})) == (500, {1}, 500)


async def test_a_paused_token_reverts_and_leaves_no_trace(scene: Scene) -> None:
    usdc = scene.chain.usdc.lower()
    with Rpc(scene.chain.rpc_url) as rpc:
        before = rpc("eth_blockNumber")
    await asyncio.to_thread(transact, scene.chain, to=usdc, data=call("pause()"), sender=scene.chain.issuer)
    assert await scene.deposits({usdc: USDC}, pay(usdc)) == []
    with Rpc(scene.chain.rpc_url) as rpc:
        assert int(rpc("eth_blockNumber"), 16) > int(before, 16)


MALFORMED: dict[str, dict[str, Any]] = {
    "short data": {"data": "0x" + "0" * 62},
    "three words": {"data": "0x" + f"{5:064x}" * 3},
    "no data": {"data": "0x"},
    "data that isn't hex": {"data": "0x" + "g" * 64},
    "four topics": {"topics": [TRANSFER, topic(SENDER), topic(OURS), word(5)], "data": "0x"},
    "four topics and data": {"topics": [TRANSFER, topic(SENDER), topic(OURS), word(5)]},
    "one topic": {"topics": [TRANSFER], "data": "0x" + f"{5:064x}" * 3},
    "two topics": {"topics": [TRANSFER, topic(OURS)]},
    "a recipient longer than an address": {"topics": [TRANSFER, topic(SENDER), "0x1" + topic(OURS)[3:]]},
    "a short recipient": {"topics": [TRANSFER, topic(SENDER), OURS]},
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_log_of_our_token_is_the_nodes_fault(desk: Desk, name: str) -> None:
    await desk.know([USDC], [OURS])
    chain = FakeChain()
    watcher = desk.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS))
    chain.mine(blocks=6)
    chain.lies["eth_getLogs"] = lambda logs: [log | MALFORMED[name] for log in logs]
    with pytest.raises(NodeFault):
        await catch_up(watcher)
    assert await desk.deposits() == []


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_log_of_another_contract_is_nothing_to_us(desk: Desk, name: str) -> None:
    await desk.know([USDC], [OURS])
    chain = FakeChain()
    watcher = desk.watcher(chain, terms())
    await catch_up(watcher)
    chain.mine(transfer(to=OURS, token="0x" + "bb" * 20, **MALFORMED[name]), transfer(to=OURS, units=5))
    chain.mine(blocks=6)
    await catch_up(watcher)
    (deposit,) = await desk.deposits()
    assert (deposit.units, TOKEN in terms().tokens) == (5, True)
