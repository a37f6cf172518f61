"""The simulated world: rounds of time, customers, chain, rails and machines, and our processes that have to cope."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.ledger.post import post, register_assets, top_up
from gateway.money import Asset, Money
from gateway.offramp import CallbackRequest, CallsBack, ForgedCallback, Instruction, LineKind, Offramp
from gateway.payouts.arrivals import Arrivals
from gateway.payouts.inbox import Arrival
from gateway.simulation.adapters import SimAdapter, SimBulkAdapter
from gateway.simulation.audit import audit, judge
from gateway.simulation.chain import FINAL_AFTER, NODES, STOCK, TREASURY, USDC, SimChain, SimNode
from gateway.simulation.connections import make_prompt_engine
from gateway.simulation.desk import Desk
from gateway.simulation.eye import Eye
from gateway.simulation.faults import Dice
from gateway.simulation.invariants import Invariants
from gateway.simulation.loop import VirtualLoop
from gateway.simulation.market import Market, Transfer
from gateway.simulation.misfortunes import set_nodes, strike
from gateway.simulation.mistakes import of_all
from gateway.simulation.model import TopUp
from gateway.simulation.people import hire, resolve
from gateway.simulation.prices import Prices
from gateway.simulation.processes import Step, loops_of
from gateway.simulation.rails import KES, KINDS, TZS, UGX, Movement, SimRail
from gateway.simulation.refunds import Refunds
from gateway.simulation.scheduler import START, START_S, Job, Process, Scheduler, Violation

BURST = 60
"""Orders that come at once, on average."""
WORKERS = 2
BLOCK_S = 15
TOGETHER_S = 1
LOOPS_SKIPPED = 0.4
"""How often a loop isn't looked at in a round: worse luck than any machine has."""
FLOAT_UNITS = {KES.code: 40_000_000_00, UGX.code: 400_000_000, TZS.code: 400_000_000_00}
"""What the operator puts in at a time."""
LINES_LATE_S = 3 * 3600
"""After so long a line that isn't in a statement is missing, and not late any more."""
PAUSE_LEAST_S, PAUSE_MOST_S = 30, 1800
CRASHES_SEEN, FIRST_CRASH = 1_500, 5
"""On average, a process dies at one in so many failpoints that it passes; sooner where none has died yet."""


@dataclass
class Machine:
    """Where one process of ours runs after another."""

    name: str
    engine: AsyncEngine
    process: Process
    adapters: dict[str, Offramp]
    loops: dict[str, Step]
    arrivals: Arrivals
    starts_s: float = 0


class _Event(NamedTuple):
    """Something that happens by itself."""

    at_s: float
    number: int
    what: str
    act: Callable[[], None]


