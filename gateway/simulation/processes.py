"""A process of ours: the loops that a worker runs, made of the product's own steps, with simulated rails and nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from gateway.money import Money
from gateway.offramp import Offramp
from gateway.orders.deadlines import keep_deadlines
from gateway.orders.depegged import hold_depegged_orders
from gateway.orders.frozen import hold_frozen_orders
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from gateway.payouts.inbox import handle_callbacks
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.reports import LEASE_RAN_OUT, OUTSIDE_LIMITS
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.rounds import make_round
from gateway.refunds.send import send_refunds
from gateway.refunds.settle import settle_refunds
from gateway.routing.decisions import Keeper
from gateway.routing.learn import Memory, learn
from gateway.routing.policy import Policy
from gateway.routing.scene import Scene, Scenes
from gateway.simulation.chain import CHAIN_ID, USDC, Lookout, SimNode
from gateway.simulation.market import DROPS, LEAST_UNITS
from gateway.simulation.prices import OFFER, Prices
from gateway.simulation.refunds import WALLETS, Refunds
from gateway.simulation.scheduler import Process

DISPATCHERS = 2
POLICY = Policy(explore_percent=20)
"""Curious, so that a few hundred orders show what exploring does."""
MEMORY = Memory(says_nothing=(LEASE_RAN_OUT, OUTSIDE_LIMITS))
LEAST = {USDC.code: Money(LEAST_UNITS, USDC)}

Step = Callable[[], Coroutine[Any, Any, int]]


def loops_of(
    process: Process, *, adapters: Mapping[str, Offramp], nodes: Sequence[SimNode], prices: Prices, refunds: Refunds
) -> dict[str, Step]:
    """Its loops by name, as `gateway.main.make_worker` makes them."""
    engine, clock, rails = process.engine, process.clock, Rails(adapters)
    lookout = Lookout(nodes=nodes, engine=engine, clock=clock)
    scenes, keeper = Scenes(scene=Scene(capabilities=rails.capabilities, policy=POLICY)), Keeper()

    async def market() -> int:
        """Two loops of a real one."""
        await refresh_rates(engine, sources=[prices], now=clock())
        return await make_round(engine, offer=OFFER, now=clock())

    loops: dict[str, Callable[[], Awaitable[int]]] = {
        "watch": lookout.step,
        "deposits": lambda: book_deposits(engine, least=LEAST, now=clock()),
        "market": market,
        "refunds": lambda: send_refunds(engine, wallets=WALLETS, now=clock()),
        "settle": lambda: settle_refunds(engine, chain_id=CHAIN_ID, read=refunds.read, clock=clock),
        "depegged": lambda: hold_depegged_orders(engine, now=clock()),
        "frozen": lambda: hold_frozen_orders(engine, now=clock()),
        "deadlines": lambda: keep_deadlines(engine, now=clock()),
        **{
            f"dispatch:{n}": lambda: dispatch(engine, rails=rails, clock=clock, drops=DROPS, scenes=scenes, keeper=keeper)
            for n in range(DISPATCHERS)
        },
        "learn": lambda: learn(engine, clock=clock, memory=MEMORY),
        "poll": lambda: poll(engine, rails=rails, clock=clock),
        "callbacks": lambda: handle_callbacks(engine, rails=rails, clock=clock),
    }
    return {name: _coroutine(step) for name, step in loops.items()}


def _coroutine(step: Callable[[], Awaitable[int]]) -> Step:
    async def run() -> int:
        return await step()

    return run
