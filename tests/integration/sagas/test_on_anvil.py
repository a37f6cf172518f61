"""A leg of real coins on a real node: sent once, paid when it is final, whatever dies on the way."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from eth_account import Account

from gateway.failpoints import arm
from gateway.legs import CoinTransfer, LegPlan
from gateway.money import Money
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.refunds.settle import receipts_from
from gateway.sagas.coins import hand_over, settle_coins
from gateway.sagas.step import step
from gateway.sagas.wallets import LegWallet, LegWallets
from tests.chain_tools import balance, deal_usdc, mine
from tests.factories import USDC
from tests.integration.chain.payer import make_payer
from tests.integration.sagas.rail import SELL, WITHDRAW, LegRail
from tests.integration.sagas.test_coins import CHAIN
from tests.integration.sagas.test_engine import funded, held, legs, states
from tests.integration.sagas.test_kill import Killed, kill_at

TEN = Money(10_000_000, USDC)
ROUNDS_MOST = 30
POINTS = ["legs.coins:after_commit", "submit.nonce:after_commit", "legs.coins_record:before_commit"]


class FundRail(LegRail):
    """Coins go to an address of the provider's, then the provider pays."""

    def __init__(self, wanted):
        super().__init__(plans=(LegPlan(name=SELL, on_chain=True), LegPlan(name=WITHDRAW)))
        self.wanted = wanted

    def coins(self, _leg):
        return self.wanted


class Scene:
    def __init__(self, engine, chain, payer):
        self.engine, self.chain, self.payer, self.there = engine, chain, payer, Account.create().address
        wanted = CoinTransfer(chain_id=CHAIN, contract=chain.usdc, to=self.there, amount=TEN)
        self.rail = FundRail(wanted)
        self.rails = Rails({"legs": self.rail})
        wallet = LegWallet(
            chain_id=CHAIN, address=payer.sender, account=f"wallet:{CHAIN}:legs", coins={chain.usdc.lower(): USDC}
        )
        self.wallets = LegWallets(by_chain={CHAIN: wallet}, ours=frozenset({payer.sender.lower()}))
        self.read = receipts_from(payer.quorum, address=payer.sender)

    async def round(self):
        """What the loops do in one round."""
        self.payer.later()
        await dispatch(self.engine, rails=self.rails, clock=lambda: self.payer.now)
        await step(self.engine, rails=self.rails, clock=lambda: self.payer.now)
        await hand_over(self.engine, rails=self.rails, wallets=self.wallets, now=self.payer.now)
        await self.payer.submitter().step()
        await settle_coins(
            self.engine,
            chain_id=CHAIN,
            rails=self.rails,
            read=self.read,
            clock=lambda: self.payer.now + timedelta(seconds=1),
        )


@pytest.fixture
async def scene(devchain, engine):
    payer = make_payer(devchain, engine)
    deal_usdc(devchain, payer.sender, 50_000_000)
    yield Scene(engine, devchain, payer)
    arm(None)
    await payer.way.disconnect()


@pytest.mark.parametrize("point", [None, *POINTS])
async def test_coins_arrive_once_and_the_payment_goes_on(scene, point):
    await funded(scene.engine)
    if point is not None:
        kill_at(point, 1)
    pending = 0
    for _ in range(ROUNDS_MOST):
        try:
            await scene.round()
        except Killed:
            continue
        pending += (await legs(scene.engine)) == [(SELL, "pending")]
        if await states(scene.engine) == ["paid"]:
            break
        await asyncio.to_thread(mine, scene.chain, 1)
    assert await states(scene.engine) == ["paid"]
    assert pending > 1  # mined isn't final
    assert balance(scene.chain, scene.there, scene.chain.usdc) == TEN.units
    assert balance(scene.chain, scene.payer.sender, scene.chain.usdc) == 40_000_000
    books = await held(scene.engine)
    assert (books[f"wallet:{CHAIN}:legs", USDC.code], books["rail:legs", USDC.code]) == (TEN.units, -TEN.units)
