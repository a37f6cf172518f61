"""Refunds of real coins on a real node: sent once, to the confirmed address, whatever dies on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.watcher import Watcher
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.devchain.chain import DevChain
from gateway.devchain.stablecoin import call
from gateway.money import Money
from gateway.refunds import send, settle
from gateway.refunds.wallets import Coin, Wallet, Wallets
from tests.chain_tools import balance, deal_usdc, deploy, issue, mine, transact
from tests.factories import USDC, make_orders
from tests.integration.chain.desk import catch_up
from tests.integration.chain.payer import Killed, Payer, make_payer
from tests.integration.refunds.house import CHAIN, House

STEPS_MOST = 30
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
"""Quotes of that day have expired, by the time of every block."""


class Scene(House):
    """Refunds with a node, a funded wallet and a sender."""

    payer: Payer
    sender: str

    @property
    def chain(self) -> DevChain:
        return self.payer.chain

    async def settle(self) -> int:
        wallet = self.wallets.by_chain[CHAIN]
        read = settle.receipts_from(self.payer.quorum, address=wallet.address)
        return await settle.settle_refunds(self.engine, chain_id=CHAIN, read=read, clock=lambda: self.now)

    async def round(self) -> None:
        """What the loops do in one round."""
        self.payer.later()
        self.now = self.payer.now
        await self.send()
        await self.payer.submitter().step()
        await self.settle()

    async def finish(self, refund_id: str) -> str:
        """Round and mine until it is closed; how it ended."""
        for _ in range(STEPS_MOST):
            await self.round()
            refund = await self.see(refund_id)
            if refund.closed_at is not None:
                return refund.outcome
            await asyncio.to_thread(mine, self.chain, 1)
        raise AssertionError(f"still open after {STEPS_MOST} rounds: {refund}")

    def coins(self, holder: str, token: str | None = None) -> int:
        return balance(self.chain, holder, token or self.chain.usdc)


def wallets_of(payer: Payer, token: str) -> Wallets:
    coin = Coin(asset=USDC, contract=token, per_day=Money(10**12, USDC))
    wallet = Wallet(chain_id=CHAIN, address=payer.sender, treasury=payer.chain.treasury, coins={USDC.code: coin})
    return Wallets(by_chain={CHAIN: wallet}, ours=frozenset({payer.sender.lower(), token.lower()}))


@pytest.fixture
async def scene(devchain: DevChain, engine: AsyncEngine) -> AsyncIterator[Scene]:
    payer = make_payer(devchain, engine)
    scene = Scene(engine, wallets=wallets_of(payer, devchain.usdc))
    scene.payer, scene.sender = payer, Account.create().address
    deal_usdc(devchain, payer.sender, 50_000_000)
    yield scene
    await payer.way.disconnect()


async def test_a_late_deposit_is_held_and_its_coins_go_back_to_the_sender(scene: Scene) -> None:
    [order] = await make_orders(scene.engine, now=LONG_AGO)
    view = await scene.view(order)
    watcher = Watcher(
        terms=scene.payer.terms(),
        quorum=scene.payer.quorum,
        engine=scene.engine,
        clock=lambda: scene.now,
        watched=Watchlist(scene.engine),
    )
    await catch_up(watcher)
    data = call("transfer(address,uint256)", view.deposit_address, 10_000_000)
    transact(scene.chain, to=scene.chain.usdc, data=data)
    mine(scene.chain, 3)
    await catch_up(watcher)
    await scene.book()
    assert (await scene.view(order)).progress.reason == "late"
    await scene.confirm(order, scene.sender)
    refund_id = await scene.refund(order)
    assert await scene.finish(refund_id) == "paid"
    assert scene.coins(scene.sender) == 10_000_000
    assert scene.coins(scene.payer.sender) == 40_000_000
    view = await scene.view(order)
    assert (view.state, view.progress.holder) == ("refunded", "sender")
    books = await scene.books()
    assert books[f"wallet:{CHAIN}"] == "10.000000 USDC"
    refund = await scene.see(refund_id)
    assert scene.payer.rpc("eth_getTransactionReceipt", refund.tx_hash)["status"] == "0x1"
    assert books["cost:gas"] == f"-{Money(int(refund.evidence['fee_wei']), scene.payer.terms().native)}"


async def test_a_blocked_recipient_gets_nothing_and_the_money_is_held(scene: Scene) -> None:
    [order] = await scene.hold(address=False)
    await scene.confirm(order, scene.sender)
    issue(scene.chain, "blacklist(address)", scene.sender)
    refund_id = await scene.refund(order)
    assert await scene.finish(refund_id) == "failed"
    refund = await scene.see(refund_id)
    assert "blacklisted" in str(refund.note)
    assert refund.tx_hash is None
    view = await scene.view(order)
    assert (view.state, view.progress.reason) == ("held", "refund_failed")
    await scene.confirm(order, other := Account.create().address)
    assert await scene.finish(await scene.refund(order)) == "paid"
    assert scene.coins(other) == 10_000_000


async def test_an_empty_wallet_sends_nothing_and_says_so(scene: Scene) -> None:
    [order] = await scene.hold(units=60_000_000, address=False)
    await scene.confirm(order, scene.sender)
    refund_id = await scene.refund(order)
    assert await scene.finish(refund_id) == "failed"
    assert "exceeds balance" in str((await scene.see(refund_id)).note)
    assert (await scene.view(order)).state == "held"


@pytest.mark.parametrize(("contract", "arrives"), [("FalseToken", 0), ("SilentToken", 10_000_000), ("FeeToken", 9_900_000)])
async def test_odd_tokens_are_judged_by_what_arrived(scene: Scene, test_contracts: Any, contract: str, arrives: int) -> None:
    token = deploy(scene.chain, test_contracts[contract]["bytecode"])
    transact(scene.chain, to=token, data=call("mint(address,uint256)", scene.payer.sender, 50_000_000))
    scene.wallets = wallets_of(scene.payer, token)
    [order] = await scene.hold(address=False)
    await scene.confirm(order, scene.sender)
    refund_id = await scene.refund(order)
    assert await scene.finish(refund_id) == ("paid" if arrives else "failed")
    assert scene.coins(scene.sender, token) == arrives
    assert (await scene.see(refund_id)).evidence["arrived"] == str(arrives)
    assert (await scene.view(order)).state == ("refunded" if arrives else "held")


def dies_after(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed when this has been done, and what was not committed is lost. Once."""
    original = getattr(module, name)

    async def act(*arguments: Any, **options: Any) -> None:
        await original(*arguments, **options)
        monkeypatch.setattr(module, name, original)
        raise Killed

    monkeypatch.setattr(module, name, act)


