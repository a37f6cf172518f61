"""The scheduler: exactly one thing runs at a time, and the seed says which.

What runs are steps of loops, each in a process of the simulation. A step runs until it ends or comes to a gate: a call that
goes out to a rail. Between two decisions of the scheduler nothing else touches the database. A process can be killed at any
failpoint and at any gate: its tasks die there, open transactions are rolled back, nothing of it runs again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.simulation.loop import OWNER, SLACK_S, VirtualLoop

START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
START_S = int(START.timestamp())
STEP_S = 0.001
"""How long each thing takes."""
PHASES = int(SLACK_S / STEP_S)
TOLD = 40
"""Steps told of when something breaks."""


class Killed(BaseException):
    """The process is gone. Not an `Exception`: no code of ours may live on after it."""


class Broken(Exception):
    """An invariant doesn't hold. The same seed comes here again."""

    def __init__(self, text: str, *, seed: int, step: int, last: list[str]) -> None:
        super().__init__(f"seed {seed}, step {step}: {text}\nThe last steps:\n" + "\n".join(last))
        self.text, self.seed, self.step, self.last = text, seed, step, last


class Violation(Exception):
    """The sentence that says what doesn't hold."""


@dataclass(eq=False, slots=True)
class Process:
    """One process on a machine of its own, with a clock of its own."""

    name: str
    engine: AsyncEngine
    loop: VirtualLoop
    skew: timedelta = timedelta(0)
    alive: bool = True
    frozen_until_s: float = 0
    busy: set[str] = field(default_factory=set)
    """Loops whose step isn't over."""

    def clock(self) -> datetime:
        """The time that this machine believes it is."""
        if not self.alive:
            raise Killed
        return START + timedelta(seconds=self.loop.time()) + self.skew

    @property
    def stands_until_s(self) -> float:
        """Until when its machine is frozen."""
        return self.frozen_until_s if self.alive else 0

    @property
    def running(self) -> bool:
        """Whether it does anything at present."""
        return self.alive and self.loop.time() >= self.frozen_until_s


@dataclass(eq=False, slots=True)
class Gate:
    """Where a task waits for the scheduler, from `at_s` on."""

    process: Process
    label: str
    at_s: float
    future: asyncio.Future[None]


@dataclass(eq=False, slots=True)
class Job:
    """A step of a loop that has begun."""

    process: Process
    label: str
    number: int
    task: asyncio.Task[int] | None = None

    @property
    def phase_s(self) -> float:
        """See `gateway.simulation.loop.Owner`."""
        return self.number % PHASES * STEP_S

    @property
    def stands_until_s(self) -> float:
        """See `gateway.simulation.loop.Owner`."""
        return self.process.stands_until_s


