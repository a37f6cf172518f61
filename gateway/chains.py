"""The loops that work on chains: watch, look at tokens, search strays, sweep, refund, reconcile. Built from the settings.

The watch has connections of its own; all other work on a chain shares one set, opened when the first of it is due. Keys are
opened by processes that work, in a thread, and never by those that serve pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.forwarders import factory_address
from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.signer import address_of
from gateway.chain.submit import Submitter
from gateway.chain.sweeper import Sweeper
from gateway.chain.terms import ChainTerms
from gateway.chain.tokens import TokenMismatch
from gateway.chain.tokenwatch import TokenWatch
from gateway.chain.watching import Watching
from gateway.chain.watchlist import Watchlist
from gateway.chain.wire import NodeFault
from gateway.clock import Clock
from gateway.config import Chain, Legs, Refunds, Settings, Sweep
from gateway.desk.strays import StraySearch
from gateway.payouts.rails import Rails
from gateway.refunds.send import send_refunds
from gateway.refunds.settle import receipts_from, settle_refunds
from gateway.refunds.wallets import Wallet, Wallets
from gateway.sagas.coins import hand_over, settle_coins
from gateway.sagas.wallets import LegWallets
from gateway.treasury.chains import ChainSide
from gateway.treasury.reconcile import reconcile_when_due
from gateway.wiring import chain_terms, open_signer, sweep_rules
from gateway.worker.loops import Loop

TOKENS_EVERY = timedelta(minutes=1)
STRAYS_EVERY = timedelta(seconds=30)
SWEEPS_EVERY = timedelta(seconds=5)
REFUNDS_EVERY = timedelta(seconds=2)
RECONCILE_LOOK = timedelta(minutes=1)
"""How often a worker asks whether a reconciliation is due."""


@dataclass(slots=True, kw_only=True)
class Work:
    """What the loops of one chain share."""

    chain: Chain
    terms: ChainTerms
    engine: AsyncEngine
    clock: Clock
    quorum: Quorum | None = None

    async def nodes(self) -> Quorum:
        """The chain's nodes. web3 takes a second to import: in a thread, so that pages and API answer meanwhile."""
        if self.quorum is None:
            made = await asyncio.to_thread(connect_all, self.terms)
            self.quorum = self.quorum or made
        return self.quorum

    async def attend(self, _bell: asyncio.Event) -> None:
        """Run beside a loop; when cancelled, close the connections."""
        try:
            await asyncio.Event().wait()
        finally:
            if self.quorum is not None:
                await self.quorum.close()
                self.quorum = None


def watch_loops(settings: Settings, *, engine: AsyncEngine, clock: Clock, wallets: Wallets) -> list[Loop]:
    """Everything that reads chains."""
    watched = Watchlist(engine)
    loops = []
    for chain in settings.chains:
        work = _work(chain, engine=engine, clock=clock)
        loops += [_watching(work, watched), _tokens(work, wallets), _strays(work)]
    return loops


def sending_loops(settings: Settings, *, engine: AsyncEngine, clock: Clock, wallets: Wallets) -> list[Loop]:
    """Everything that signs: sweeps and refunds of the chains that have keys for them."""
    loops = []
    for chain in settings.chains:
        work = _work(chain, engine=engine, clock=clock)
        if chain.sweep is not None:
            loops += [_sweep(work), _submit(work, "sweeps", chain.sweep)]
        if chain.refunds is not None:
            loops += [_settle(work, wallets.by_chain[chain.chain_id]), _submit(work, "refunds", chain.refunds)]
    if wallets.by_chain:
        loops.append(Loop("refunds", lambda: send_refunds(engine, wallets=wallets, now=clock()), idle=REFUNDS_EVERY))
    return loops


def leg_loops(settings: Settings, *, engine: AsyncEngine, clock: Clock, rails: Rails, wallets: LegWallets) -> list[Loop]:
    """Everything that pays legs on chain."""
    # Without a wallet, too: then such a leg fails and says why.
    loops = [
        Loop("coins", lambda: hand_over(engine, rails=rails, wallets=wallets, now=clock()), idle=REFUNDS_EVERY),
    ]
    for chain in settings.chains:
        if chain.legs is not None:
            work = _work(chain, engine=engine, clock=clock)
            loops += [_settle_legs(work, rails, wallets.by_chain[chain.chain_id].address), _submit(work, "legs", chain.legs)]
    return loops


async def chain_sides(
    settings: Settings, stack: AsyncExitStack, *, engine: AsyncEngine, wallets: Wallets
) -> list[ChainSide]:
    """The chains as a reconciliation compares them. Their connections end with `stack`. Raises `BadKeystore`."""
    sides = []
    for chain in settings.chains:
        terms = chain_terms(chain)
        # web3 takes a second to import: in a thread, so that pages and API answer meanwhile.
        quorum = await asyncio.to_thread(connect_all, terms)
        stack.push_async_callback(quorum.close)
        wallet = wallets.by_chain.get(terms.chain_id)
        own = wallet is not None and wallet.account != wallet.treasury_account
        sides.append(
            ChainSide(
                terms=terms,
                quorum=quorum,
                watched=Watchlist(engine),
                wallet=wallet.address if wallet is not None and own else None,
                keys=frozenset(address_of(path=key.keystore) for key in (chain.sweep, chain.refunds) if key is not None),
            )
        )
    return sides


