"""Payouts per second, full life cycles, beside pgbench TPC-B on the same server in the same run.

    uv run python -m tests.bench.payouts

A life cycle is FUNDED to PAYING to PAID in two durable commits (the attempt is committed before it is sent), with every
guard in place: allowance and float of the rail, claim, attempt, state, events, journal, postings, balances, outbox. The rail
answers at once and is in the worker's process, so that what is measured is ours. The server is the one that the product
brings along, with fsync and synchronous_commit on; workers are processes of their own, as in production.

Rounds are interleaved: TPC-B, one worker, two workers, one worker among a million old orders with all their rows.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg

from gateway.clock import system_clock
from gateway.db.embedded import Server, binary, start
from gateway.db.migrate import migrate
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import post, register_assets, top_up
from gateway.main import DISPATCHERS, tune_collector
from gateway.money import Money
from gateway.offramp import AttemptRef, Capabilities, Corridor, Instruction, Method, Outcome, Report, Resend
from gateway.payouts.dispatch import dispatch
from gateway.payouts.rails import Rails
from gateway.routing.decisions import Keeper
from gateway.routing.scene import Scene, Scenes
from tests.bench import http_payouts
from tests.bench.orders import make_old_orders, make_orders
from tests.bench.report import report
from tests.factories import KES, USDC

ROUNDS = 5
ORDERS = 10_000
WARM_UP = 3_000
TPC_B_S = 6
CLIENTS = 8
SCALE = 50
OLD_ORDERS = 1_000_000
FLOAT = Money(10**15, KES)


class Instant:
    """A rail in this process that pays at once and takes as many calls as anybody makes."""

    capabilities = Capabilities(
        name="instant",
        corridors=(
            Corridor(
                country="KE",
                method=Method.MOBILE_MONEY,
                asset=KES,
                least=Money(1_000, KES),
                most=Money(25_000_000, KES),
                step=Money(100, KES),
            ),
        ),
        resend=Resend.DEDUPED,
        settles_within=timedelta(minutes=5),
        resend_within=timedelta(hours=24),
        concurrency=10_000,
    )

    async def pay(self, instruction: Instruction) -> Report:
        return Report(
            outcome=Outcome.PAID,
            provider_ref=f"AG_{instruction.attempt_id}",
            receipt="SG632NMUAB",
            delivered=instruction.deliver,
            evidence={"ResultCode": "0"},
        )

    async def status(self, attempt: AttemptRef) -> Report:
        raise NotImplementedError(f"{attempt.attempt_id} was answered at once")

    async def close(self) -> None:
        return None


@dataclass
class Ground:
    """A migrated database with a known rail's float, and orders made in the order of their ids."""

    url: str
    made: int = 0
    old: int = 0

    def prepare(self) -> None:
        migrate(self.url)
        asyncio.run(self._open_float())

    async def _open_float(self) -> None:
        engine = make_engine(self.url)
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[USDC, KES])
            await post(connection, entries=[top_up(rail="instant", money=FLOAT, reference="opening")], now=system_clock())
        await engine.dispose()

    def fund(self, number: int) -> None:
        make_orders(self.url, first=self.made + 1, number=number)
        self.made += number

    def grow_old(self, number: int) -> None:
        make_old_orders(self.url, first=self.made + 1, number=number)
        self.made += number
        self.old += number

    def paid(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM orders WHERE state = 'paid'").fetchone()
            assert row is not None
            return int(row[0]) - self.old


async def work(url: str) -> None:
    """What a worker process does: as many loops as in production; a line on standard input starts each round."""
    tune_collector()
    engine = make_engine(url)
    rails = Rails({"instant": Instant()})
    scenes, keeper = Scenes(scene=Scene(capabilities=rails.capabilities)), Keeper()

    async def loop() -> None:
        while await dispatch(engine, rails=rails, clock=system_clock, scenes=scenes, keeper=keeper):
            pass

    while await asyncio.to_thread(sys.stdin.readline):
        used = time.process_time()
        await asyncio.gather(*(loop() for _ in range(DISPATCHERS)))
        print(time.process_time() - used, flush=True)
    await engine.dispose()


@dataclass
class Crew:
    """Worker processes on one database."""

    ground: Ground
    number: int
    server_folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    python_us: list[float] = field(default_factory=list)
    postgres_us: list[float] = field(default_factory=list)

    def round(self, orders: int) -> float:
        """Orders per second from a queue of so many."""
        self.ground.fund(orders)
        before, used = self.ground.paid(), backend_seconds(self.server_folder)
        started = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        python = sum(float(process.stdout.readline()) for process in self.processes if process.stdout is not None)
        seconds = time.perf_counter() - started
        self.postgres_us.append((backend_seconds(self.server_folder) - used) / orders * 1e6)
        self.python_us.append(python / orders * 1e6)
        assert self.ground.paid() - before == orders
        return orders / seconds


@contextmanager
def crew(ground: Ground, number: int, *, server: Server) -> Iterator[Crew]:
    """Start the workers and let them warm up."""
    command = [sys.executable, "-m", "tests.bench.payouts", ground.url]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    made = Crew(ground, number, server.folder, processes)
    try:
        made.round(WARM_UP)
        made.python_us.clear()
        made.postgres_us.clear()
        yield made
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def backend_seconds(folder: Path) -> float:
    """Processor time that PostgreSQL's connections have used so far, where /proc tells it."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if b"[local]" in (status.parent / "cmdline").read_bytes() and str(folder) in str(
                (status.parent / "cwd").readlink()
            ):
                fields = status.read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def pgbench(server: Server, *words: str) -> str:
    host = str(psycopg.conninfo.conninfo_to_dict(server.url)["host"])
    command = [str(binary("pgbench")), "-h", host, "-U", "postgres", *words, "tpcb"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def tpc_b(server: Server) -> float:
    """Transactions per second of pgbench's TPC-B-like script with 8 clients."""
    found = re.search(r"tps = ([0-9.]+)", pgbench(server, "-n", "-c", str(CLIENTS), "-j", "2", "-T", str(TPC_B_S)))
    assert found
    return float(found[1])


def median(figures: Sequence[float]) -> float:
    return round(statistics.median(figures), 2)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start(folder=Path(folder) / "postgres")
        try:
            measure(server)
        finally:
            server.stop()


def measure(server: Server) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        for name in ("tpcb", "million"):
            connection.execute(f"CREATE DATABASE {name}".encode())
    pgbench(server, "-i", "-q", "-s", str(SCALE))
    small, large = Ground(server.url), Ground(server.url_for("million"))
    small.prepare()
    large.prepare()
    large.grow_old(OLD_ORDERS)
    floor, one, two, among = [], [], [], []
    with (
        crew(small, 1, server=server) as alone,
        crew(small, 2, server=server) as both,
        crew(large, 1, server=server) as crowded,
    ):
        for _ in range(ROUNDS):
            floor.append(tpc_b(server))
            one.append(alone.round(ORDERS))
            two.append(both.round(ORDERS))
            among.append(crowded.round(ORDERS))
    ratios = {
        "to_tpcb": median([mine / theirs for mine, theirs in zip(one, floor, strict=True)]),
        "two_workers_to_one": median([mine / theirs for mine, theirs in zip(two, one, strict=True)]),
        "two_workers_to_tpcb": median([mine / theirs for mine, theirs in zip(two, floor, strict=True)]),
        "million_orders_cost": median([theirs / mine for mine, theirs in zip(among, one, strict=True)]),
    }
    rows = {
        "orders/s, one worker": one,
        "orders/s, two workers": two,
        "orders/s, one worker, a million old orders": among,
        "pgbench TPC-B, 8 clients, tps": floor,
        "CPU us per order, Python": alone.python_us,
        "CPU us per order, PostgreSQL": alone.postgres_us,
        "CPU us per order, PostgreSQL, a million old orders": crowded.postgres_us,
    }
    floors = {"tpcb_tps": round(statistics.median(floor), 1)}
    over_http = http_payouts.measure(server)
    report(
        bench="payouts",
        rows=rows | over_http["rows"],
        ratios=ratios | over_http["ratios"],
        floors=floors | over_http["floors"],
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(work(sys.argv[1]))
    else:
        main()
