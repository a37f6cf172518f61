"""One simulation from its seed to its verdict."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from random import Random

import structlog

from gateway import failpoints, ids
from gateway.simulation.loop import VirtualLoop
from gateway.simulation.model import CLAIMS, expect
from gateway.simulation.scheduler import Broken, Violation
from gateway.simulation.world import BURST, World

ROUNDS_MOST = 3_000
"""Rounds after the last order, until everything has to be at rest."""
BUSY_ROUNDS_LEAST = 20
"""In so many rounds orders come in, on average, however few they are."""
LAST_ROUNDS = 15
"""Rounds after the last order in which faults still happen."""
AT_REST = 3
"""Rounds in which nothing is left to come."""
LONGEST_S = 12 * 3600
"""Between two looks, when only what was announced is still to come."""

Progress = Callable[[int, int, str], None]
"""Told of: orders made, orders wanted, what is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a simulation came to. No invariant was broken."""

    seed: int
    orders: int
    trace: str
    """The hash of every decision: the same for the same seed and number of orders, whatever the machine does."""
    steps: int
    simulated_days: int
    states: dict[str, int]
    faults: dict[str, int]
    crashes: dict[str, int]
    """Per failpoint, how often a process died there."""
    passed: dict[str, int]
    """Per failpoint, how often a process went by that could have died there."""
    foreseen: dict[str, int]
    checked: dict[str, int]
    accounts: int
    """How many accounts the reference model agrees on."""
    reconciled: int
    """How many comparisons the product's reconciliation made, without a difference."""
    mistakes: int
    """How many mistakes were made after that, each of which it finds."""
    decided: int
    """Payments of which people had to say what became of them."""
    seconds: int

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def simulate(*, seed: int, orders: int, database_url: str, progress: Progress = lambda *_: None) -> Result:
    """Run the product in a simulated world, on an empty, migrated database. Raises `Broken`.

    It takes the place of the process's event loop, ids and failpoints while it runs.
    """
    started_s = time.monotonic()
    entropy = Random(f"ids of {seed}")  # noqa: S311 - it has to be repeatable
    ids.draw_from(entropy.randbytes)
    with _silence(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            return runner.run(_simulate(seed, orders, database_url, progress, started_s))
        finally:
            failpoints.arm(None)
            ids.draw_from(os.urandom)


@contextmanager
def _silence() -> Iterator[None]:
    """The product tells of each fault that it meets; here there are thousands."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _simulate(seed: int, orders: int, url: str, progress: Progress, started_s: float) -> Result:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    # Tasks of killed processes end with what killed them, and nobody asks them why.
    loop.set_exception_handler(lambda _loop, _context: None)
    world = World(seed, url, loop)
    failpoints.arm(world.scheduler.failpoint)
    try:
        await world.open()
        await _busy(world, orders, progress)
        await _last_faults(world)
        await _rest(world, orders, progress)
        agreed = _agree(world)
        decided = 0
        while more := await world.decide():
            decided += more
            await _rest(world, orders, progress)
        agreed = max(agreed, _agree(world))
        reconciled = await world.audit()
        return _result(world, orders, reconciled, agreed, decided, started_s)
    except Violation as violation:
        scheduler = world.scheduler
        raise Broken(str(violation), seed=seed, step=scheduler.step, last=list(scheduler.last)) from violation
    finally:
        failpoints.arm(None)
        await world.close()


async def _busy(world: World, orders: int, progress: Progress) -> None:
    """Orders come in, and everything that can go wrong does."""
    typical = min(BURST, max(orders // BUSY_ROUNDS_LEAST, 1))
    while world.made < orders:
        kind = world.dice.random.random()
        seconds = world.dice.between(*((1, 15) if kind < 0.7 else (20, 120) if kind < 0.95 else (300, 1800)))  # noqa: PLR2004
        burst = min(orders - world.made, world.dice.between(0, 2 * typical))
        await world.round(arrivals=burst, seconds=seconds)
        progress(world.made, orders, f"step {world.scheduler.step}")


async def _last_faults(world: World) -> None:
    """The last orders meet faults, too; then these end."""
    for _ in range(LAST_ROUNDS):
        await world.round(arrivals=0, seconds=world.dice.between(1, 300))
    world.calm()


async def _rest(world: World, orders: int, progress: Progress) -> None:
    """Everything comes to its end without a fault: in bounded time."""
    seconds, at_rest, before = 60, 0, 0
    for _ in range(ROUNDS_MOST):
        await world.round(arrivals=0, seconds=seconds)
        left = world.left()
        progress(orders, orders, f"step {world.scheduler.step}, {left} to come")
        at_rest = 0 if left else at_rest + 1
        if at_rest == AT_REST:
            return
        # While orders go on they are followed closely; what only time will bring, in ever longer strides.
        going = world.eye.on_their_way()
        seconds = world.pause_s() if going != before else min(seconds * 2, LONGEST_S)
        before = going
    raise Violation(f"{world.left()} things are still to come after {ROUNDS_MOST} rounds without a fault")


def _agree(world: World) -> int:
    """The reference model and the books say the same of every account and every order."""
    movements = [(world.invariants.order_of(each.attempt_id), each) for each in world.movements]
    expected = expect(
        deals=world.market.first,
        credits=world.chain.credits(),
        movements=movements,
        top_ups=world.top_ups,
        undecided=frozenset(world.eye.undecided()),
        refunds=world.refunds.ordered,
        agreed=world.market.agreed,
    )
    books = world.eye.balances()
    found = _claims_together(books, world.eye.covered())
    for key in sorted(expected.accounts.keys() | found.keys()):
        if expected.accounts.get(key, 0) != found.get(key, 0):
            raise Violation(
                f"the account {key[0]} has {found.get(key, 0)} {key[1]}, but {expected.accounts.get(key, 0)} is right"
            )
    kept = world.eye.kept_balances()
    ours = {key: units for key, units in books.items() if key[0].startswith("order:")}
    if kept != ours:
        raise Violation("the balances that the database keeps aren't those of its postings")
    states = world.eye.all_states()
    for order_id, allowed in expected.states.items():
        if states[order_id] not in allowed:
            raise Violation(f"order {order_id} ended as {states[order_id]}, but {' or '.join(sorted(allowed))} is right")
    return len(expected.accounts)


def _claims_together(
    accounts: Mapping[tuple[str, str], int], covered: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """Claims of all rails as one account, less what they cover of what is owed to recipients."""
    together: dict[tuple[str, str], int] = defaultdict(int)
    for (account, asset), units in accounts.items():
        together[CLAIMS if account.startswith(f"{CLAIMS}:") else account, asset] += units
    for (account, asset), units in covered.items():
        together[account, asset] -= units
        together[CLAIMS, asset] += units
    return together


def _result(world: World, orders: int, reconciled: tuple[int, int], agreed: int, decided: int, started_s: float) -> Result:
    states: dict[str, int] = {}
    for state in sorted(world.eye.all_states().values()):
        states[state] = states.get(state, 0) + 1
    return Result(
        seed=world.seed,
        orders=orders,
        trace=world.scheduler.trace,
        steps=world.scheduler.step,
        simulated_days=int(world.now_s // 86_400),
        states=states,
        faults=dict(sorted(world.dice.counts.items())),
        crashes=dict(sorted(world.scheduler.kills.items())),
        passed=dict(sorted(world.passed.items())),
        foreseen=dict(sorted(world.scheduler.raised.items())),
        checked=dict(sorted(world.invariants.checked.items())),
        accounts=agreed,
        reconciled=reconciled[0],
        mistakes=reconciled[1],
        decided=decided,
        seconds=int(time.monotonic() - started_s),
    )