def reconcile_loop(settings: Settings, *, engine: AsyncEngine, clock: Clock, rails: Rails, wallets: Wallets) -> Loop:
    """Compares the books with the outside once in each period, whichever worker comes first."""

    async def step() -> int:
        async with AsyncExitStack() as stack:

            async def sides() -> list[ChainSide]:
                return await chain_sides(settings, stack, engine=engine, wallets=wallets)

            every_s = settings.treasury.reconcile_every_s
            return await reconcile_when_due(engine, rails=rails, chains=sides, every_s=every_s, clock=clock)

    return Loop("reconcile", step, idle=RECONCILE_LOOK, wakes=False)


def _work(chain: Chain, *, engine: AsyncEngine, clock: Clock) -> Work:
    return Work(chain=chain, terms=chain_terms(chain), engine=engine, clock=clock)


def _watching(work: Work, watched: Watchlist) -> Loop:
    watching = Watching(terms=work.terms, engine=work.engine, clock=work.clock, watched=watched)
    return Loop(
        f"chain:{work.terms.name}",
        watching.step,
        idle=timedelta(seconds=work.terms.poll_s),
        wakes=False,
        foreseen=(NodeFault, TokenMismatch),
        beside=watching.attend,
    )


def _tokens(work: Work, wallets: Wallets) -> Loop:
    wallet = wallets.by_chain.get(work.terms.chain_id)
    ours = [work.terms.treasury, factory_address(treasury=work.terms.treasury), *([wallet.address] if wallet else [])]
    step = _later(
        work,
        lambda quorum: TokenWatch(terms=work.terms, engine=work.engine, clock=work.clock, ours=ours, quorum=quorum).step,
    )
    return _loop(work, "tokens", step, idle=TOKENS_EVERY, wakes=False)


def _strays(work: Work) -> Loop:
    step = _later(
        work, lambda quorum: StraySearch(terms=work.terms, quorum=quorum, engine=work.engine, clock=work.clock).step
    )
    return _loop(work, "strays", step, idle=STRAYS_EVERY, wakes=False)


def _sweep(work: Work) -> Loop:
    rules = sweep_rules(work.chain)
    step = _later(
        work,
        lambda quorum: Sweeper(terms=work.terms, rules=rules, quorum=quorum, engine=work.engine, clock=work.clock).step,
    )
    return _loop(work, "sweeps", step, idle=SWEEPS_EVERY)


def _settle(work: Work, wallet: Wallet) -> Loop:
    def make(quorum: Quorum) -> Callable[[], Awaitable[int]]:
        read = receipts_from(quorum, address=wallet.address)
        return lambda: settle_refunds(work.engine, chain_id=work.terms.chain_id, read=read, clock=work.clock)

    return _loop(work, "refunds", _later(work, make), idle=REFUNDS_EVERY)


def _settle_legs(work: Work, rails: Rails, address: str) -> Loop:
    def make(quorum: Quorum) -> Callable[[], Awaitable[int]]:
        read = receipts_from(quorum, address=address)
        return lambda: settle_coins(work.engine, chain_id=work.terms.chain_id, rails=rails, read=read, clock=work.clock)

    return _loop(work, "legs", _later(work, make), idle=REFUNDS_EVERY)


def _submit(work: Work, purpose: str, key: Sweep | Refunds | Legs) -> Loop:
    made: list[Submitter] = []

    async def step() -> int:
        if not made:
            quorum = await work.nodes()
            made.append(
                Submitter(
                    terms=work.terms,
                    quorum=quorum,
                    signer=await asyncio.to_thread(open_signer, key),
                    engine=work.engine,
                    clock=work.clock,
                    gas_price_most_gwei=key.gas_price_most_gwei,
                )
            )
        return await made[0].step()

    return _loop(work, f"{purpose}-key", step, idle=timedelta(seconds=work.terms.poll_s))


def _later(work: Work, make: Callable[[Quorum], Callable[[], Awaitable[int]]]) -> Callable[[], Awaitable[int]]:
    """A step whose worker is made at the first call, when the nodes are connected."""
    steps: list[Callable[[], Awaitable[int]]] = []

    async def step() -> int:
        if not steps:
            steps.append(make(await work.nodes()))
        return await steps[0]()

    return step


def _loop(work: Work, name: str, step: Callable[[], Awaitable[int]], *, idle: timedelta, wakes: bool = True) -> Loop:
    return Loop(f"{name}:{work.terms.name}", step, idle=idle, wakes=wakes, foreseen=(NodeFault,), beside=work.attend)
