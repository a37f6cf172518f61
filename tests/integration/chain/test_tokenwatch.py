"""What freezes a coin, on a real node with Circle's own USDC and with a token whose issuer can do everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from gateway.chain.models import ChainCursor
from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.rpc import Node, connect
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.chain.tokendesk import StillWrong, freeze_by_hand, lift_by_hand, token_views
from gateway.chain.tokens import TokenMismatch, check_tokens, token_problems
from gateway.chain.tokenwatch import TokenWatch
from gateway.chain.watching import Watching
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call
from gateway.ledger.freezes import FreezeKind, NotFrozen, UnknownAssetCode, frozen, open_freezes
from gateway.ledger.models import AssetFreeze
from gateway.money import Asset
from gateway.operators.actions import ReasonMissing, UnknownOperator
from tests.chain_tools import deploy, issue, transact
from tests.integration.chain.desk import NOW, Desk
from tests.solidity import CONTRACTS, Solc, artifact

USDC, COIN = Asset("USDC@31337", 6), Asset("COIN@31337", 6)
OURS, STRANGER = "0x" + "a" * 40, "0x" + "c" * 40
Contracts = Mapping[str, Mapping[str, Any]]


@dataclass
class Scene:
    chain: DevChain
    desk: Desk
    contracts: Contracts
    node: Node

    def terms(self, tokens: Mapping[str, Asset]) -> ChainTerms:
        return ChainTerms(
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

    def watch(self, tokens: Mapping[str, Asset], *nodes: Node, quorum: int = 1) -> TokenWatch:
        return TokenWatch(
            terms=self.terms(tokens),
            quorum=Quorum(nodes=nodes or [self.node], quorum=quorum),
            engine=self.desk.engine,
            clock=lambda: self.desk.now,
            ours=[self.chain.treasury, self.chain.factory],
        )

    def two_nodes(self) -> list[Node]:
        """Two operators who say the same."""
        return [Node(self.node._transport, name=name) for name in ("one", "two")]

    async def deploy(self, name: str, *arguments: Any) -> str:
        types = ["address"] * len(arguments)
        return (await asyncio.to_thread(deploy, self.chain, self.contracts[name]["bytecode"], types, arguments)).lower()

    async def tell(self, to: str, signature: str, *arguments: object) -> None:
        receipt = await asyncio.to_thread(transact, self.chain, to=to, data=call(signature, *arguments))
        assert receipt["status"] == "0x1"

    async def frozen(self) -> dict[str, str]:
        async with transaction(self.desk.engine) as connection:
            return await frozen(connection)

    async def kinds(self) -> list[FreezeKind]:
        async with transaction(self.desk.engine) as connection:
            return [freeze.kind for freeze in await open_freezes(connection)]

    async def incidents(self) -> int:
        async with transaction(self.desk.engine) as connection:
            count = text("SELECT count(*) FROM incidents WHERE kind = 'asset_frozen' AND closed_at IS NULL")
            return int((await connection.execute(count)).scalar_one())

    async def lift(self, asset: Asset = COIN, *, by: str = "amina", reason: str = "looked at it") -> None:
        async with transaction(self.desk.engine) as connection:
            await lift_by_hand(connection, asset=asset.code, operator=by, reason=reason, now=self.desk.now)


@pytest.fixture
async def scene(devchain: DevChain, desk: Desk, test_contracts: Contracts) -> AsyncIterator[Scene]:
    for table in ("asset_freezes", "token_looks", "incidents"):
        await desk.run(f"DELETE FROM {table}")
    await desk.run(
        "INSERT INTO operators (name, password_hash, created_at) VALUES ('amina', 'x', now()) ON CONFLICT DO NOTHING"
    )
    await desk.know([USDC, COIN], [OURS])
    node = connect(devchain.rpc_url)
    yield Scene(chain=devchain, desk=desk, contracts=test_contracts, node=node)
    await node.disconnect()


def test_the_committed_probe_is_what_its_source_compiles_to(solc: Solc) -> None:
    assert json.loads((CONTRACTS / "TokenProbe.json").read_bytes()) == artifact(solc, "TokenProbe")


async def test_a_coin_that_stays_as_it_is_is_never_frozen(scene: Scene) -> None:
    watch = scene.watch({scene.chain.usdc.lower(): USDC, await scene.deploy("IssuedToken"): COIN})
    assert [await watch.step() for _ in range(3)] == [0, 0, 0]
    assert await scene.frozen() == {}
    async with transaction(scene.desk.engine) as connection:
        views = await token_views(connection, tokens=[(scene.chain.usdc, USDC)])
    assert [(view.asset, view.looked_at, view.findings) for view in views] == [(USDC.code, NOW, ())]


USDC_WORDS = {
    "pause()": (FreezeKind.PAUSED, "has paused", "unpause()"),
    "blacklist(address)": (FreezeKind.BLOCKED, "has blocked our address", "unBlacklist(address)"),
}


@pytest.mark.parametrize("deed", USDC_WORDS)
async def test_what_circle_can_do_to_its_usdc_freezes_it_until_a_person_lifts_it(scene: Scene, deed: str) -> None:
    kind, told, undo = USDC_WORDS[deed]
    about = [scene.chain.treasury] if "address" in deed else []
    watch = scene.watch({scene.chain.usdc.lower(): USDC})
    await watch.step()
    await asyncio.to_thread(issue, scene.chain, deed, *about)
    assert [await watch.step() for _ in range(2)] == [1, 0]
    assert (await scene.kinds(), await scene.incidents()) == ([kind], 1)
    assert told in (await scene.frozen())[USDC.code]
    await asyncio.to_thread(issue, scene.chain, undo, *about)
    assert await watch.step() == 0
    assert await scene.kinds() == [kind]
    await scene.lift(USDC)
    assert [await watch.step(), await scene.frozen()] == [0, {}]


async def test_a_coin_found_paused_or_blocking_us_at_the_first_look_is_frozen(scene: Scene) -> None:
    await asyncio.to_thread(issue, scene.chain, "blacklist(address)", scene.chain.factory)
    await asyncio.to_thread(issue, scene.chain, "pause()")
    assert await scene.watch({scene.chain.usdc.lower(): USDC}).step() == 2
    assert set(await scene.kinds()) == {FreezeKind.PAUSED, FreezeKind.BLOCKED}


async def test_a_new_implementation_of_circles_proxy_freezes(scene: Scene) -> None:
    watch = scene.watch({scene.chain.usdc.lower(): USDC})
    await watch.step()
    other = await scene.deploy("IssuedToken")
    admin = await asyncio.to_thread(proxy_admin, scene.chain)
    upgrade = call("upgradeTo(address)", other)
    receipt = await asyncio.to_thread(transact, scene.chain, to=scene.chain.usdc, data=upgrade, sender=admin)
    assert receipt["status"] == "0x1"
    await watch.step()
    assert "implementation (zos) was 0x" in (await scene.frozen())[USDC.code]
    assert other in (await scene.frozen())[USDC.code]


def proxy_admin(chain: DevChain) -> str:
    """Who may upgrade the dev chain's USDC: the node's ninth account."""
    with Rpc(chain.rpc_url) as rpc:
        return str(rpc("eth_accounts")[8])


DEEDS: dict[str, tuple[list[tuple[Any, ...]], FreezeKind, str]] = {
    "paused": ([("setPaused(bool)", True)], FreezeKind.PAUSED, "has paused"),
    "deprecated": ([("deprecate(address)", STRANGER)], FreezeKind.REPLACED, f"replaced the contract of {COIN.code}"),
    "decimals": ([("setDecimals(uint256)", 18)], FreezeKind.CHANGED, "says 18; the ledger counts 6"),
    "fee": ([("setFee(uint256,uint256)", 10, 50)], FreezeKind.CHANGED, "fee in basis points was 0 and is 10"),
    "largest fee": ([("setFee(uint256,uint256)", 0, 50)], FreezeKind.CHANGED, "largest fee was 0 and is 50"),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_what_an_issuer_does_freezes(scene: Scene, deed: str) -> None:
    calls, kind, told = DEEDS[deed]
    token = await scene.deploy("IssuedToken")
    watch = scene.watch({token: COIN})
    await watch.step()
    for each in calls:
        await scene.tell(token, *each)
    assert await watch.step() > 0
    assert kind in await scene.kinds()
    assert told in (await scene.frozen())[COIN.code]
    assert await scene.incidents() == len(await scene.kinds())


async def test_an_address_that_money_is_arriving_at_is_asked_about_too(scene: Scene) -> None:
    token = await scene.deploy("IssuedToken")
    watch = scene.watch({token: COIN})
    await scene.tell(token, "setBlackListed(address,bool)", OURS, True)
    assert await watch.step() == 0
    await scene.desk.run(
        "INSERT INTO deposits (chain_id, tx_hash, log_index, block_number, block_hash, block_time, asset, sender, address,"
        " units, status, seen_at, updated_at) VALUES (31337, :hash, 0, 1, '0x', now(), :asset, '0x', :address, 5, 'seen',"
        " now(), now())",
        hash="0x" + "1" * 64,
        asset=COIN.code,
        address=OURS,
    )
    assert await watch.step() == 1
    assert OURS in (await scene.frozen())[COIN.code]
    # A person knows of it now: only another address of ours would be news.
    await scene.lift()
    assert await watch.step() == 0


@pytest.mark.parametrize("proxy", ["SwitchProxy", "SwitchBeacon"])
async def test_other_code_behind_a_proxy_freezes_until_a_person_takes_it_for_good(scene: Scene, proxy: str) -> None:
    first, second = await scene.deploy("IssuedToken"), await scene.deploy("IssuedToken")
    switch = await scene.deploy(proxy, first)
    token = switch if proxy == "SwitchProxy" else await scene.deploy("BeaconToken", switch)
    if token == switch:
        await scene.tell(token, "setDecimals(uint256)", 6)
    watch = scene.watch({token: COIN})
    await watch.step()
    await scene.tell(switch, "upgradeTo(address)", second)
    assert await watch.step() == 1
    assert f"implementation was {first} and is {second}" in (await scene.frozen())[COIN.code]
    await scene.lift()
    assert [await watch.step(), await scene.frozen()] == [0, {}]
    await scene.tell(switch, "upgradeTo(address)", first)
    assert await watch.step() == 1


async def test_decimals_that_change_behind_a_proxy_can_not_be_thawed(scene: Scene) -> None:
    token = await scene.deploy("SwitchProxy", await scene.deploy("IssuedToken"))
    await scene.tell(token, "setDecimals(uint256)", 6)
    watch = scene.watch({token: COIN})
    await watch.step()
    await scene.tell(token, "setDecimals(uint256)", 18)
    await watch.step()
    with pytest.raises(StillWrong, match="says 18; the ledger counts 6"):
        await scene.lift()
    assert COIN.code in await scene.frozen()
    await scene.tell(token, "setDecimals(uint256)", 6)
    with pytest.raises(StillWrong):
        await scene.lift()
    await watch.step()
    await scene.lift()
    assert await scene.frozen() == {}


async def test_another_contract_under_the_same_name_freezes(scene: Scene) -> None:
    first, second = await scene.deploy("IssuedToken"), await scene.deploy("IssuedToken")
    await scene.watch({first: COIN}).step()
    assert await scene.watch({second: COIN}).step() == 1
    assert f"address was {first} and is {second}" in (await scene.frozen())[COIN.code]


async def test_all_slots_of_another_contract_are_read_before_it_is_taken_for_good(scene: Scene) -> None:
    plain, code = await scene.deploy("IssuedToken"), await scene.deploy("IssuedToken")
    proxy = await scene.deploy("SwitchProxy", code)
    await scene.tell(proxy, "setDecimals(uint256)", 6)
    await scene.watch({plain: COIN}).step()
    watch = scene.watch({proxy: COIN})
    assert [await watch.step() for _ in range(2)] == [1, 0]
    await scene.lift()
    assert await watch.step() == 0
    await scene.tell(proxy, "upgradeTo(address)", plain)
    assert await watch.step() == 1


async def test_a_contract_that_is_gone_or_never_was_freezes(scene: Scene) -> None:
    assert await scene.watch({STRANGER: COIN}).step() == 1
    assert "There is no contract" in (await scene.frozen())[COIN.code]


async def test_a_token_that_burns_gas_and_answers_with_bombs_is_read_all_the_same(scene: Scene) -> None:
    token = await scene.deploy("TiringToken")
    watch = scene.watch({token: COIN})
    assert [await watch.step() for _ in range(2)] == [0, 0]
    # A question that burns all its gas has no answer, 300 kB begin with a word that says no, and 31 bytes are no word.
    assert await scene.frozen() == {}


async def test_one_lying_node_of_three_freezes_nothing_and_hides_nothing(scene: Scene) -> None:
    class Liar(Node):
        async def ask(self, method: str, params: Any) -> object:
            answer = await super().ask(method, params)
            return "0x" + "0" * (len(str(answer)) - 2) if method == "eth_call" else answer

    token = await scene.deploy("IssuedToken")
    liar = Liar(scene.node._transport, name="liar")
    watch = scene.watch({token: COIN}, liar, *scene.two_nodes(), quorum=2)
    assert await watch.step() == 0
    await scene.tell(token, "setPaused(bool)", True)
    assert await watch.step() == 1
    with pytest.raises(NoQuorum):
        await scene.watch({token: COIN}, liar, scene.node, quorum=2).step()


async def test_a_token_that_the_nodes_do_not_agree_on_keeps_no_other_from_being_looked_at(scene: Scene) -> None:
    good = await scene.deploy("IssuedToken")
    await scene.tell(good, "setPaused(bool)", True)

    class Half(Node):
        async def ask(self, method: str, params: Any) -> object:
            if method == "eth_call" and scene.chain.usdc[2:].lower() in params[0]["data"]:
                raise NodeFault("no answer")
            return await super().ask(method, params)

    watch = scene.watch({scene.chain.usdc.lower(): USDC, good: COIN}, Half(scene.node._transport))
    with pytest.raises(NodeFault):
        await watch.step()
    assert list(await scene.frozen()) == [COIN.code]


async def test_at_the_start_a_token_with_other_decimals_is_refused_by_enough_nodes(scene: Scene) -> None:
    token = await scene.deploy("IssuedToken")
    eighteen = {token: Asset("USDT@31337", 18), scene.chain.usdc.lower(): USDC}
    quorum = Quorum(nodes=scene.two_nodes(), quorum=2)
    with pytest.raises(TokenMismatch, match="Write decimals = 6 instead of 18"):
        await check_tokens(quorum, terms=scene.terms(eighteen))
    await check_tokens(quorum, terms=scene.terms({token: COIN, scene.chain.usdc.lower(): USDC}))
    assert await token_problems(scene.node, tokens={STRANGER: COIN}) == [
        f"token {STRANGER}: there is no contract. Correct address, or take the token out."
    ]


async def test_only_a_named_person_with_a_reason_freezes_and_lifts(scene: Scene) -> None:
    async def stop(asset: str = COIN.code, by: str = "amina", reason: str = "depeg") -> bool:
        async with transaction(scene.desk.engine) as connection:
            return await freeze_by_hand(connection, asset=asset, operator=by, reason=reason, now=NOW)

    with pytest.raises(UnknownOperator):
        await stop(by="nobody")
    with pytest.raises(ReasonMissing):
        await stop(reason=" ")
    with pytest.raises(UnknownAssetCode):
        await stop(asset="USDX@31337")
    assert await scene.frozen() == {}
    assert [await stop(), await stop()] == [True, False]
    assert (await scene.frozen())[COIN.code] == "amina stopped it: depeg"
    with pytest.raises(UnknownOperator):
        await scene.lift(by="nobody")
    with pytest.raises(ReasonMissing):
        await scene.lift(reason="")
    assert await scene.kinds() == [FreezeKind.BY_HAND]
    scene.desk.now += timedelta(hours=1)
    await scene.lift()
    with pytest.raises(NotFrozen):
        await scene.lift()
    (row,) = await scene.desk.rows(AssetFreeze)
    assert (row.lifted_by, row.lifted_at - row.frozen_at) == ("amina", timedelta(hours=1))


async def ended(loop: Watching | TokenWatch) -> None:
    attending = asyncio.create_task(loop.attend(asyncio.Event()))
    await asyncio.sleep(0)
    attending.cancel()
    await asyncio.gather(attending, return_exceptions=True)


async def test_a_chain_with_a_token_of_other_decimals_is_not_worked_on(scene: Scene) -> None:
    token = await scene.deploy("IssuedToken")

    def watching(decimals: int) -> Watching:
        return Watching(
            terms=scene.terms({token: Asset("COIN@31337", decimals)}),
            engine=scene.desk.engine,
            clock=lambda: scene.desk.now,
            watched=Watchlist(scene.desk.engine),
        )

    wrong = watching(18)
    for _ in range(2):
        with pytest.raises(TokenMismatch, match="Write decimals = 6 instead of 18"):
            await wrong.step()
    assert await scene.desk.rows(ChainCursor) == []
    await ended(wrong)
    right = watching(6)
    await right.step()
    assert await scene.desk.rows(ChainCursor)
    await ended(right)


async def test_a_watch_connects_by_itself_and_closes_when_the_loop_ends(scene: Scene) -> None:
    token = await scene.deploy("IssuedToken")
    watch = TokenWatch(
        terms=scene.terms({token: COIN}),
        engine=scene.desk.engine,
        clock=lambda: scene.desk.now,
        ours=[scene.chain.treasury],
    )
    assert await watch.step() == 0
    (node,) = watch._quorum.nodes
    await ended(watch)
    assert node._transport._session is None  # type: ignore[attr-defined]