DEATHS = {
    "the transaction is queued": (send, "queue"),
    "the refund is handed over": (send, "wake"),
    "the outcomes are read": (settle, "results"),
    "the order has stepped": (settle, "advance"),
    "the ledger is written": (settle, "post"),
    "the incidents are written": (settle, "open_incidents"),
}


@pytest.mark.parametrize("where", [*DEATHS, "the node has it", "before the node has it"])
async def test_a_death_at_any_step_leaves_one_transfer(scene: Scene, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    [order] = await scene.hold(address=False)
    await scene.confirm(order, scene.sender)
    refund_id = await scene.refund(order)
    deaths = [where]

    def die(method: str, *_: object) -> Any:
        if method == "eth_sendRawTransaction" and deaths:
            deaths.clear()
            raise Killed
        return _[-1]

    if where in DEATHS:
        dies_after(*DEATHS[where], monkeypatch)
    elif where == "the node has it":
        scene.payer.way.after = die
    else:
        scene.payer.way.before = die
    with pytest.raises(Killed):
        await scene.finish(refund_id)
    assert await scene.finish(refund_id) == "paid"
    assert scene.coins(scene.sender) == 10_000_000
    assert scene.coins(scene.payer.sender) == 40_000_000
    assert scene.payer.nonce() == 1
    assert (await scene.view(order)).state == "refunded"


async def test_no_node_no_news(scene: Scene) -> None:
    [order] = await scene.hold(address=False)
    await scene.confirm(order, scene.sender)
    refund_id = await scene.refund(order)
    for _ in range(3):
        await scene.send()
        scene.payer.later()
        await scene.payer.submitter().step()
        mine(scene.chain, 3)

    def gone(*_: object) -> None:
        raise NodeFault("no answer")

    scene.now = scene.payer.now
    scene.payer.way.before = gone
    with pytest.raises(NodeFault):
        await scene.settle()
    assert (await scene.see(refund_id)).outcome == "pending"
    scene.payer.way.before = lambda *_: None
    assert await scene.finish(refund_id) == "paid"