@dataclass
class World:
    """Everything, of one seed."""

    seed: int
    url: str
    loop: VirtualLoop
    dice: Dice = field(init=False)
    dirty: bool = False
    broken: Violation | None = None
    top_ups: list[TopUp] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    made: int = 0
    resting_s: dict[str, float] = field(default_factory=dict)
    """Loops that nobody looks at until then, on any machine."""
    passed: Counter[str] = field(default_factory=Counter)
    """Failpoints at which a process could have died."""

    def __post_init__(self) -> None:
        self.dice = Dice(self.seed)
        self.eye = Eye(self.url)
        self.chain = SimChain(self.dice)
        self.market = Market(self.dice, self.eye.connection)
        self.invariants = Invariants(eye=self.eye, market=self.market, chain=self.chain)
        self.scheduler = Scheduler(loop=self.loop, crash=self._crashes, foreseen=(NodeFault,))
        self.rails = {kind.name: SimRail(kind, self.dice, self) for kind in KINDS}
        self.nodes = [SimNode(self.chain) for _ in range(NODES)]
        self.prices = Prices(lambda: self.now)
        self.machines: list[Machine] = []
        self._events: list[_Event] = []
        self._event_number = 0

    # What rails see of the world.

    @property
    def now_s(self) -> float:
        """The true time, in seconds since the beginning."""
        return self.loop.time()

    @property
    def now(self) -> datetime:
        """The true time."""
        return START + timedelta(seconds=self.loop.time())

    def later(self, delay_s: float, what: str, act: Callable[[], None]) -> None:
        """Let something happen then."""
        self._event_number += 1
        heapq.heappush(self._events, _Event(self.now_s + delay_s, self._event_number, what, act))

    def moved(self, movement: Movement) -> None:
        """A rail has moved money."""
        self.movements.append(movement)
        self._guarded(lambda: self.invariants.moved(movement))

    def call_back(self, rail: str, attempt_id: str, body: bytes, label: str) -> None:
        """Something arrives at the callback address of an attempt: a request that any machine may serve."""
        machine = self.dice.pick(self._serving())
        if not machine.process.running:
            return
        process, adapter = machine.process, machine.adapters[rail]

        async def serve() -> int:
            assert isinstance(adapter, CallsBack)
            request = CallbackRequest(attempt_id=attempt_id, label=label, headers={}, body=body, received_at=process.clock())
            try:
                event_id = adapter.read_callback(request).event_id
            except ForgedCallback:
                event_id = f"unreadable:{attempt_id}:{len(body)}"
            return int(await machine.arrivals.put(Arrival(adapter=rail, event_id=event_id, request=request)))

        self.scheduler.start(process, f"callback {attempt_id}", serve)

    # The beginning.

    async def open(self) -> None:
        """Make our machines, and what every installation starts with."""
        self.chain.send(address=TREASURY, units=STOCK)
        self.chain.mine(3, time=START_S)
        for _ in range(WORKERS):
            made = make_prompt_engine(self.url, pool_size=1)
            event.listen(made.sync_engine, "commit", self._committed)
            self.scheduler.engines.append(made)
        self.refunds = Refunds(
            engine=self.scheduler.engines[0],
            eye=self.eye,
            dice=self.dice,
            chain=self.chain,
            market=self.market,
            accounts=self.invariants.accounts,
            paid=self.invariants.delivered,
            note=self.scheduler.note,
            checked=self.invariants.checked,
        )
        for number in range(WORKERS):
            engine = self.scheduler.engines[number]
            machine = Machine(f"machine {number}", engine, Process("", engine, self.loop), {}, {}, Arrivals(engine))
            self.machines.append(machine)
            self._boot(machine)
        self.desk = Desk(
            engines=self.scheduler.engines,
            eye=self.eye,
            dice=self.dice,
            market=self.market,
            prices=self.prices,
            note=self.scheduler.note,
            rest_s=self.rest,
            complete=self.refunds.complete,
            checked=self.invariants.checked,
        )
        async with transaction(self.machines[0].engine) as connection:
            await hire(connection, now=self.now)
            await register_assets(connection, assets=[USDC, KES, UGX, TZS])
            await self.refunds.stock(connection, now=self.now)
        for rail in self.rails.values():
            for asset in rail.assets:
                await self._top_up(rail, asset)

    async def close(self) -> None:
        """Give everything back."""
        for machine in self.machines:
            self.scheduler.kill(machine.process)
        await self.scheduler.rest()
        for machine in self.machines:
            await machine.engine.dispose()
        self.eye.close()

    # Rounds.

    async def round(self, *, arrivals: int, seconds: int) -> bool:
        """Let so many seconds pass, then let everybody work until nothing is left to do now. Whether anything was done."""
        await self._pass_time(self.now_s + seconds)
        await self.refunds.work(self.now)
        raced = await self.desk.work(self.now, now_s=self.now_s, open_=arrivals > 0)
        await self._over(())
        arrivals -= len(raced)
        for deal in (*raced, *(self.market.make(arrivals, now=self.now) if arrivals else ())):
            self.made += 1
            for transfer in self.market.payments(deal):
                what = f"a transfer to {transfer.address}"
                self.later(transfer.delay_s, what, partial(self._pay_in, transfer))
        self.chain.mine(self.dice.between(1, 4), time=START_S + int(self.now_s))
        strike(self)
        for rail in self.rails.values():
            for asset in rail.assets:
                if rail.balance[asset.code] < FLOAT_UNITS[asset.code] // 10 and (
                    self.dice.calm or self.dice.between(0, 3) == 0
                ):
                    await self._top_up(rail, asset)
        return await self._work()

    def rest(self, loop: str, seconds: float) -> None:
        """Let nobody look at a loop for so long."""
        self.scheduler.note(f"{loop} rests for {seconds:.0f} s")
        self.resting_s[loop] = self.now_s + seconds

    def left(self) -> int:
        """How much is still to come by itself."""
        return self.eye.work_left() + len(self._events) + len(self.chain.waiting) + len(self.scheduler.gates)

    def pause_s(self) -> int:
        """Until the next thing happens to orders on their way."""
        due = self.eye.next_due()
        wait_s = int((due - self.now).total_seconds()) + 1 if due else PAUSE_MOST_S
        return max(min(wait_s, PAUSE_MOST_S), PAUSE_LEAST_S)

    def calm(self) -> None:
        """The faults end: everything is reachable, right and quick from now on."""
        self.dice.calm = True
        self.chain.ahead_s = 0
        for rail in self.rails.values():
            rail.down_until_s = 0
        for machine in self.machines:
            machine.process.skew, machine.process.frozen_until_s = timedelta(0), 0
        set_nodes(self)

    async def decide(self) -> int:
        """People look up what no rail tells, and say so. How many payments they decided about.

        They do so after the payment was sent, also by the books: a clock that ran ahead then may have dated it days ahead.
        """
        undecided = self.eye.undecided()
        sent = self.eye.one("SELECT max(GREATEST(created_at, resent_at)) FROM attempts WHERE closed_at IS NULL")
        now = max(self.now, sent or self.now)
        for _, attempt_id in undecided:
            row = self.eye.attempt(attempt_id)
            assert row is not None
            await resolve(self.machines[0].engine, rail=self.rails[row.adapter], attempt_id=attempt_id, now=now)
            await self._over(())
        return len(undecided)

    async def audit(self) -> tuple[int, int]:
        """Let the product reconcile itself. How many comparisons it made, and how many mistakes it found after that."""
        machine = self.machines[0]
        report = await audit(machine.engine, adapters=machine.adapters, nodes=self.nodes, clock=machine.process.clock)
        judge(report, expected={})
        await self._pass_time(self.now_s + LINES_LATE_S)
        self.eye.forget_statements()
        deal = next(deal for deal in self.market.deals.values() if self.chain.credits_of(deal.address))
        entries, expected = of_all(self.rails, self.chain, order_id=deal.order_id, address=deal.address)
        self.chain.mine(2 * FINAL_AFTER, time=START_S + int(self.now_s))
        await self._work()
        async with transaction(machine.engine) as connection:
            await post(connection, entries=entries, now=self.now)
        again = await audit(machine.engine, adapters=machine.adapters, nodes=self.nodes, clock=machine.process.clock)
        judge(again, expected=expected)
        return len(report.comparisons), len(expected)

    # Parts of a round.

    async def _pass_time(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            at_s = self._events[0].at_s
            await self._over(await self.scheduler.pass_time(at_s))
            # What comes within a second comes at once: callbacks are served while others are.
            while self._events and self._events[0].at_s <= min(at_s + TOGETHER_S, until_s):
                happens = heapq.heappop(self._events)
                self.scheduler.note(happens.what)
                happens.act()
            if self.scheduler.jobs:  # of which it may have moved one
                await self._over(await self.scheduler.rest())
        await self._over(await self.scheduler.pass_time(until_s))

    def _pay_in(self, transfer: Transfer) -> None:
        """A sender pays; the next block comes soon, if it isn't on its way already."""
        if not self.chain.waiting:
            self.later(BLOCK_S, "a block", lambda: self.chain.mine(1, time=START_S + int(self.now_s)))
        self.chain.send(address=transfer.address, units=transfer.units)

    async def _work(self) -> bool:
        waiting: list[tuple[Machine, str]] = []
        for machine in self._serving():
            if not machine.process.alive and machine.starts_s <= self.now_s:
                self._boot(machine)
            waiting += [(machine, name) for name in machine.loops if self._looked_at(name)]
        worked = False
        while True:
            gates = self.scheduler.ready()
            waiting = [(m, name) for m, name in waiting if m.process.running and name not in m.process.busy]
            if not gates and not waiting:
                return worked
            choice = self.dice.random.randrange(len(gates) + len(waiting))
            if choice < len(gates):
                self.scheduler.open(gates[choice])
            else:
                machine, name = waiting.pop(choice - len(gates))
                self.scheduler.start(machine.process, name, machine.loops[name])
            over = await self._over(await self.scheduler.rest())
            for job, done in over:
                if done:
                    worked = True
                    waiting += [(m, job.label) for m in self.machines if m.process is job.process and job.label in m.loops]

    def _serving(self) -> list[Machine]:
        """In the calm only the first one is started again: whoever calls then is heard."""
        return self.machines[:1] if self.dice.calm else self.machines

    def _looked_at(self, loop: str) -> bool:
        if self.dice.calm:
            return True
        return self.resting_s.get(loop, 0) <= self.now_s and self.dice.random.random() >= LOOPS_SKIPPED

    async def _over(self, over: Sequence[tuple[Job, int]]) -> Sequence[tuple[Job, int]]:
        if self.broken is not None:
            raise self.broken
        if self.dirty:
            self.dirty = False
            self.invariants.after_step()
        for machine in self.machines:
            if not machine.process.alive and not machine.starts_s:
                machine.starts_s = self.now_s + self.dice.between(1, 60)
        return over

    def _boot(self, machine: Machine) -> None:
        """A new process on that machine."""
        number = int(machine.process.name.rpartition(" ")[2] or 0) + 1
        process = Process(f"{machine.name}, process {number}", machine.engine, self.loop, skew=machine.process.skew)
        machine.process, machine.starts_s, machine.arrivals = process, 0, Arrivals(machine.engine)
        machine.adapters = {name: self._adapter(rail, process) for name, rail in self.rails.items()}
        machine.loops = loops_of(
            process, adapters=machine.adapters, nodes=self.nodes, prices=self.prices, refunds=self.refunds
        )

    def _adapter(self, rail: SimRail, process: Process) -> Offramp:
        made = SimBulkAdapter if rail.kind.bulk_most else SimAdapter
        return made(rail=rail, process=process, scheduler=self.scheduler, leaving=self._leaving)

    async def _top_up(self, rail: SimRail, asset: Asset) -> None:
        """The operator puts money in, and books it."""
        units = FLOAT_UNITS[asset.code]
        rail.balance[asset.code] = rail.balance.get(asset.code, 0) + units
        self.top_ups.append(TopUp(rail.kind.name, asset.code, units))
        reference = str(len(self.top_ups))
        rail.write(LineKind.TOP_UP, Money(units, asset), reference=reference)
        entry = top_up(rail=rail.kind.name, money=Money(units, asset), reference=reference)
        async with transaction(self.machines[0].engine) as connection:
            await post(connection, entries=[entry], now=self.now)

    # Watching over it.

    def _crashes(self, point: str) -> bool:
        if self.dice.calm:
            return False
        self.passed[point] += 1
        hits, kills = self.passed[point], self.scheduler.kills[point]
        often = FIRST_CRASH if not kills and hits > FIRST_CRASH else CRASHES_SEEN
        return self.dice.random.randrange(often) == 0

    def _committed(self, _connection: object) -> None:
        self.dirty = True

    def _leaving(self, rail: SimRail, instruction: Instruction) -> None:
        self._guarded(lambda: self.invariants.leaving(rail, instruction))

    def _guarded(self, check: Callable[[], None]) -> None:
        """The product must not swallow what it did wrong."""
        try:
            check()
        except Violation as violation:
            self.broken = self.broken or violation
            raise
