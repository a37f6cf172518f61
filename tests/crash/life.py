"""Real processes of the product that die where they are told: one that has imported everything forks the others at once.

`python -m tests.crash.life` reads a JSON line for each process that it shall start, and answers with its pid. A process is
what `lastmile work` or `lastmile serve` is, with three differences: its clock runs faster, its loops don't rest as long, and
at a point it was told it writes the point's name down and is gone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
import traceback
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

import gateway.chain.eth
import gateway.chain.provider  # noqa: F401
from gateway.chains import chain_sides
from gateway.cli import app
from gateway.clock import Clock
from gateway.config import parse
from gateway.db.session import reading, transaction
from gateway.errors import Refusal
from gateway.failpoints import arm
from gateway.main import Gateway, make_worker, open_gateway, run
from gateway.payouts.cancel import cancel
from gateway.process import tune_collector
from gateway.treasury.approvals import approve_move
from gateway.treasury.moves import Stage, list_moves
from gateway.treasury.reconcile import reconcile

OPERATOR, SECOND = "amina", "brian"
IDLE_MOST = timedelta(milliseconds=40)
PROCESSORS: list[Any] = [
    structlog.processors.add_log_level,
    structlog.processors.format_exc_info,
    structlog.processors.KeyValueRenderer(),
]
"""Plain: to draw a stack with all its values takes longer than a life."""
_WROTE = b"SELECT pg_current_xact_id_if_assigned() IS NOT NULL"


def clock_of(settings: dict[str, Any]) -> Clock:
    """One clock for all processes, `speed` times as fast as the wall's."""
    base, start, speed = datetime.fromisoformat(settings["now"]), settings["monotonic"], settings["speed"]
    return lambda: base + timedelta(seconds=(time.monotonic() - start) * speed)


class Death:
    """Dies at the first of `points` at which there is something to lose: a transaction that wrote nothing isn't worth it.

    By another signal (SIGSTOP) it is frozen there instead, and goes on when somebody lets it.
    """

    def __init__(self, points: list[str], book: str, *, by: signal.Signals = signal.SIGKILL) -> None:
        self._points = set(points)
        self._by = by
        self._book = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._connections: dict[int, Any] = {}
        self._wrote: dict[int, bool] = {}
        self._named: set[int] = set()

    def follow(self, engine: AsyncEngine) -> None:
        """Know which transaction a task has open."""
        event.listen(engine.sync_engine, "begin", self._begun)
        event.listen(engine.sync_engine, "commit", self._committing)

    def __call__(self, point: str) -> None:
        me = _task()
        if point.endswith(":before_commit"):
            self._named.add(me)
            self._wrote[me] = self._has_written(me)
        if point in self._points and self._wrote.get(me, True):
            self._points.discard(point)
            self.note(point)
            os.kill(os.getpid(), self._by)
        if point.endswith(":after_commit"):
            self._wrote.pop(me, None)

    def note(self, line: str) -> None:
        os.write(self._book, f"{line}\n".encode())

    def _begun(self, connection: Connection) -> None:
        self._connections[_task()] = connection.connection.driver_connection
        self._named.discard(_task())

    def _committing(self, _: Connection) -> None:
        me = _task()
        if me not in self._named and self._has_written(me) and not self._alone(me):
            self.note(f"nameless {_where()}")
        self._connections.pop(me, None)

    def _has_written(self, me: int) -> bool:
        """Asked on the connection itself, between two statements of its transaction."""
        if (connection := self._connections.get(me)) is None:
            return True
        return self._alone(me) or connection.pgconn.exec_(_WROTE).get_value(0, 0) == b"t"

    def _alone(self, me: int) -> bool:
        """Whether its statements commit by themselves."""
        return bool(self._connections[me].autocommit)


def _task() -> int:
    return id(asyncio.current_task())


def _where() -> str:
    """The functions that the task is in."""
    names, coroutine = [], asyncio.current_task() and asyncio.current_task().get_coro()  # type: ignore[union-attr]
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "ag_code", None)
        names.append(code.co_qualname if code else type(coroutine).__name__)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return " > ".join(names)


async def live(settings: dict[str, Any], how: dict[str, Any]) -> None:
    """Work or serve until killed."""
    death = Death(how["points"], settings["book"], by=signal.Signals(how.get("by", signal.SIGKILL)))
    parsed = parse(tree=settings["tree"])
    clock = clock_of(settings)
    async with open_gateway(parsed, data=Path(settings["data"]), database_url=settings["database"], clock=clock) as gateway:
        death.follow(gateway.engine)
        arm(death)
        if how["does"] == "serve":
            await run(gateway, serve=True, work=False)
            return
        if how["does"] == "cancel":
            with suppress(Refusal):  # it is over, or not at the rail yet
                await cancel(
                    gateway.engine,
                    attempt_id=how["attempt"],
                    rails=gateway.rails,
                    operator=OPERATOR,
                    reason="the sender asked for it",
                    clock=clock,
                )
            return
        if how["does"] == "approve":
            await approve(gateway)
            return
        if how["does"] == "reconcile":
            async with AsyncExitStack() as stack:
                sides = await chain_sides(parsed, stack, engine=gateway.engine, wallets=gateway.wallets)
                await reconcile(gateway.engine, rails=gateway.rails, chains=sides, clock=clock)
            return
        worker = make_worker(gateway, only=frozenset(how["only"]))
        named = [loop for loop in worker.loops if not how["loops"] or loop.name in how["loops"]]
        worker.loops = tuple(replace(loop, idle=min(loop.idle, IDLE_MOST)) for loop in named)
        tune_collector()
        running = asyncio.create_task(worker.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        with suppress(asyncio.CancelledError):
            await running


async def approve(gateway: Gateway) -> None:
    """Two persons agree to every move of the newest plan."""
    async with reading(gateway.engine) as connection:
        planned = [view.move.id for view in await list_moves(connection) if view.stage is Stage.PLANNED]
    for move_id in planned:
        stage = Stage.PLANNED
        for operator in (OPERATOR, SECOND):
            if stage is Stage.APPROVED:
                break
            async with transaction(gateway.engine, point="people.approve") as connection:
                given = {"operator": operator, "reason": "it is low", "rules": gateway.resolutions, "book": gateway.floats}
                stage = (await approve_move(connection, move_id=move_id, **given, now=gateway.clock())).stage


def obey(settings: dict[str, Any], how: dict[str, Any]) -> None:
    """Do what a command does, until killed."""
    arm(Death(how["points"], settings["book"]))
    app(how["arguments"], standalone_mode=False)


def begin(settings: dict[str, Any], how: dict[str, Any]) -> None:
    """Be the process that is wanted."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # it waits for children of its own
    with Path(settings["log"]).open("a", buffering=1) as log:
        structlog.configure(processors=PROCESSORS, logger_factory=structlog.PrintLoggerFactory(log))
        try:
            if how["does"] == "command":
                obey(settings, how)
            else:
                asyncio.run(live(settings, how))
        except BaseException:
            traceback.print_exc(file=log)
            raise


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is there now stays: children needn't look through it, and share it with their mother.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            begin(**json.loads(line))
            return
        print(child, flush=True)


if __name__ == "__main__":
    main()