class Scheduler:
    """Runs jobs, holds gates, kills processes, and writes down what it did."""

    def __init__(self, *, loop: VirtualLoop, crash: Callable[[str], bool], foreseen: tuple[type[Exception], ...]) -> None:
        self.loop = loop
        self.step = 0
        self.gates: list[Gate] = []
        self.jobs: list[Job] = []
        self.engines: list[AsyncEngine] = []
        """None of their connections is in use whenever all is quiet."""
        self.last: deque[str] = deque(maxlen=TOLD)
        self.kills: Counter[str] = Counter()
        self.raised: Counter[str] = Counter()
        self._crash = crash
        self._foreseen = foreseen
        self._hash = hashlib.sha256()
        self._dead: list[Process] = []
        self._started = 0

    @property
    def trace(self) -> str:
        """The hash of everything that was decided until now."""
        return self._hash.hexdigest()[:16]

    def note(self, text: str) -> None:
        """Write down a decision."""
        line = f"{self.step} {self.loop.time():.3f} {text}"
        self._hash.update(line.encode())
        self.last.append(line)

    def failpoint(self, name: str) -> None:
        """What every failpoint of the product calls."""
        job = OWNER.get()
        if not isinstance(job, Job):
            return
        process = job.process
        if not process.alive:
            raise Killed
        if self._crash(name):
            self.kills[name] += 1
            self.note(f"{process.name} is killed at {name}")
            self.kill(process)
            raise Killed

    def kill(self, process: Process) -> None:
        """Let a process end now, wherever it is."""
        process.alive = False
        self._dead.append(process)

    async def gate(self, process: Process, label: str, *, delay_s: float = 0) -> None:
        """Wait until the scheduler lets this task go on. Raises `Killed` if its process is dead by then."""
        await self._park(process, label, delay_s)
        if not process.alive:
            raise Killed

    async def _park(self, process: Process, label: str, delay_s: float) -> None:
        if not process.alive:
            raise Killed
        gate = Gate(process, label, self.loop.time() + delay_s, self.loop.create_future())
        self.gates.append(gate)
        try:
            await gate.future
        finally:
            if gate in self.gates:
                self.gates.remove(gate)

    def start(self, process: Process, label: str, make: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """Begin a step of a loop of that process."""
        self._started += 1
        job = Job(process, label, self._started)
        context = copy_context()
        context.run(OWNER.set, job)
        process.busy.add(label)
        job.task = self.loop.create_task(make(), context=context)
        self.jobs.append(job)

    def ready(self) -> list[Gate]:
        """The gates that may open now."""
        now_s = self.loop.time()
        return [gate for gate in self.gates if gate.at_s <= now_s and gate.process.running]

    def open(self, gate: Gate) -> None:
        """Let the task at this gate go on."""
        self.gates.remove(gate)
        self.note(f"{gate.process.name} {gate.label}")
        if not gate.future.done():
            gate.future.set_result(None)

    def open_all(self, process: Process) -> None:
        """Let all of a process go on that waits for nothing but the scheduler."""
        for gate in [gate for gate in self.ready() if gate.process is process]:
            self.open(gate)

    async def rest(self) -> list[tuple[Job, int]]:
        """Wait until nothing happens by itself. Gives the steps that came to their end, with what they did."""
        self.step += 1
        await self._settle()
        until_s = self.loop.time() + STEP_S
        while (at_s := self.loop.next_timer(until_s=until_s)) is not None:
            self.loop.advance(at_s)
            await self._settle()
        self.loop.advance(until_s)
        over = [job for job in self.jobs if job.task and job.task.done()]
        if not over:
            return []
        self.jobs = [job for job in self.jobs if job not in over]
        return [(job, done) for job in over if (done := self._result(job)) is not None]

    async def pass_time(self, until_s: float) -> list[tuple[Job, int]]:
        """Let time pass, stopping at every timer."""
        over: list[tuple[Job, int]] = []
        while (at_s := self.loop.next_timer(until_s=until_s)) is not None:
            self.loop.advance(at_s)
            over += await self.rest()
        self.loop.advance(until_s)
        return over

    def _result(self, job: Job) -> int | None:
        job.process.busy.discard(job.label)
        assert job.task is not None
        if job.task.cancelled():
            error: BaseException | None = asyncio.CancelledError()
        else:
            error = job.task.exception()
        if error is None:
            done = job.task.result()
            self.note(f"{job.process.name} {job.label} did {done}")
            return done
        if not job.process.alive:
            return None
        if isinstance(error, self._foreseen):
            self.raised[f"{job.label}: {type(error).__name__}"] += 1
            self.note(f"{job.process.name} {job.label} raised {type(error).__name__}")
            return 0
        raise Violation(f"the loop {job.label} raised {type(error).__name__}: {error}") from error

    async def _settle(self) -> None:
        """Wait until all is quiet; take away what dead processes have left waiting."""
        await self.loop.quiet()
        while self._dead:
            process = self._dead[-1]
            mine = [gate for gate in self.gates if gate.process is process]
            if not mine:
                self._dead.remove(process)
                continue
            for gate in mine:
                gate.future.cancel()
            await self.loop.quiet()
        for engine in self.engines:
            if engine.pool.checkedout():  # type: ignore[attr-defined]
                raise Violation("a transaction stays open while its process waits for something else than the database")
